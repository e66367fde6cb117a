"""Every number in every config that a stranger may send, set to what it cannot be."""

import functools
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch

from asyrp.domains.own_file import read_own
from asyrp.method.hspace import HSpaceUNet
from asyrp.metrics.zero_shot import read_questions
from asyrp.networks import load_model
from asyrp.networks.convert.convert import convert, convert_back, keep_folder
from asyrp.networks.convert.detect import detect
from asyrp.networks.convert.hyperparameters import Hyperparameters
from asyrp.networks.scheduler_config import CLASSES, read_scheduler
from asyrp.scorers.clip import load_clip
from asyrp.scorers.segmentation import load_segmenter
from asyrp.scorers.vision import load_vision
from asyrp.storage.config_fields import defaults_of
from asyrp.storage.files import read_object
from conftest import noise, tiny_unet
from faults.kinds import SCHEDULER, Files, Kind
from originals import Adm, adm_weights
from tiny_folders import (
    save_clip,
    save_ldm,
    save_segmenter,
    save_stable_diffusion,
    save_stable_diffusion_xl,
    save_vision,
    tiny_kl,
)

VALUES: tuple[Any, ...] = (0, -1, 10**9, 1e308, "text", [[[[1]]]])


class Place(NamedTuple):
    """A number in a JSON file: the names and rows that lead to it."""

    file: str
    keys: tuple[str | int, ...]


def pixels(folder: Path) -> None:
    """UNet2DModel, with classes and attention."""
    kinds = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "num_class_embeds": 4}
    kinds |= {"up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 4}
    tiny_unet(**kinds, attn_norm_num_groups=4).save_pretrained(folder)
    (folder / "scheduler_config.json").write_text(json.dumps(SCHEDULER))


def original(folder: Path) -> None:
    """What `convert` writes of an ADM network: a class of our own, and conversion.json."""
    made = convert(detect(adm_weights(Adm()), "x"), Hyperparameters(heads=1, timesteps=1000))
    keep_folder(folder / "net", made, {"file": "x"})
    for path in (folder / "net").iterdir():
        path.rename(folder / path.name)
    (folder / "net").rmdir()


def kl(folder: Path) -> None:
    """UNet2DModel on AutoencoderKL, with all that scales its codes."""
    more = {"shift_factor": 0.1, "latents_mean": [0.1] * 4, "latents_std": [1.0] * 4}
    save_ldm(folder, tiny_kl(**more))


DOMAIN = """noun = "image"
[model]
name = "avatars-64"
guidance = 1.0
class_label = 1
[guides]
encoder = "avatars-64-clip"
distance = "st-lpips-alex"
[images]
train = "a"
test = "b"
[[tasks]]
name = "t"
source = "face"
target = "sad face"
t_start = 999
t_edit = 500
t_boost = 100
class_label = 1
"""


def domain(folder: Path) -> None:
    """A domain's numbers, as JSON of the lines that hold them."""
    lines = [line.split(" = ") for line in DOMAIN.splitlines() if " = " in line]
    told = {f"{i} {n}": json.loads(v) for i, (n, v) in enumerate(lines)}
    (folder / "domain.json").write_text(json.dumps(told))


def read_domain(path: Path) -> object:
    """The TOML with the numbers of the JSON."""
    told, lines = iter(json.loads(path.read_text()).items()), []
    for line in DOMAIN.splitlines():
        lines.append(f"{line.split(' = ')[0]} = {_toml(next(told)[1])}" if " = " in line else line)
    path.with_suffix(".toml").write_text("\n".join(lines))
    return read_own(path.with_suffix(".toml"))


def _toml(value: Any) -> str:
    return str(value) if isinstance(value, float) else json.dumps(value)


def questions(folder: Path) -> None:
    """The questions of a judge."""
    values = {"mouth": ["sad", "glad"], "age": ["young", "old"]}
    told = {"encoder": "clip", "scale": 50.0, "questions": values}
    (folder / "judge.json").write_text(json.dumps(told))


def schedulers(folder: Path) -> None:
    """The config of every scheduler that is read, off its class's defaults."""
    for name in CLASSES:
        told = {"_class_name": name, **defaults_of(getattr(diffusers, name))}
        (folder / f"{name}.json").write_text(json.dumps(told))
    betas = {"_class_name": "DDIMScheduler", "trained_betas": [0.1, 0.2, 0.3]}
    (folder / "betas.json").write_text(json.dumps(betas))


def read_schedulers(path: Path) -> object:
    """The one that was spoilt is the first file of the folder's listing."""
    bars = read_scheduler(read_object(path)).schedule.alpha_bars
    assert all(0 < after <= before <= 1 for before, after in itertools.pairwise(bars))
    return bars


def network(path: Path) -> object:
    """As --model reads it, and one call of it."""
    classes = read_object(path.parent / "config.json").get("num_class_embeds")
    return called(load_model(path.parent, class_label=1 if classes else None))


@torch.no_grad()
def called(model: HSpaceUNet) -> object:
    """What is built must run as well."""
    x = noise(1, *model.image_shape)
    return model(x, 500), model.space.encode(model.space.decode(x))


def pipeline(path: Path) -> object:
    """The same of a pipeline, whose first file lies a folder deeper."""
    return called(load_model(path.parent.parent))


def clip(path: Path) -> object:
    """An encoder of texts and images, used on both."""
    encoder = load_clip(path.parent)
    return encoder.text_features(["a"]), encoder.image_features(noise(1, 3, 40, 40).clamp(-1, 1))


def vision(path: Path) -> object:
    """An image network."""
    return load_vision(path.parent)(noise(1, 3, 40, 40).clamp(-1, 1))


def segmenter(path: Path) -> object:
    """A segmenter."""
    return load_segmenter(path.parent)(noise(1, 3, 40, 40).clamp(-1, 1))


def back(path: Path) -> object:
    """As `convert --back` reads a folder."""
    return convert_back(path.parent)


# what makes the files, who reads them, and the JSON files whose numbers are spoilt
CLASSES_OF: Mapping[str, tuple[Callable[[Path], Any], Callable[[Path], object], str]] = {
    "UNet2DModel": (pixels, network, "config.json"),
    "a scheduler beside it": (pixels, network, "scheduler_config.json"),
    "converted network": (original, network, "config.json"),
    "converted network, back": (original, back, "*.json"),
    "VQModel": (save_ldm, pipeline, "vqvae/config.json"),
    "AutoencoderKL": (kl, pipeline, "vqvae/config.json"),
    "UNet2DConditionModel": (save_stable_diffusion, pipeline, "unet/config.json"),
    "CLIPTextModel": (save_stable_diffusion, pipeline, "text_encoder/config.json"),
    "Stable Diffusion XL": (save_stable_diffusion_xl, pipeline, "unet/config.json"),
    "CLIPTextModel of XL": (save_stable_diffusion_xl, pipeline, "text_encoder_2/config.json"),
    "CLIPModel": (save_clip, clip, "config.json"),
    "Dinov2Model": (save_vision, vision, "*.json"),
    "Segformer": (save_segmenter, segmenter, "*.json"),
    "schedulers": (schedulers, read_schedulers, "*.json"),
    "domain": (domain, read_domain, "domain.json"),
    "judge": (questions, read_questions, "judge.json"),
}  # fmt: skip


@functools.cache
def _files(name: str) -> Files:
    """The files of a folder as it should be."""
    with tempfile.TemporaryDirectory() as made:
        CLASSES_OF[name][0](Path(made))
        paths = sorted(path for path in Path(made).rglob("*") if path.is_file())
        return {str(path.relative_to(made)): path.read_bytes() for path in paths}


def _numbers(value: Any, keys: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where numbers are, in lists and objects within each other too."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else list(enumerate(value))[:2]
        for key, one in pairs:
            yield from _numbers(one, (*keys, key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield keys


@functools.cache
def places(name: str) -> tuple[Place, ...]:
    """The numbers of a class of configs, and the lists of them."""
    wanted = CLASSES_OF[name][2]
    found = []
    for file, content in _files(name).items():
        if Path(file).match(wanted) and ("/" in wanted or "/" not in file):
            every = dict.fromkeys(_numbers(json.loads(content)))
            whole = dict.fromkeys(keys[:-1] for keys in every if isinstance(keys[-1], int))
            found += [Place(file, keys) for keys in [*every, *whole]]
    return tuple(found)


def spoilt(name: str, number: int) -> Files:
    """The files of a class with one number set to one value."""
    files = dict(_files(name))
    place, value = places(name)[number // len(VALUES)], VALUES[number % len(VALUES)]
    content = json.loads(files[place.file])
    holder = content
    for key in place.keys[:-1]:
        holder = holder[key]
    holder[place.keys[-1]] = value
    changed = json.dumps(content).encode()
    return {place.file: changed, **{k: v for k, v in files.items() if k != place.file}}


def kinds() -> tuple[Kind, ...]:
    """All of them, each with its number of files."""
    return tuple(
        Kind(name, functools.partial(spoilt, name), read, len(places(name)) * len(VALUES))
        for name, (_, read, _) in CLASSES_OF.items()
    )


def said_of(name: str, number: int) -> str:
    """What was spoilt in a file of a number."""
    place = places(name)[number // len(VALUES)]
    return f"{place.file} {'.'.join(map(str, place.keys))} = {VALUES[number % len(VALUES)]!r}"
