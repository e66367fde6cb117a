"""A domain of the user's own: a network, guides, folders of images, a judge and tasks in a TOML."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from asyrp.domains.base import Images, Networks, Split, Task
from asyrp.domains.own_file import OwnFile, read_own
from asyrp.errors import AsyrpError
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_space import Pixels, Space
from asyrp.method.protocols import PerceptualDistance, TextImageEncoder
from asyrp.metrics.features import EncoderFeatures, FeatureNetwork
from asyrp.metrics.table import Scorers
from asyrp.metrics.zero_shot import ZeroShotJudge
from asyrp.networks import load_model
from asyrp.networks.latent_pipeline import Prompt
from asyrp.scorers.arcface import load_identity
from asyrp.scorers.decoded import decoded
from asyrp.scorers.judge import answers, wanted
from asyrp.scorers.load import distance_for, encoder_for, load_encoder, same_encoder
from asyrp.scorers.segmentation import load_segmenter
from asyrp.scorers.vision import load_vision
from asyrp.settings import Precision
from asyrp.storage.image_folders import find_images
from asyrp.storage.images import read_image

EVERY = 4  # without a folder of validation, every fourth training image is held out


@dataclass(frozen=True)
class OwnDomain:
    """Images of the user's; see `asyrp.domains.base.Domain`.

    gives: a condition for the edits, where every task names one.
    """

    file: OwnFile
    model: HSpaceUNet
    encoder: TextImageEncoder
    distance: PerceptualDistance
    scorers: Scorers
    fingerprint: str
    name: str
    noun: str
    about: str
    gives: frozenset[str]
    tasks: Mapping[str, Task]

    def images(self, split: Split, count: int) -> Images:
        """The first images of a split, by name, cropped and resized to the network's size."""
        paths = paths_of(self.file, split)[:count]
        channels, height, width = self.model.picture_shape
        if channels != 3:
            raise AsyrpError(
                f"a domain needs a network of RGB pictures; this one has {channels} channels"
            )
        stack = torch.stack([read_image(path, (height, width)) for path in paths])
        x = torch.cat([self.model.space.encode(one[None]) for one in stack])
        return Images(split, tuple(range(len(paths))), x.to(self.model.device))

    def lacking(self, images: Images, task: Task) -> list[int]:
        """Rows in which the judge does not see the task's value; all without a judge."""
        judge = self.scorers.judge
        if judge is None or not task.attribute:
            return list(range(len(images.numbers)))
        place = wanted(judge, task.attribute, task.value)
        seen = answers(judge, images.x)[task.attribute]
        return [row for row, answer in enumerate(seen) if answer != place]

    def conditioned(self, task: Task) -> HSpaceUNet:
        """The network under the class or caption of the task's target."""
        names, (prompt, label) = self.file.networks, self.file.conditions[task.name]
        own = names._replace(prompt=prompt or names.prompt, class_label=label)
        precision = cast(Precision, str(self.model.dtype).removeprefix("torch."))
        return network_of(own, str(self.model.device), precision)


@dataclass(frozen=True)
class OwnSource:
    """What makes the domain of a file."""

    file: OwnFile

    @property
    def NAME(self) -> str:
        """The file's own name for it."""
        return self.file.name

    @property
    def NETWORKS(self) -> Networks:
        """Its networks and folders."""
        return self.file.networks

    @property
    def TASKS(self) -> Mapping[str, Task]:
        """Its tasks by name."""
        return self.file.tasks

    def load(self, device: str = "cpu", dtype: Precision = "float32") -> OwnDomain:
        """The domain with its networks loaded."""
        file, names = self.file, self.file.networks
        model = network_of(names, device, dtype)
        encoder, distance = encoder_for(model, names.encoder), distance_for(model, names.distance)
        scorers = scorers_of(file, str(model.device), model.space)
        mark = hashlib.sha256("\n".join([file.text, model.fingerprint(), *_listed(file)]).encode())
        gives = {"condition"} if file.tasks.keys() <= file.conditions.keys() else set[str]()
        told = (file.name, file.noun, about(file), frozenset(gives), file.tasks)
        return OwnDomain(file, model, encoder, distance, scorers, mark.hexdigest(), *told)

    def scorers(self, device: str = "cpu") -> Scorers:
        """What measures pictures."""
        return scorers_of(self.file, device, Pixels())


def read_domain(path: Path) -> OwnSource:
    """The domain of a TOML file, nothing loaded yet.

    Raises:
        AsyrpError: no such file, or one that says something that cannot be.
    """
    return OwnSource(read_own(path))


def network_of(names: Networks, device: str, dtype: Precision) -> HSpaceUNet:
    """The network under its own condition."""
    prompt = Prompt(names.prompt, names.guidance)
    return load_model(names.model, device, dtype, prompt=prompt, class_label=names.class_label)


def scorers_of(file: OwnFile, device: str, space: Space) -> Scorers:
    """Judge, segmenter, features and identity, which all look at x of a space."""
    asked, features = file.questions, file.features
    judge = None if asked is None else decoded(load_encoder(asked.encoder, device), space)
    if features in ("judge", "encoder"):
        own = judge if features == "judge" else None
        lender = own or decoded(load_encoder(file.networks.encoder, device), space)
        lent: FeatureNetwork = EncoderFeatures(lender)
    else:
        lent = decoded(load_vision(features, device), space)
    parts = load_segmenter(file.segmenter, device) if file.segmenter else None
    who = load_identity(Path(file.identity)) if file.identity else None
    return Scorers(
        judge=ZeroShotJudge(judge, asked) if judge and asked else None,
        segmenter=None if parts is None else decoded(parts, space),
        features=lent,
        identity=None if who is None else decoded(who, space),
    )


def about(file: OwnFile) -> str:
    """Its networks in sentences, and whether one judges what it guided."""
    names, asked = file.networks, file.questions
    told = f"Network {names.model}; S_dir: encoder {names.encoder}; LPIPS: {names.distance}."
    if asked is None:
        return f"{told} Without a judge success and leakage are not measured."
    told += f" Judge: zero-shot, encoder {asked.encoder}, weaker than a trained one."
    if same_encoder(asked.encoder, names.encoder):
        told += (
            f" **Warning:** the judge asks {asked.encoder}, which guides the edits too; edits look "
            "good to the network that guided them, so give the judge another."
        )
    return told


def paths_of(file: OwnFile, split: Split) -> list[Path]:
    """The pictures of a split."""
    folders = file.networks.images
    if split == "validation" and split not in folders:
        return find_images(folders["train"])[EVERY - 1 :: EVERY]
    found = find_images(folders[split])
    if split == "train" and "validation" not in folders:
        return [path for place, path in enumerate(found) if place % EVERY != EVERY - 1]
    return found


def _listed(file: OwnFile) -> list[str]:
    """Names, sizes and times of all pictures."""
    every = {path for folder in file.networks.images.values() for path in find_images(folder)}
    stats = [(path, path.stat()) for path in sorted(every)]
    return [f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats]
