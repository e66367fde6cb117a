"""Options of align and paste."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from asyrp.options.shared import Overwrite, unset
from asyrp.settings import Like


@dataclass(frozen=True)
class Align:
    """Find the face in photographs and cut it out as a dataset of faces does."""

    photos: tyro.conf.Positional[Path]
    """A photograph, or a folder of them."""
    out: Path
    """Folder for the aligned pictures, PNGs that say where they lie in the photograph."""
    like: Like = "celeba"
    """Whose cut: celeba (close, as photographs-64 was trained on), or celeba-hq and ffhq (the whole
    head; one rule for both)."""
    size: Annotated[int | None, unset("64 like celeba, else 256", "INT")] = None
    """Side of the aligned pictures in pixels."""
    face: Annotated[int | None, unset("the only one", "INT")] = None
    """Which face, counted from the left, where a photograph shows several."""
    overwrite: Overwrite = False


@dataclass(frozen=True)
class Paste:
    """Put edited faces back into the photographs that they were aligned from."""

    photos: Path
    """The photographs that were aligned: the folder, or the one file."""
    aligned: Path
    """What asyrp align wrote: the folder, or one picture."""
    edited: Path
    """The edited pictures, named as the aligned ones (NAME.png, NAME_+1.5.png): a folder or one."""
    out: Path
    """Folder for the photographs with the edits, one PNG an edited picture."""
    overwrite: Overwrite = False
