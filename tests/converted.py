"""The official fixtures through `asyrp convert` and the public API, and helpers around it."""

import json
from pathlib import Path
from typing import Any

import test_official
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import asyrp
from asyrp.cli import main
from asyrp.networks.convert.convert import Converted, convert
from asyrp.networks.convert.detect import detect
from asyrp.networks.convert.hyperparameters import read_hyperparameters
from official import Official

FOLDER = test_official.FOLDER
CHECKS = (
    test_official.test_plain_forward_at_mixed_timesteps,
    test_official.test_bottleneck_direction_and_edited_output,
    test_official.test_inversion,
    test_official.test_each_inversion_step,
    test_official.test_plain_reconstruction,
    test_official.test_edited_walk,
    test_official.test_boosted_walk,
)


def convert_official(name: str, out: Path) -> Official:
    """The fixture `name`, converted by the command and loaded again."""
    unet, config = FOLDER / f"{name}.unet.safetensors", FOLDER / f"{name}.json"
    assert main(["convert", str(unet), "--out", str(out / name), "--config", str(config)]) == 0
    model = asyrp.load_model(out / name)
    f_t = convert_f_t(FOLDER / f"{name}.direction.safetensors", out / f"{name}.safetensors", model)
    expected = load_file(FOLDER / f"{name}.expected.safetensors")
    return Official(model, f_t, expected, "ddpm" if name == "ddpm" else "adm")


def convert_f_t(file: Path, out: Path, model: asyrp.HSpaceUNet) -> Any:
    """An original delta block as the public API gives it back."""
    assert main(["convert", str(file), "--out", str(out)]) == 0
    return asyrp.load_direction(out, model).direction


def check_training(name: str, kind: str, weight: float, out: Path) -> None:
    """Six official training steps from a converted network and a converted delta block."""
    model = convert_official(name, out).model
    given = load_file(FOLDER / f"{name}.{kind}.safetensors")
    ends = []
    for end in ("before", "after"):
        block = {k.removeprefix(f"{end}."): v for k, v in given.items() if k.startswith(end)}
        save_file(block, out / f"{end}.safetensors")
        f_t = convert_f_t(out / f"{end}.safetensors", out / f"{end}-ours.safetensors", model)
        ends.append(f_t.requires_grad_(True))
    done = test_official.train(model, ends[0], given, weight)
    test_official.assert_same(done.losses, given["losses"])
    test_official.assert_same(done.norms, given["grad_norms"])
    for key, wanted in ends[1].state_dict().items():
        test_official.assert_same(ends[0].state_dict()[key], wanted)


def converted(weights: dict[str, Tensor], kind: str, /, **config: Any) -> Converted:
    """Weights in memory, converted with hyper-parameters by any of their names."""
    found = detect(weights, "the test")
    assert found.kind == kind
    return convert(found, read_hyperparameters({"image_size": 32, **config})[0])


def write_original(path: Path, weights: dict[str, Tensor], **config: Any) -> Path:
    """A torch checkpoint, with its hyper-parameters beside it as .json; its path."""
    torch.save(weights, path)
    path.with_suffix(".json").write_text(json.dumps(config))
    return path


def assert_bit_for_bit(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """The same names, shapes, precisions and bits."""
    assert got.keys() == wanted.keys()
    for key, value in wanted.items():
        assert got[key].dtype == value.dtype
        assert torch.equal(got[key], value), key


def relative(got: Tensor, wanted: Tensor) -> float:
    """The largest difference over the largest value."""
    assert got.shape == wanted.shape
    return float((got - wanted).abs().max() / wanted.abs().max())
