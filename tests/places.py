"""Where the tests of the command line work, and how they call it."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from asyrp.cli import main
from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.method.direction_file import DirectionCard, save_direction
from asyrp.method.directions import ImplicitDirection
from asyrp.networks import load_model

FEW = ["--steps", "4"]
QUICK: list[object] = ["--train.steps", 6, "--train.epochs", 1, "--train.batch-size", 1]
QUICK += ["--t-start", 999, "--t-edit", 700, "--t-boost", 100, "--strength", 1]
QUICK += ["--validation", 0, "--refinements", 0]
cached_model = functools.cache(load_model)


@dataclass(frozen=True)
class Place:
    """What the commands work on: a folder of two faces, a direction, and an empty folder."""

    faces: Path
    direction: Path
    root: Path

    @property
    def out(self) -> Path:
        return self.root / "out"


def furnished(folder: Path) -> Path:
    """A folder with `faces` (2), `four` (4) and odd.safetensors, a strong random direction."""
    pytest.importorskip("resvg_py")
    for name, count in (("faces", 2), ("four", 4)):
        (folder / name).mkdir()
        for index in range(count):
            face = Image.fromarray(draw(sample_face("test", index)))
            face.save(folder / name / f"face{index}.png")
    model = cached_model("avatars-64")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        f_t = ImplicitDirection(model.h_channels, model.emb_channels, zero_init=False)
        f_t.conv_out.weight.data *= 30
    card = DirectionCard("face", "odd face", 400, 200, 4, model.fingerprint(), "none")
    save_direction(folder / "odd.safetensors", f_t, card)
    return folder


def place_in(shared: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place of one test; its commands share their networks with other tests."""

    def load(spec: str, device: str = "cpu", dtype: str = "float32", **more: Any) -> Any:
        return cached_model(spec, device, dtype, **more)

    monkeypatch.setattr("asyrp.commands.common.load_model", load)
    monkeypatch.setattr(torch, "set_flush_denormal", lambda on: True)  # it would outlive the test
    return Place(shared / "faces", shared / "odd.safetensors", root)


def call(*argv: object) -> int:
    """The exit code of a command line."""
    try:
        return main([str(word) for word in argv])
    except SystemExit as done:
        return int(done.code or 0)


def edit_of(p: Place, *more: object) -> Sequence[object]:
    """An edit in few steps."""
    return ["edit", "--images", p.faces, "--direction", p.direction, "--out", p.out, *FEW, *more]


def train_of(p: Place, *more: object) -> Sequence[object]:
    """A training on the faces; "smiling face" unless `more` names targets."""
    out = p.root / "new.safetensors"
    target = [] if "--target" in more else ["--target", "smiling face"]
    return ["train", "--images", p.faces, "--source", "face", *target, "--out", out, *more]


def results(folder: Path) -> list[str]:
    """The names of what a command wrote, but for the hidden list of them."""
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


def tree(*folders: Path) -> dict[Path, bytes]:
    """Every file below some folders."""
    files = [path for folder in folders for path in sorted(folder.rglob("*"))]
    return {path: path.read_bytes() if path.is_file() else b"" for path in files}


def picture(path: Path) -> np.ndarray:
    """The pixels of a file."""
    with Image.open(path) as opened:
        return np.asarray(opened)
