"""Where images come from: a folder, a CSV of attributes, Hugging Face datasets, an LMDB.

All are streamed. A file that cannot be read is passed on as `Skipped`, for the caller to count.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import Tensor

from asyrp.errors import AsyrpError, first_line, need
from asyrp.storage.image_folders import find_images
from asyrp.storage.images import read_image, upright_shape
from asyrp.storage.outputs import protect
from asyrp.storage.untrusted.databases import Database
from asyrp.storage.untrusted.revisions import pinned

NAME_COLUMNS = ("image_id", "file_name", "filename", "file", "image", "path", "name")


class Item(NamedTuple):
    """A picture before it is decoded: a path or the bytes of a file, and its labels."""

    name: str
    data: Path | bytes
    labels: Mapping[str, str]


class Record(NamedTuple):
    """A picture: (3, height, width) in [-1, 1]; size: (height, width) it had before fitting."""

    name: str
    image: Tensor
    labels: Mapping[str, str]
    size: tuple[int, int]


class Skipped(NamedTuple):
    """A picture that could not be read, and why."""

    name: str
    reason: str


class Loaded(NamedTuple):
    """The pictures of a source that could be read, and those that could not."""

    records: list[Record]
    skipped: list[Skipped]


def load(spec: str | Path, size: tuple[int, int] | None = None) -> Loaded:
    """The pictures of a source, see `open_source` for `spec`.

    Args:
        size: (height, width) to crop and resize to; None for the size of the first picture.

    Raises:
        AsyrpError: no source by that name, or nothing readable in it.
    """
    found = [*stream(open_source(spec, size), size)]
    records = [one for one in found if isinstance(one, Record)]
    skipped = [one for one in found if isinstance(one, Skipped)]
    if not records:
        first = f"; the first: {skipped[0].name}: {skipped[0].reason}" if skipped else ""
        raise AsyrpError(
            f"needed at least one readable image in {str(spec)!r}; got none, "
            f"{len(skipped)} unreadable{first}"
        )
    return Loaded(records, skipped)


def open_source(spec: str | Path, size: tuple[int, int] | None = None) -> Iterator[Item]:
    """The items of a folder, FILE.csv, an LMDB folder, or hf:NAME[:SPLIT]; nothing is decoded."""
    text = str(spec)
    if text.startswith("hf:"):
        return hugging_face(text.removeprefix("hf:"))
    path = Path(text)
    if path.suffix.lower() == ".csv":
        return csv_table(path)
    if is_folder(text):
        return (Item(found.name, found, {}) for found in find_images(path))
    return lmdb_folder(path, size)


def is_folder(spec: str | Path) -> bool:
    """Whether a source is a folder of picture files, or one picture."""
    path, text = Path(spec), str(spec)
    other = text.startswith("hf:") or path.suffix.lower() in (".csv", ".lmdb")
    return not other and not (path / "data.mdb").is_file()


def csv_table(path: Path) -> Iterator[Item]:
    """A CSV with a column of file names (relative to it) and one column an attribute."""
    if not path.is_file():
        raise AsyrpError(f"needed a CSV of attributes; {str(path)!r} does not exist")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _csv_rows(csv.DictReader(file), path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise AsyrpError(f"{str(path)!r} is no CSV in UTF-8: {error}") from error


def _csv_rows(reader: "csv.DictReader[str]", path: Path) -> Iterator[Item]:
    columns = reader.fieldnames or []
    if twice := sorted({c for c in columns if columns.count(c) > 1}):
        raise AsyrpError(f"{str(path)!r} has two columns {twice[0][:80]!r}; rename one")
    name = next((c for c in NAME_COLUMNS if c in columns), None)
    if name is None:
        raise AsyrpError(
            f"{str(path)!r} needs a column of file names called one of "
            f"{', '.join(NAME_COLUMNS)}; it has {', '.join(columns) or 'none'}"
        )
    for row in reader:  # cells that a short row lacks are None
        labels = {k: v or "" for k, v in row.items() if k != name and k is not None}
        told = row[name] or f"line {reader.line_num}"
        yield Item(told, path.parent / told, labels)


def hugging_face(spec: str) -> Iterator[Item]:
    """A dataset of the Hub or on disk, NAME[:SPLIT]; its first image column, the rest as labels."""
    library: Any = need("datasets", "data")
    try:
        yield from _rows(_table(spec, library), spec, library)
    except AsyrpError:
        raise
    except Exception as error:  # a damaged file fails in any way, and at any row
        raise AsyrpError(f"the dataset {spec!r} does not load: {first_line(error)}") from error


def _table(spec: str, library: Any) -> Any:
    name, _, part = spec.partition(":")
    if not Path(name).is_dir():
        name, revision = pinned(name)
        return library.load_dataset(name, revision=revision, split=part or "train", streaming=True)
    table = library.load_from_disk(name)
    if not hasattr(table, "keys"):
        table = {str(table.split or ""): table}
    if part and part not in table:
        raise AsyrpError(
            f"the dataset {name!r} has no split {part!r}; it has {', '.join(table) or 'none'}"
        )
    return table[part or next(iter(table))]


def _rows(table: Any, spec: str, library: Any) -> Iterator[Item]:
    kinds = table.features or {}
    column = next((k for k, v in kinds.items() if isinstance(v, library.Image)), None)
    if column is None:
        raise AsyrpError(
            f"the dataset {spec!r} needs a column of images; it has {', '.join(kinds) or 'none'}"
        )
    for index, row in enumerate(table.cast_column(column, library.Image(decode=False))):
        held, name = row.pop(column) or {}, f"{index:08d}"  # a cell may be empty
        data = held.get("bytes")
        data = Path(held.get("path") or name) if data is None else data
        yield Item(name, data, {k: str(v) for k, v in row.items()})


def lmdb_folder(path: Path, size: tuple[int, int] | None = None) -> Iterator[Item]:
    """An LMDB of encoded pictures: LSUN's (any keys), or CelebA-HQ's keys RESOLUTION-INDEX.

    Of several resolutions the smallest that covers `size` is read, or the largest there is.
    """
    with Database(path) as database:
        prefix = _resolution(database, size)
        for key, value in database.items():
            name = key.decode("latin-1")
            if name != "length" and name.startswith(prefix):
                yield Item(name, value, {})


def _resolution(database: Database, size: tuple[int, int] | None) -> str:
    """The prefix of the keys to read: "256-" of CelebA-HQ's, "" of LSUN's."""
    if b"length" not in database:
        return ""
    found = (re.match(rb"([0-9]{1,5})-", key) for key in database.keys())
    sides = sorted({int(one[1]) for one in found if one})
    if not sides:
        return ""
    wanted = max(size) if size else 0
    return f"{next((side for side in sides if side >= wanted), sides[-1])}-"


def stream(items: Iterable[Item], size: tuple[int, int] | None) -> Iterator[Record | Skipped]:
    """Decode one by one: upright, on white, RGB, cropped to `size` (None: the first one's)."""
    for item in items:
        try:
            own = upright_shape(_as_path(item))
            size = size or own
            image = read_image(_as_path(item), size)
        except Exception as error:  # a damaged file fails in any way
            yield Skipped(item.name, " ".join(str(error).split()))
            continue
        yield Record(item.name, image, item.labels, own)


class _Bytes(io.BytesIO):
    """The bytes of a file that is named in messages as a path is."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(data)
        self._title = name

    def __str__(self) -> str:
        return self._title


def _as_path(item: Item) -> Path:
    # what opens it in the end takes an open file wherever it takes a path
    if isinstance(item.data, Path):
        protect(item.data)  # which a table may name anywhere
        return item.data
    return cast(Path, _Bytes(item.name, item.data))


SHARES: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}


def split_of(name: str) -> str:
    """The split of a picture, by the hash of its stem: the same on every machine and order."""
    digest = hashlib.sha256(f"0:{Path(name).stem}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for split, share in SHARES.items():
        place -= share
        if place < 0:
            return split
    return list(SHARES)[-1]
