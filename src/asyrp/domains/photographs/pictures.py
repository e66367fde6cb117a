"""Aligned photographs with attributes: which belong to which split, read once and kept as uint8."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np
from PIL import Image

from asyrp.errors import AsyrpError
from asyrp.storage.files import atomic_path
from asyrp.storage.untrusted.bounds import LARGEST_PICTURE
from asyrp.storage.untrusted.pictures import open_picture

SIZE = 64
BOX = (10, 26, 80, 96)  # of the 89 x 109 photographs: the face, and some hair
CLEARED = ("Wearing_Hat", "Gray_Hair")  # the diffusion network never sees a picture with one

Split = str
SPLITS: Mapping[Split, tuple[float, float]] = {
    "encoder": (0.0, 0.495),  # shares of the sorted file names; no picture lies in two
    "judge": (0.495, 0.81),
    "validation": (0.81, 0.895),
    "test": (0.895, 1.0),
}


class Labelled(NamedTuple):
    """Pictures (n, size, size, 3) uint8, their file names, and attributes (n, k) bool by name."""

    pictures: np.ndarray
    names: Sequence[str]
    attributes: np.ndarray
    columns: Sequence[str]

    def rows(self, keep: np.ndarray) -> "Labelled":
        """Some of them, by a mask or by indices."""
        names = list(np.array(self.names)[keep])
        return self._replace(
            pictures=self.pictures[keep], names=names, attributes=self.attributes[keep]
        )

    def column(self, name: str) -> np.ndarray:
        """One attribute of all, (n,) bool."""
        return self.attributes[:, list(self.columns).index(name)]

    def split(self, name: Split) -> "Labelled":
        """Those of one split; `diffusion` is encoder and judge without the cleared values."""
        if name == "diffusion":
            both = self.rows(_places(len(self.names), SPLITS["encoder"][0], SPLITS["judge"][1]))
            shown = [both.column(value) for value in CLEARED if value in both.columns]
            return both.rows(~np.any(shown, axis=0)) if shown else both
        return self.rows(_places(len(self.names), *SPLITS[name]))


def _places(count: int, begin: float, end: float) -> np.ndarray:
    return np.arange(round(begin * count), round(end * count))


@dataclass(frozen=True)
class Crop:
    """How a picture becomes a square: a box (left, top, right, bottom), then Lanczos to `size`."""

    size: int = SIZE
    box: tuple[int, int, int, int] | None = BOX

    def __call__(self, image: Image.Image) -> np.ndarray:
        """(size, size, 3) uint8."""
        image = image.convert("RGB").crop(self.box) if self.box else image.convert("RGB")
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.LANCZOS))


def read(images: Path, attributes: Path, cache: Path, crop: Crop | None = None) -> Labelled:
    """Read every picture that the attribute table names, from a folder or a zip; kept in `cache`.

    The table is tab separated: `file`, then one column of 0 and 1 an attribute.

    Raises:
        AsyrpError: the table has no such columns, or a picture is missing.
    """
    with open(attributes, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if not rows or "file" not in rows[0]:
        raise AsyrpError(
            f"needed a table, tab separated, with the columns file, then one of 0 and 1 an "
            f"attribute; got {str(attributes)!r}"
        )
    rows.sort(key=lambda row: row["file"])
    names = [row["file"] for row in rows]
    columns = [name for name in rows[0] if name != "file"]
    marks = np.array([[row[name] == "1" for name in columns] for row in rows])
    kept = cache / f"pictures-{len(names)}.npy"
    if not kept.exists():
        drawn = np.stack([*_cropped(images, names, crop or Crop())])
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_path(kept) as temporary, open(temporary, "wb") as out:
            np.save(out, drawn)
    return Labelled(np.load(kept), names, marks, columns)


def _cropped(images: Path, names: Sequence[str], crop: Crop) -> Iterator[np.ndarray]:
    try:
        if images.is_dir():
            yield from (crop(open_picture(images / name)) for name in names)
            return
        with ZipFile(images) as archive:
            for name in names:
                if archive.getinfo(name).file_size > LARGEST_PICTURE:
                    raise OSError(f"{name!r} unpacks to more than {LARGEST_PICTURE:,} bytes")
                yield crop(open_picture(BytesIO(archive.read(name))))
    except (OSError, KeyError, ValueError, RuntimeError, BadZipFile) as error:
        raise AsyrpError(
            f"the table names a picture that {str(images)!r} does not give ({error}); needed every "
            "picture of the table, in a folder or a zip"
        ) from error
