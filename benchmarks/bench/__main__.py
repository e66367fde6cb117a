"""Speed and memory of this machine: `PYTHONPATH=benchmarks python -m bench`, or `make bench`."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from asyrp.commands.common import say, work
from asyrp.errors import AsyrpError
from asyrp.experiments.plots import save_figure
from asyrp.options.shared import unset
from asyrp.runtime.resumable import result_of, seconds_of
from asyrp.storage.json_files import write_json, write_text
from asyrp.storage.results import new_folder
from bench.bars import BARS
from bench.baseline import load_baseline
from bench.page import page, plot
from bench.plan import FULL, QUICK, chosen, stages
from bench.works import Work


@dataclass(frozen=True)
class Bench:
    """Measure speed and memory here, beside the reference implementation: writes performance.md."""

    docs: Path = Path("docs")
    """Folder for performance.md and images/performance.png."""
    keep: Path = Path("build/bench")
    """Folder for the numbers: parts/ of this run, last/ of the one before, bench.json. A run that
    was stopped goes on from it; one after a finished run begins anew."""
    baseline: Path = Path("benchmarks/naive.py")
    """The reference implementation, to compare with."""
    only: Annotated[tuple[str, ...], unset("all that are missing", "[STR ...]")] = ()
    """Parts to measure anew, as in walk-ddpm-128 or traded."""
    quick: bool = False
    """Networks and numbers so small that the results mean nothing, to test the bench itself; the
    page goes to quick/ of the folder for the numbers."""


def run(options: Bench) -> None:
    """Measure what is missing, and write bench.json, performance.md and its figure."""
    parts, keep, docs = FULL, options.keep, options.docs
    if options.quick:  # beside the real numbers, never in their place
        parts, keep = QUICK, options.keep / "quick"
        docs = keep
    wanted = chosen(parts, options.only)
    load_baseline(options.baseline)
    kept, last = new_folder(keep) / "parts", keep / "last"
    put_aside(kept, last, parts, options.only)
    work(stages(wanted, options.baseline), kept, workers=1)
    found, before = numbers(kept, parts), numbers(last, parts)
    seconds = sum(seconds_of(kept, name) for name in found)
    write_json(keep / "bench.json", {"seconds": seconds, "parts": found})
    images = new_folder(new_folder(docs) / "images")
    write_text(docs / "performance.md", page(found, before, "make bench"))
    save_figure(plot(found), images / "performance.png")
    met = [bar.met(found) for bar in BARS]
    say(f"{met.count(True)} bars met, {met.count(False)} not, {met.count(None)} not measured")
    say(f"wrote {docs / 'performance.md'}; all parts took {seconds:.0f} s")


def put_aside(kept: Path, last: Path, parts: Mapping[str, Work], only: tuple[str, ...]) -> None:
    """Move what is to be measured anew to `last`: the parts asked for, or a finished run."""
    old = [kept / f"{name}.json" for name in only or parts]
    if not only and not all(path.is_file() for path in old):
        return
    new_folder(last)
    for path in old:
        if path.is_file():
            shutil.move(path, last / path.name)


def numbers(folder: Path, parts: Mapping[str, Work]) -> dict[str, dict[str, Any]]:
    """The results that are there."""
    there = [name for name in parts if (folder / f"{name}.json").is_file()]
    return {name: result_of(folder, name) for name in there}


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code: 0, or 2 for an input that cannot be used."""
    try:
        run(tyro.cli(Bench, args=argv))
    except AsyrpError as error:
        say(f"bench: {error}")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
