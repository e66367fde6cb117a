"""How an edit fares beside processes that compute, with one thread and with all."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from asyrp.method.editing import invert
from asyrp.reporting.tables import Row, markdown
from bench import meter
from bench.subjects import images_of, subject

COMPUTE = "import torch; torch.set_num_threads(1); a = torch.ones(700, 700)\nwhile True: a @ a"


@dataclass(frozen=True)
class Busy:
    """Inverting pictures and leading them back, which is most of `asyrp edit`.

    beside: numbers of busy processes. images: that are walked at once. rounds: every state in turn.
    """

    network: str = "avatars-64"
    images: tuple[int, ...] = (1, 8)
    steps: int = 10
    beside: tuple[int, ...] = (0, 1, 2)
    rounds: int = 5

    def measure(self, baseline: Path) -> dict[str, Any]:
        """Seconds of every state."""
        model, every = subject(self.network), torch.get_num_threads()
        given = {count: images_of(model, count) for count in self.images}
        states = [(n, b, t) for n in self.images for b in self.beside for t in sorted({1, every})]
        seconds: dict[tuple[int, int, int], list[float]] = {state: [] for state in states}
        for turn in range(1 + self.rounds):
            for state in states if turn % 2 else states[::-1]:
                count, beside, threads = state
                torch.set_num_threads(threads)
                with busy(beside):
                    took = meter.seconds_of(lambda n=count: invert(model, given[n], self.steps))  # type: ignore[misc]
                if turn:
                    seconds[state].append(took)
        torch.set_num_threads(every)
        rows = [
            {"images": n, "beside": b, "threads": t, "seconds": meter.spread(seconds[n, b, t])}
            for n, b, t in states
        ]
        return {"network": self.network, "threads": every, "rows": rows}


@contextmanager
def busy(count: int) -> Iterator[None]:
    """While it lasts, processes that multiply matrices on a thread each."""
    command = [sys.executable, "-c", COMPUTE]
    others = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for one in others:
            one.kill()
            one.wait()


def slowdown(part: Mapping[str, Any], beside: int = 1) -> float:
    """The most times longer that an edit takes beside busy processes, with all threads."""
    medians: dict[tuple[int, int], float] = {
        (row["images"], row["beside"]): row["seconds"]["median"]
        for row in part["rows"]
        if row["threads"] == part["threads"]
    }
    return max(
        seconds / medians[images, 0] for (images, b), seconds in medians.items() if b == beside
    )


def told(part: Mapping[str, Any] | None) -> list[str]:
    """What it says on the page."""
    if part is None:
        return []
    rows: list[Row] = [
        {
            "images": row["images"],
            "busy processes": row["beside"],
            "threads": row["threads"],
            "seconds": "{median:.3g} [{least:.3g}, {most:.3g}]".format(**row["seconds"]),
        }
        for row in part["rows"]
    ]
    return [
        f"{part['network']}, inverted and led back beside processes that multiply matrices on one "
        "thread each. OMP_WAIT_POLICY is PASSIVE, as every command sets it.",
        markdown(rows),
    ]
