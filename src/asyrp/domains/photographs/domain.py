"""The domain photographs-64: faces of people, on samples of its network or on photographs of yours.

No photograph ships with the package. ASYRP_PHOTOGRAPHS names a folder with `attributes.tsv` and
`faces.zip` (or the pictures), split as for training; without it the images are samples.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from asyrp.domains.base import Images, Networks, Split, Task, fingerprint_of
from asyrp.domains.photographs.judge import AttributeJudge, load_judge
from asyrp.domains.photographs.pictures import Labelled, read
from asyrp.method.editing import edit, random_latents
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import PerceptualDistance, TextImageEncoder
from asyrp.metrics.table import Scorers
from asyrp.networks import load_model
from asyrp.runtime.download import cache_folder
from asyrp.scorers.load import encoder_for, load_distance
from asyrp.settings import Precision, Region
from asyrp.storage.images import from_uint8
from asyrp.storage.untrusted.pictures import open_picture

NAME = "photographs-64"
NETWORKS = Networks(NAME, "photographs-64-clip", "st-lpips-alex")
KNOWS, ALIGNED = "photographs of faces", "celeba"
STRANGE = float("inf")  # it predicts drawn faces nearly as well as photographs
FOLDER = "ASYRP_PHOTOGRAPHS"
INTERVAL = EditInterval(500, 100)  # where h holds the meaning: see the card of the network
SEEDS: Mapping[Split, int] = {"train": 1_000_000, "validation": 2_000_000, "test": 3_000_000}
ABOUT = (
    "S_dir: encoder photographs-64-clip, the texts as they are, source image: the original; higher "
    "is better. LPIPS: st-lpips-alex to the original. Judge: photographs-64-judge, which was "
    "trained on photographs that the encoder never saw and guided no edit; identity, FID and KID "
    "compare its features."
)


FOLLOWS: Mapping[str, tuple[str, ...]] = {
    "Smiling": ("High_Cheekbones", "Mouth_Slightly_Open"),
    "Mouth_Slightly_Open": ("Smiling",),
    "Male": ("Wearing_Lipstick", "Heavy_Makeup", "No_Beard"),
    "Heavy_Makeup": ("Wearing_Lipstick", "Male"),
    "Wearing_Lipstick": ("Heavy_Makeup", "Male"),
    "No_Beard": ("Goatee", "Sideburns", "Male", "5_o_Clock_Shadow"),
    "Goatee": ("No_Beard",),
    "Sideburns": ("No_Beard",),
    "5_o_Clock_Shadow": ("No_Beard",),
}
"""attribute -> those that go with it: a correlation of labels of at least 0.5 in size."""


MOUTH = (0.2, 0.47, 0.8, 0.47, 0.8, 0.72, 0.65, 0.95, 0.35, 0.95, 0.2, 0.72)  # with the cheeks
EYES = (0.1, 0.28, 0.9, 0.28, 0.9, 0.55, 0.1, 0.55)
LIPS = (0.27, 0.6, 0.73, 0.6, 0.73, 0.84, 0.27, 0.84)
FACE = (0.15, 0.28, 0.85, 0.28, 0.85, 0.7, 0.65, 0.95, 0.35, 0.95, 0.15, 0.7)
LOWER = (0.12, 0.5, 0.88, 0.5, 0.88, 0.8, 0.7, 1.0, 0.3, 1.0, 0.12, 0.8)
FOREHEAD = (0.05, 0.0, 0.95, 0.0, 0.95, 0.42, 0.05, 0.42)
TOP = (0.0, 0.0, 1.0, 0.0, 1.0, 0.55, 0.8, 0.4, 0.2, 0.4, 0.0, 0.55)
HAIR = (0, 0, 1, 0, 1, 1, 0.8, 1, 0.84, 0.5, 0.72, 0.3, 0.28, 0.3, 0.16, 0.5, 0.2, 1, 0, 1)
REGIONS: Mapping[str, Region] = {
    "Smiling": MOUTH, "Mouth_Slightly_Open": MOUTH, "Eyeglasses": EYES,
    "Wearing_Lipstick": LIPS, "Heavy_Makeup": FACE, "Rosy_Cheeks": FACE,
    "Blond_Hair": HAIR, "Black_Hair": HAIR, "Gray_Hair": HAIR,
    "Bangs": FOREHEAD, "Wearing_Hat": TOP, "Bald": TOP, "Receding_Hairline": FOREHEAD,
    "No_Beard": LOWER, "Goatee": LOWER, "5_o_Clock_Shadow": LOWER, "Mustache": LIPS,
    "Sideburns": LOWER,
}  # fmt: skip
"""attribute -> where it shows on faces that are cut as CelebA's are."""


COMPARED = (
    "smiling", "serious", "glasses", "man", "makeup", "beard", "bald", "blond", "bangs", "hat",
)  # fmt: skip


def _task(name: str, source: str, target: str, attribute: str, value: str = "yes") -> Task:
    follows, region = FOLLOWS.get(attribute, ()), REGIONS.get(attribute, ())
    texts = (name, source, target, attribute, value)
    compared = name in COMPARED
    return Task(*texts, interval=INTERVAL, follows=follows, region=region, compared=compared)


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        _task("smiling", "face", "smiling face", "Smiling"),
        _task("serious", "face", "serious face", "Smiling", "no"),
        _task("glasses", "person", "person with glasses", "Eyeglasses"),
        _task("woman", "person", "woman", "Male", "no"),
        _task("man", "person", "man", "Male"),
        _task("makeup", "person", "person with makeup", "Heavy_Makeup"),
        _task("beard", "person", "person with a beard", "No_Beard", "no"),
        _task("bald", "person", "bald person", "Bald"),
        _task("blond", "person", "person with blond hair", "Blond_Hair"),
        _task("bangs", "person", "person with bangs", "Bangs"),
        _task("old", "person", "old person", "Young", "no"),
        _task("grey", "person", "person with grey hair", "Gray_Hair"),
        _task("hat", "person", "person with a hat", "Wearing_Hat"),
        _task("lipstick", "person", "person with lipstick", "Wearing_Lipstick"),
        _task("black", "person", "person with black hair", "Black_Hair"),
        _task("rosy", "person", "person with rosy cheeks", "Rosy_Cheeks"),
        _task("moustache", "person", "person with a moustache", "Mustache"),
        _task("goatee", "person", "person with a goatee", "Goatee"),
        _task("sideburns", "person", "person with sideburns", "Sideburns"),
        _task("stubble", "person", "person with stubble", "5_o_Clock_Shadow"),
        _task("receding", "person", "person with a receding hairline", "Receding_Hairline"),
        _task("mouth-open", "face", "face with an open mouth", "Mouth_Slightly_Open"),
        _task("mouth-closed", "face", "face with a closed mouth", "Mouth_Slightly_Open", "no"),
        _task("shaven", "person", "clean-shaven person", "No_Beard"),
    )
}


class PhotographJudge:
    """Reads the attributes that it reads well off pictures."""

    name = "photographs-64-judge"
    audited: Sequence[str] = ("Male", "Young")

    def __init__(self, judge: AttributeJudge) -> None:
        self.judge = judge
        self.values: Mapping[str, Sequence[str]] = dict.fromkeys(judge.trusted, ("no", "yes"))

    @torch.no_grad()
    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """(n, 3, 64, 64) in [-1, 1] -> attribute -> (n, 2): 0, and the log-odds that it shows."""
        odds = torch.cat([self.judge.log_odds(part.float().cpu()) for part in images.split(64)])
        places = {name: i for i, name in enumerate(self.judge.attributes)}
        return {
            name: torch.stack([torch.zeros(len(odds)), odds[:, places[name]]], dim=1)
            for name in self.values
        }

    def visible(self, values: Mapping[str, str], attribute: str) -> bool:
        """Every attribute shows on every face."""
        return True


@dataclass(frozen=True)
class JudgeFeatures:
    """What the judge reads attributes from, before its last layer, (b, 3072)."""

    layers: nn.Module
    name: str = "photographs-64-judge, before its last layer"

    def __call__(self, images: Tensor) -> Tensor:
        """(b, 3, 64, 64) in [-1, 1] -> (b, 3072)."""
        found: Tensor = self.layers(images)
        return found


@dataclass(frozen=True)
class Photographs:
    """Faces of people; see `asyrp.domains.base.Domain`."""

    model: HSpaceUNet
    encoder: TextImageEncoder
    distance: PerceptualDistance
    scorers: Scorers
    fingerprint: str
    name: str = NAME
    noun: str = "face"
    about: str = ABOUT
    gives: frozenset[str] = frozenset()

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Those whose attribute the judge reads well."""
        values = self.scorers.judge.values if self.scorers.judge else {}
        return {name: task for name, task in TASKS.items() if task.attribute in values}

    def images(self, split: Split, count: int) -> Images:
        """The first photographs of a split, or as many samples."""
        kept = photographs()
        if kept is None:
            return Images(split, tuple(range(count)), self._samples(split, count))
        part = kept.split("diffusion" if split == "train" else split)
        pictures = part.pictures[:count]
        x = from_uint8(pictures).to(self.model.device)
        return Images(split, tuple(range(len(pictures))), x)

    def _samples(self, split: Split, count: int) -> Tensor:
        latents, top = random_latents(self.model, count, SEEDS[split]), self.model.t_top
        return edit(self.model, latents, t_boost=top, seed=SEEDS[split]).clamp(-1, 1)

    def lacking(self, images: Images, task: Task) -> list[int]:
        """Rows in which the judge does not see the task's value."""
        assert self.scorers.judge is not None
        shows = self.scorers.judge.logits(images.x)[task.attribute].argmax(1) == 1
        return [row for row, yes in enumerate(shows.tolist()) if yes != (task.value == "yes")]


@cache
def photographs() -> Labelled | None:
    """The photographs that ASYRP_PHOTOGRAPHS names; None without any.

    Raises:
        AsyrpError: the folder has no table, or lacks a picture of it.
    """
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    place = Path(folder)
    pictures = place / "faces.zip" if (place / "faces.zip").is_file() else place
    return read(pictures, place / "attributes.tsv", cache_folder() / NAME)


def weights() -> Path:
    """The folder of the shipped networks."""
    return Path(str(files("asyrp.domains.photographs").joinpath("weights")))


def examples() -> Tensor:
    """Six of the eight samples of seed 5 of benchmarks/directions.py, (6, 3, 64, 64)."""
    place = files("asyrp.domains.photographs").joinpath("examples.png")
    with place.open("rb") as file, open_picture(BytesIO(file.read())) as row:
        pixels = np.asarray(row.convert("RGB"))
    return from_uint8(np.stack(np.split(pixels, pixels.shape[1] // pixels.shape[0], axis=1)))


def scorers(device: str = "cpu") -> Scorers:
    """What measures; all of it stays on the CPU."""
    judge = load_judge()
    features = JudgeFeatures(judge.net[:-2])
    return Scorers(judge=PhotographJudge(judge), features=features, identity=features)


def load(device: str = "cpu", dtype: Precision = "float32") -> Photographs:
    """The domain with its networks."""
    mark = fingerprint_of(sorted(weights().rglob("*.safetensors")))
    kept = photographs()
    if kept is not None:
        mark += f"+{len(kept.names)}-{np.sum(kept.pictures[::97], dtype=np.int64)}"
    model = load_model(NAME, device, dtype)
    return Photographs(
        model,
        encoder_for(model, NETWORKS.encoder),
        load_distance(NETWORKS.distance, device),
        scorers(device),
        mark,
    )
