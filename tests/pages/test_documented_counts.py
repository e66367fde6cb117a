"""Documented `asyrp evaluate` commands have as many pictures as their metrics need.

The tests that run the pages shrink every count and leave FID and diversity out (snippets.quick), so
they would not notice.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from asyrp.metrics.frechet import LEAST_FID
from asyrp.options import Edit, Evaluate, Gather, Invert, Sample, World
from snippets import asyrp_argv, blocks, pages
from walking import parsed

LEAST_AUDITED = 64  # images: some subgroups of 8 are among them
DRAWN = "world draw --out b --count 64"
UNKNOWN = 10**9  # images of the reader's, of which there are as many as it takes


def documented(page: Path) -> Iterator[tuple[object, int]]:
    """The options of every command of a page, in order, and what a folder holds by default.

    Commands that a test runs have only folders that the page makes; others may have the reader's.
    """
    for block in blocks(page):
        if block.language != "python":
            for command in block.commands:
                argv = asyrp_argv(command)
                if argv is not None:
                    yield parsed(argv), 0 if "run" in block.tags else UNKNOWN


def measured(page: Path) -> Iterator[tuple[Evaluate, int]]:
    """Every evaluate of a page, with the number of its sources."""
    made: dict[str, int] = {}
    for options, other in documented(page):
        match options:
            case World(part="draw"):
                made[str(options.out)] = options.count
            case Sample():
                made[str(options.out)] = options.count
            case Gather():
                most = UNKNOWN if options.most is None else options.most
                made[str(options.out)] = min(most, count_in(options.images, made, other))
            case Edit() | Invert():
                made[str(options.out)] = count_in(str(options.images), made, other)
            case Evaluate():
                yield options, count_in(options.images, made, other)


def count_in(source: str, made: dict[str, int], other: int) -> int:
    """The pictures of a folder, or of a CSV in it; other: where the page has not made it."""
    folder = str(Path(source).parent) if source.endswith(".csv") else source
    return made.get(folder, other)


def least_of(options: Evaluate) -> int:
    """How many pictures a documented command should have."""
    if options.subgroups:
        return LEAST_AUDITED
    return 1 if "fid" in options.leave_out else LEAST_FID


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_documented_evaluations_have_enough_pictures(page: Path) -> None:
    for options, count in measured(page):
        assert count >= least_of(options), f"{page.name}: {options.images} has {count} pictures"


def test_the_pages_are_counted() -> None:
    found = [(page.stem, count) for page in pages() for _, count in measured(page)]
    assert {page for page, count in found if count < UNKNOWN} >= {
        "evaluating", "paper_networks", "responsible_use", "train_a_direction",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("made", "asked", "count", "least"),
    [
        ("world draw --out a --count 15", "", 15, LEAST_FID),
        ("world draw --out a --count 15", "--leave-out fid", 15, 1),
        ("world draw --out a", "--subgroups skin", 64, LEAST_AUDITED),
        (f"{DRAWN}\n$ asyrp gather --images b/labels.csv --out a --most 20", "", 20, LEAST_FID),
        (f"{DRAWN}\n$ asyrp gather --images b --out a --most 80", "", 64, LEAST_FID),
        ("sample --out a --count 9", "", 9, LEAST_FID),
        (DRAWN, "", 0, LEAST_FID),
    ],
)
def test_what_a_page_makes_is_counted(
    tmp_path: Path, made: str, asked: str, count: int, least: int
) -> None:
    page = tmp_path / "page.md"
    evaluate = f"$ asyrp evaluate --images a --edits c --out d {asked}"
    page.write_text(f"```console run\n$ asyrp {made}\n{evaluate}\n```\n")
    ((options, found),) = measured(page)
    assert (found, least_of(options)) == (count, least)
