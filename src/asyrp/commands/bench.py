"""asyrp bench."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asyrp.bench.bars import BARS
from asyrp.bench.baseline import load_baseline
from asyrp.bench.page import page, plot
from asyrp.bench.plan import FULL, QUICK, chosen, stages
from asyrp.bench.works import Work
from asyrp.commands.common import say
from asyrp.commands.compare import work
from asyrp.experiments.plots import save_figure
from asyrp.options.bench import Bench
from asyrp.reporting.tables import write_json, write_text
from asyrp.runtime.resumable import result_of, seconds_of
from asyrp.storage.results import new_folder


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
