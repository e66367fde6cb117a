"""Bad input: one line that says what was needed, exit code 2, nothing written."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from asyrp.method.direction_file import DirectionCard, save_direction
from asyrp.method.directions import GlobalDirection
from places import FEW, Place, call, edit_of, train_of, tree

Words = Callable[[Place], Sequence[object]]


def image_in(p: Place, content: bytes | Image.Image | None, name: str = "a.png") -> Path:
    """A folder with one good face and one file of another content; None: an empty folder."""
    folder = p.root / "images"
    folder.mkdir(exist_ok=True)
    if isinstance(content, Image.Image):
        content.save(folder / name)
    elif content is not None:
        (folder / name).write_bytes(content)
    if content is not None:
        (folder / "good.png").write_bytes((p.faces / "face0.png").read_bytes())
    return folder


def file_at(p: Place, content: bytes = b"text") -> Path:
    path = p.root / "file.safetensors"
    path.write_bytes(content)
    return path


def foreign(p: Place) -> Path:
    """A direction of another network with the same shapes."""
    path = p.root / "foreign.safetensors"
    card = DirectionCard("face", "other face", 400, 200, 4, "0" * 64)
    save_direction(path, GlobalDirection(torch.zeros(128, 8, 8)), card)
    return path


def safetensors_at(p: Place) -> Path:
    save_file({"x": torch.zeros(2)}, p.root / "weights.safetensors")
    return p.root / "weights.safetensors"


def edit_images(p: Place, images: Path) -> Sequence[object]:
    return ["edit", "--images", images, "--direction", p.direction, "--out", p.out, *FEW]


def edit_direction(p: Place, direction: object) -> Sequence[object]:
    return ["edit", "--images", p.faces, "--direction", direction, "--out", p.out, *FEW]


BAD: Mapping[str, tuple[Words, str]] = {
    "no images": (lambda p: edit_images(p, image_in(p, None)), "at least one image"),
    "no folder": (lambda p: edit_images(p, p.root / "none"), "none' does not exist"),
    "a broken image": (lambda p: edit_images(p, image_in(p, b"\x89PNG")), "not a readable image"),
    "a 1-pixel image": (
        lambda p: edit_images(p, image_in(p, Image.new("RGB", (1, 1)))),
        "at least 8 pixels wide and high; .* is 1 x 1; remove it",
    ),
    "two images of one name": (
        lambda p: edit_images(p, image_in(p, Image.new("RGB", (9, 9)), "good.jpg")),
        "would share a name",
    ),
    "no direction": (
        lambda p: ["edit", "--images", p.faces, "--out", p.out],
        "needed at least one --direction .*train one: asyrp train",
    ),
    "a missing direction": (
        lambda p: edit_direction(p, p.root / "x.safetensors"),
        "needed a direction file; .*x.safetensors' does not exist",
    ),
    "a strength in words": (lambda p: edit_direction(p, "x:much"), "number for STRENGTH"),
    "a strength that is no number": (
        lambda p: edit_direction(p, f"{p.direction}:nan"),
        "the strength of a direction is a number; got nan",
    ),
    "a corrupt direction": (
        lambda p: edit_direction(p, file_at(p, p.direction.read_bytes()[:9000])),
        "not a safetensors file or is cut short .*asyrp train",
    ),
    "a text as direction": (lambda p: edit_direction(p, file_at(p)), "not a safetensors file"),
    "other weights as direction": (
        lambda p: edit_direction(p, safetensors_at(p)),
        "not an asyrp direction; make one with: asyrp train",
    ),
    "a foreign direction": (
        lambda p: edit_direction(p, foreign(p)),
        "was trained on another network .*use it at your own risk: --force",
    ),
    "an unknown model": (
        lambda p: edit_of(p, "--model", "avatars-65"),
        "unknown model 'avatars-65'; needed: a built-in name",
    ),
    "a folder that is no model": (lambda p: edit_of(p, "--model", p.root), "diffusers"),
    "an unknown device": (lambda p: edit_of(p, "--device", "abacus"), "no device 'abacus' here"),
    "a device without values": (lambda p: edit_of(p, "--device", "meta"), "no device .meta. here"),
    "a strength that is none": (
        lambda p: edit_of(p, "--strengths", "1", "nan"), "--strengths are numbers; got"
    ),
    "t_boost above t_edit": (
        lambda p: edit_of(p, "--t-boost", 401),
        "t_boost 401 > t_edit 400; lower t_boost or raise t_edit",
    ),
    "t_edit below t_boost": (lambda p: edit_of(p, "--t-edit", 100), "t_boost 200 > t_edit 100"),
    "t_start below t_edit": (
        lambda p: edit_of(p, "--t-start", 399),
        "t_start 399 < t_edit 400; raise t_start or lower t_edit",
    ),
    "one step": (lambda p: edit_of(p, "--steps", 1), "must lie in 2..1000; got 1"),
    "too many steps": (lambda p: edit_of(p, "--steps", 1001), "must lie in 2..1000; got 1001"),
    "no batch": (lambda p: edit_of(p, "--batch-size", 0), "batch_size must be 1 or more"),
    "fewer than no refinements": (
        lambda p: edit_of(p, "--refinements", -1),
        "refinements must be 0 or more",
    ),
    "a file as output": (
        lambda p: edit_of(p, "--out", file_at(p)),
        "needed a folder for the results; .*file.safetensors' is a file",
    ),
    "a file on the way to the output": (
        lambda p: edit_of(p, "--out", file_at(p) / "deep"),
        "needed a folder for the results; .*file.safetensors' is a file",
    ),
    "the inputs as output": (
        lambda p: ["invert", "--images", p.faces, "--out", p.faces, *FEW],
        "holds the inputs; give another folder with --out",
    ),
    "the input's folder as output": (
        lambda p: ["invert", "--images", p.faces / "face0.png", "--out", p.faces, *FEW],
        "holds the inputs; give another folder with --out",
    ),
    "invert: no images": (
        lambda p: ["invert", "--images", image_in(p, None), "--out", p.out],
        "at least one image",
    ),
    "sample: none": (lambda p: ["sample", "--count", 0, "--out", p.out], "must be 1 or more"),
    "sample: one step": (lambda p: ["sample", "--steps", 1, "--out", p.out], "lie in 2..1000"),
    "sample: a file as output": (lambda p: ["sample", "--out", file_at(p)], "is a file"),
    "intervals: an empty text": (
        lambda p: ["intervals", "--images", p.faces, "--source", "face", "--target", "", "--out",
                   p.out],
        "the target text is empty",
    ),
    "train: an empty source": (lambda p: train_of(p, "--source", ""), "the source text is empty"),
    "train: a blank target": (lambda p: train_of(p, "--target", " "), "the target text is empty"),
    "train: unknown words only": (
        lambda p: train_of(p, "--target", "xyzzy plugh"),
        "knows no word of 'xyzzy plugh' .* such as",
    ),
    "train: a text that changes nothing": (
        lambda p: train_of(p, "--target", "face"),
        "'face' and 'face' mean the same",
    ),
    "train: no images": (
        lambda p: train_of(p, "--images", image_in(p, None)),
        "at least one image",
    ),
    "train: a broken image": (
        lambda p: train_of(p, "--images", image_in(p, b"\x89PNG")),
        "not a readable image",
    ),
    "train: images and samples": (lambda p: train_of(p, "--random", 4), "either --images DIR or"),
    "train: fewer than no samples": (
        lambda p: [*train_of(p)[:1], *train_of(p)[3:], "--random", -2],
        "--random and --validation must be 0 or more",
    ),
    "train: another suffix": (
        lambda p: train_of(p, "--out", p.root / "new.pth"),
        "must be a .safetensors file",
    ),
    "train: no folder": (
        lambda p: train_of(p, "--out", p.root / "none" / "new.safetensors"),
        "the folder of --out must exist",
    ),
    "train: t_boost above t_edit": (
        lambda p: train_of(p, "--t-edit", 300, "--t-boost", 301),
        "t_boost 301 > t_edit 300",
    ),
    "train: t_start below t_edit": (
        lambda p: train_of(p, "--t-edit", 300, "--t-start", 299),
        "t_start 299 < t_edit 300",
    ),
    "train: an unknown encoder": (
        lambda p: train_of(p, "--encoder", "clap"),
        "unknown encoder 'clap'",
    ),
    "inspect: an unknown name": (lambda p: ["inspect", "nothing"], "unknown model 'nothing'"),
    "inspect: a text": (lambda p: ["inspect", file_at(p)], "not a safetensors file"),
    "inspect: other weights": (
        lambda p: ["inspect", safetensors_at(p)],
        "not an asyrp direction",
    ),
    "demo: an unknown value": (
        lambda p: ["demo", "--out", p.out, "--value", "bored"],
        "Smiling has no value 'bored'",
    ),
    "demo: an empty text": (
        lambda p: ["demo", "--out", p.out, "--source", " "],
        "the source text is empty",
    ),
    "demo: unknown words only": (
        lambda p: ["demo", "--out", p.out, "--target", "xyzzy"],
        "knows no word of 'xyzzy'",
    ),
    "demo: no faces": (
        lambda p: ["demo", "--out", p.out, "--test-images", 0],
        "must be 1 or more",
    ),
    "world: no faces": (lambda p: ["world", "draw", "--out", p.out, "--count", 0], "1 or more"),
}  # fmt: skip


def assert_refused(place: Place, argv: Sequence[object], pattern: str, capsys: Any) -> None:
    before = tree(place.root, place.faces.parent)
    capsys.readouterr()
    assert call(*argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    assert said.err.startswith("asyrp: ")
    assert re.search(pattern, said.err), said.err
    assert tree(place.root, place.faces.parent) == before


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_line(
    place: Place, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words, pattern = BAD[name]
    assert_refused(place, words(place), pattern, capsys)


@pytest.mark.parametrize("setting", ["--train.epochs", "--train.batch-size", "--train.patience"])
def test_settings_that_cannot_be_exit_with_2(
    place: Place, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    assert call(*train_of(place, setting, 0)) == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "must be 1 or more; got 0" in said
    assert tree(place.root) == {}


def test_inspect_names_what_is_wrong_with_latents(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    header = {"format": "asyrp-latents", "version": "9"}
    save_file({"x": torch.zeros(2)}, place.root / "a.safetensors", header)
    assert_refused(place, ["inspect", place.root / "a.safetensors"], "format version 9", capsys)
