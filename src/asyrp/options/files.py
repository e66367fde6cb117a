"""Options of the commands from files to files: align, paste, convert, gather."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

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


@dataclass(frozen=True)
class Convert:
    """Turn original checkpoints into diffusers folders, released directions into ours, or back."""

    file: tyro.conf.Positional[str]
    """Original checkpoint, direction, or URL#sha256=HEX of one; with --back what convert made."""
    out: Path
    """Folder of a network, .safetensors of a direction; with --back also .pt, .pth or .ckpt."""
    back: bool = False
    """Write the original names again."""
    config: Annotated[Path | None, unset("what names and shapes tell", "PATH")] = None
    """JSON file of what shapes do not tell; docs/paper_networks.md lists its names."""
    preset: Annotated[str | None, unset("read off the shapes", "STR")] = None
    """The network that the file is, as in celeba-hq, afhq-dog or metfaces."""
    model: Annotated[str | None, unset("any network of its shape", "STR")] = None
    """Direction: the network it was trained on, whose fingerprint it shall carry."""
    prompt: str = ""
    """Direction: the prompt that --model was used with."""
    guidance: float = 1.0
    """Direction: the weight of that prompt."""
    class_label: Annotated[int | None, unset("none", "INT")] = None
    """Direction: the class that --model was used with."""
    cosine: Annotated[float | None, unset("the paper's t_edit, or 0.9", "FLOAT")] = None
    """Direction: cos(source, target) by CLIP ViT-B/16, which sets t_edit by the released tables."""
    overwrite: Overwrite = False


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
