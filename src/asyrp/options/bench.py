"""Options of bench."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from asyrp.options.shared import unset


@dataclass(frozen=True)
class Bench:
    """Measure speed and memory here, beside the official order of work: writes performance.md."""

    docs: Path = Path("docs")
    """Folder for performance.md and images/performance.png."""
    keep: Path = Path("build/bench")
    """Folder for the numbers: parts/ of this run, last/ of the one before, bench.json. A run that
    was stopped goes on from it; one after a finished run begins anew."""
    baseline: Path = Path("benchmarks/naive.py")
    """The official order of work, to compare with."""
    only: Annotated[tuple[str, ...], unset("all that are missing", "[STR ...]")] = ()
    """Parts to measure anew, as in walk-ddpm-128 or traded."""
    quick: bool = False
    """Networks and numbers so small that the results mean nothing, to test the bench itself; the
    page goes to quick/ of the folder for the numbers."""
