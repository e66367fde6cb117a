"""What an aligned picture says of itself, as text in its PNG: which photograph, and where in it."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyrp.errors import AsyrpError
from asyrp.settings import Like
from asyrp.storage.face_alignment import Square
from asyrp.storage.files import parse_json
from asyrp.storage.images import notes_of

KEY = "Alignment"
WIDEST = 8  # sides of a photograph that a square of it may span


@dataclass(frozen=True)
class AlignmentNote:
    """The name and the (width, height) of a photograph turned upright, and a square of it."""

    photograph: str
    size: tuple[int, int]
    like: Like
    square: Square

    def as_text(self) -> dict[str, str]:
        """The text chunk of a PNG."""
        corner, edge = self.square.corner, self.square.edge
        told = {
            "photograph": self.photograph,
            "size": self.size,
            "like": self.like,
            "corner": (corner.real, corner.imag),
            "edge": (edge.real, edge.imag),
        }
        return {KEY: json.dumps(told)}


def read_alignment(path: Path) -> AlignmentNote:
    """The note of a picture that `asyrp align` wrote; AsyrpError where it has none that can be."""
    try:
        return _checked(parse_json(notes_of(path)[KEY]))
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise AsyrpError(
            f"needed a picture that asyrp align wrote, with its place in the photograph as text "
            f"{KEY!r}; {str(path)!r} has none to be read ({error!r}); align the photograph again"
        ) from error


def _checked(told: Any) -> AlignmentNote:
    width, height = (int(value) for value in told["size"])
    corner, edge = (complex(*map(float, told[name])) for name in ("corner", "edge"))
    numbers = (corner.real, corner.imag, edge.real, edge.imag)
    most = WIDEST * max(width, height)
    if not all(map(math.isfinite, numbers)) or abs(corner) > most or not 1 <= abs(edge) <= most:
        raise ValueError("the square lies far outside of the photograph")
    if not told["photograph"] or Path(told["photograph"]).name != told["photograph"]:
        raise ValueError("the photograph's name leads elsewhere")
    square = Square(corner, edge)
    return AlignmentNote(str(told["photograph"]), (width, height), told["like"], square)
