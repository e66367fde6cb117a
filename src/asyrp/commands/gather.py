"""asyrp gather: pictures of any source, one after the other, into a folder."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from asyrp.commands.common import say, tell_others
from asyrp.errors import AsyrpError
from asyrp.options.files import Gather
from asyrp.reporting.tables import csv_text
from asyrp.storage.files import atomic_folder
from asyrp.storage.image_folders import LONGEST_STEM, passed_over
from asyrp.storage.image_sources import (
    SHARES,
    Record,
    Skipped,
    is_folder,
    open_source,
    split_of,
    stream,
)
from asyrp.storage.images import SMALLEST, write_png
from asyrp.storage.json_files import write_json, write_text
from asyrp.storage.results import check_results
from asyrp.storage.untrusted.bounds import MOST_PIXELS

SHOWN = 3  # unreadable pictures that are named in the last line; gathered.json has all


def run(options: Gather) -> dict[str, Any]:
    """Write a PNG a picture, labels.csv and gathered.json, or nothing."""
    if options.most is not None and options.most < 1:
        raise AsyrpError(f"--most must be 1 or more; got {options.most}")
    size_of(options)
    check_results(options.out, Path(options.images), ["gathered.json", "labels.csv"])
    skipped = [
        Skipped(path.name, "a folder, not looked into" if path.is_dir() else "no kind that is read")
        for path in passed_over(Path(options.images))
        if is_folder(options.images)
    ]
    with atomic_folder(options.out) as out:
        rows = _written(islice(_records(options, skipped), options.most), out)
        if not rows:
            first = f"; the first: {skipped[0].name}: {skipped[0].reason}" if skipped else ""
            raise AsyrpError(
                f"needed at least one readable image of split {options.split!r} in "
                f"{options.images!r}; got none, {len(skipped)} unreadable{first}"
            )
        if len(rows[0]) > 1:
            write_text(out / "labels.csv", csv_text(rows))
        told: dict[str, Any] = {"source": options.images, "split": options.split, "shares": SHARES}
        lost = [one._asdict() for one in skipped]
        told |= {"count": len(rows), "skipped": lost}
        write_json(out / "gathered.json", told)
    say(_told(options, len(rows), skipped))
    tell_others(options.out, (row["file_name"] for row in rows))
    return {"out": options.out, **told}


def size_of(options: Gather) -> tuple[int, int] | None:
    """(height, width) of the pictures; None for that of the first one.

    Raises:
        AsyrpError: more than two numbers, or a picture too small or too large to be read again.
    """
    if not options.size:
        return None
    size = options.size[0], options.size[-1]
    if len(options.size) > 2 or min(size) < SMALLEST or size[0] * size[1] > MOST_PIXELS:
        told = " ".join(map(str, options.size))
        raise AsyrpError(
            f"--size is one side, or height and width, of {SMALLEST} or more, and at most "
            f"{MOST_PIXELS:,} pixels; got {told}"
        )
    return size


def _records(options: Gather, skipped: list[Skipped]) -> Iterator[Record]:
    """What can be read; the rest is added to `skipped`."""
    size = size_of(options)
    items = open_source(options.images, size)
    if options.split != "all":
        items = (item for item in items if split_of(item.name) == options.split)
    for found in stream(items, size):
        if isinstance(found, Record):
            yield found
        else:
            skipped.append(found)


def _written(records: Iterator[Record], out: Path) -> list[Mapping[str, str]]:
    """The rows of labels.csv: the file's name, then its labels."""
    rows: dict[str, Mapping[str, str]] = {}
    for record in tqdm(records, desc="gathering", unit="image"):
        name = f"{safe_stem(record.name)}.png"
        if name in rows:
            raise AsyrpError(
                f"outputs are named after inputs, and two of them would be {name!r}; rename one"
            )
        write_png(out / name, record.image)
        labels = {key: value for key, value in record.labels.items() if key != "file_name"}
        rows[name] = {"file_name": name, **labels}
    return list(rows.values())


def safe_stem(name: str) -> str:
    """A name of a source as one of a file, its folders kept: 'a/b 1.jpg' -> 'a_b_1'.

    Of one that is too long for a file the beginning, and the beginning of its hash.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    known = path.suffix.lower().lstrip(".")
    stem = path.with_suffix("") if known.isalpha() else path
    plain = re.sub(r"[^\w.-]+", "_", str(stem)).strip("._") or "image"
    if len(os.fsencode(plain)) <= LONGEST_STEM:
        return plain
    mark = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:16]
    return f"{plain[: LONGEST_STEM // 4 - len(mark)]}_{mark}"


def _told(options: Gather, count: int, skipped: list[Skipped]) -> str:
    line = f"wrote {count} images and gathered.json to {options.out}"
    if skipped:
        named = "; ".join(f"{one.name}: {one.reason}" for one in skipped[:SHOWN])
        line += f"; {len(skipped)} unreadable, listed there ({named})"
    return line
