"""Which files of a folder are pictures, and what else it holds."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from asyrp.errors import AsyrpError
from asyrp.storage.untrusted.pictures import HAS_AVIF

_JPEG = (".jpg", ".jpeg", ".jfif", ".jpe")
SUFFIXES = (".png", *_JPEG, ".webp", ".bmp", ".gif", ".tif", ".tiff", *([".avif"] * HAS_AVIF))
RECORDS = (".json", ".csv", ".safetensors")  # what commands write beside pictures
SHEET = "sheet"  # the folder of overviews, in which no reader looks
LONGEST_STEM = 220  # bytes of a name without suffix; outputs add theirs, and a disk allows 255


def find_images(folder: Path) -> list[Path]:
    """The picture files directly in a folder, sorted by name; a warning names what else it holds.

    Raises:
        AsyrpError: no such folder, no picture, two of one stem, or a name too long for outputs.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise AsyrpError(f"needed a folder of images, or one image; {str(folder)!r} does not exist")
    paths = sorted(p for p in folder.iterdir() if _is_picture(p))
    rest = passed_over(folder)
    if not paths:
        raise AsyrpError(
            f"needed at least one image ({', '.join(SUFFIXES)}) in {str(folder)!r}; it has none"
            + (f", but {told_of(rest)}" if rest else "")
        )
    if rest:
        warnings.warn(f"passed over in {str(folder)!r}: {told_of(rest)}", stacklevel=2)
    _check_names(paths)
    return paths


def stems_in(folder: Path) -> list[str]:
    """The names without suffix of the pictures of a folder, or of one; outputs are named so."""
    inside = folder.iterdir() if folder.is_dir() else [folder]
    return [path.stem for path in inside if _is_picture(path)]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file()


def passed_over(folder: Path) -> list[Path]:
    """What a folder holds besides pictures, its folders included, by name.

    Left out are records of commands and what a file manager hides, but for hidden pictures.
    """
    rest = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in rest if not _is_picture(path) and _counts(path)]


def _counts(path: Path) -> bool:
    suffix = path.suffix.lower()
    if path.name[0] == ".":
        return suffix in SUFFIXES
    return suffix not in RECORDS and path.name != SHEET


def told_of(rest: Sequence[Path]) -> str:
    """How many files and folders were passed over, the first ones by name, and what to do."""
    kinds = {
        "file": ([p for p in rest if not p.is_dir()], "no kind that is read here, convert to PNG"),
        "folder": ([p for p in rest if p.is_dir()], "name it itself to read what it holds"),
    }
    return "; ".join(
        f"{len(paths)} {kind}{'s' * (len(paths) > 1)} ({', '.join(repr(p.name) for p in paths[:4])}"
        f"{', ...' * (len(paths) > 4)}): {why}"
        for kind, (paths, why) in kinds.items()
        if paths
    )


def _check_names(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        if len(os.fsencode(path.stem)) > LONGEST_STEM:
            raise AsyrpError(
                f"outputs are named after inputs, so a name may have {LONGEST_STEM} bytes without "
                f"its suffix; rename {path.name[:40]!r}..., which has more"
            )
        if path.stem in seen:
            raise AsyrpError(
                f"outputs are named after inputs, and {seen[path.stem].name!r} and {path.name!r} "
                "would share a name; rename one of them"
            )
        seen[path.stem] = path
