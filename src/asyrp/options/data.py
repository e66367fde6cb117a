"""Options of gather."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from asyrp.options.shared import Overwrite, unset


@dataclass(frozen=True)
class Gather:
    """Bring pictures of any source into a folder that every command reads."""

    images: str
    """A folder, FILE.csv of attributes, an LMDB folder (as CelebA-HQ and LSUN ship it), or
    hf:NAME[:SPLIT] of Hugging Face datasets, on disk or streamed from the Hub."""
    out: Path
    """Folder for the PNGs, gathered.json, and labels.csv where the source has labels."""
    split: Literal["all", "train", "validation", "test"] = "all"
    """Which part: 80, 10 and 10 % by the hash of the names, the same on every machine."""
    most: Annotated[int | None, unset("all", "INT")] = None
    """Stop after so many readable pictures."""
    size: Annotated[tuple[int, ...], unset("that of the first picture", "INT [INT]")] = ()
    """Pixels to crop and resize to: a side, or height and width."""
    overwrite: Overwrite = False
