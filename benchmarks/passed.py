"""Which functions of asyrp, in which files, one image passes in `asyrp edit` and one text pair in
`asyrp train`: what a newcomer has to read to follow it.

    python benchmarks/passed.py

A function counts where an argument or its result is, or holds, the image (pixels, latents, P_t: any
array with two sides or more of 8) or the text pair (either text, or their direction).
"""

import dataclasses
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from PIL import Image

import asyrp
from asyrp.cli import main
from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.method.text_direction import TextDirection

SOURCE = Path(asyrp.__file__).parent
TEXTS = ("face", "smiling face")
SMALLEST = 8  # of an image's two longest sides, h of the bottleneck included
DEPTH = 2  # of tuples and dataclasses that are looked into

Passed = set[tuple[str, str]]
"""(file, function) of those that something passed."""


def is_image(value: Any) -> bool:
    """Whether a value is pixels or what a network makes of them."""
    if isinstance(value, Image.Image):
        return True
    shape = value.shape if isinstance(value, torch.Tensor | np.ndarray) else ()
    return len(shape) >= 2 and sorted(shape)[-2] >= SMALLEST


def is_text_pair(value: Any) -> bool:
    """Whether a value is either text of the pair, or their direction."""
    return isinstance(value, TextDirection) or (isinstance(value, str) and value in TEXTS)


def holds(value: Any, sought: Callable[[Any], bool], depth: int = DEPTH) -> bool:
    """Whether a value is what is sought, or a tuple, list or dataclass that holds it."""
    if sought(value):
        return True
    if depth == 0:
        return False
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    else:
        parts = list(value[:4]) if isinstance(value, tuple | list) else []
    return any(holds(part, sought, depth - 1) for part in parts)


@contextmanager
def watched(sought: Callable[[Any], bool], inside: Path = SOURCE) -> Iterator[Passed]:
    """The functions of a folder that are called with what is sought, or return it, meanwhile."""
    found: Passed = set()

    def look(frame: FrameType, event: str, result: Any) -> None:
        code = frame.f_code
        place = (code.co_filename, code.co_qualname)
        if event not in ("call", "return") or place in found or code.co_name.startswith("<"):
            return
        if not code.co_filename.startswith(str(inside)):
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        seen = [result] if event == "return" else [frame.f_locals.get(name) for name in names]
        if any(holds(value, sought) for value in seen):
            found.add(place)

    sys.setprofile(look)
    try:
        yield found
    finally:
        sys.setprofile(None)


def told(what: str, found: Passed) -> str:
    """The functions by file, and how many."""
    files = sorted({file for file, _ in found})
    lines = [f"{what}: {len(found)} functions in {len(files)} files"]
    for file in files:
        names = sorted(name for place, name in found if place == file)
        lines.append(f"  {Path(file).relative_to(SOURCE)}: {', '.join(names)}")
    return "\n".join(lines)


def run() -> None:
    """Print both lists."""
    with tempfile.TemporaryDirectory() as folder:
        faces = Path(folder) / "faces"
        faces.mkdir()
        for number in range(3):
            Image.fromarray(draw(sample_face("train", number))).save(faces / f"{number}.png")
        few = ["--images", str(faces), "--refinements", "0"]
        trained = ["train", *few, "--source", TEXTS[0], "--target", TEXTS[1], "--validation", "1"]
        trained += ["--train.steps", "4", "--train.epochs", "1", "--t-start", "999"]
        trained += ["--t-edit", "500", "--t-boost", "100", "--strength", "1"]
        with watched(is_text_pair) as pair:
            assert main([*trained, "--out", f"{folder}/smiling.safetensors"]) == 0
        edited = [
            "edit",
            "--images",
            str(faces / "0.png"),
            "--direction",
            "smiling",
            "--steps",
            "4",
        ]
        with watched(is_image) as image:
            assert main([*edited, "--out", f"{folder}/out"]) == 0
    print(told("one image in asyrp edit", image))
    print(told("one text pair in asyrp train", pair))


if __name__ == "__main__":
    run()
