"""Thousands of spoilt files of every kind, as rows of the report."""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from faults import configs
from faults.kinds import KINDS, Kind
from faults.pictures import LARGEST, large
from faults.running import Fault
from faults.watch import FORK, Verdict, read_one, watched

EVERY = (*KINDS, *configs.kinds())


class Tally(NamedTuple):
    """What came of the files of a kind."""

    kind: str
    verdicts: list[Verdict]
    seconds: float

    def fault(self) -> Fault:
        """As a row of the report."""
        refused = sum(one.refused for one in self.verdicts)
        slowest = max(one.seconds for one in self.verdicts)
        most = max(one.memory for one in self.verdicts)
        told = (
            f"{refused:,} refused in a line, {len(self.verdicts) - refused:,} read; slowest "
            f"{slowest:.1f} s, most memory {most / 1e6:.0f} MB; no code run"
        )
        counted = Counter(one.fault for one in self.verdicts if one.fault)
        first = {one.fault: one.number for one in reversed(self.verdicts)}
        faults = tuple(f"{n} x {why} (number {first[why]})" for why, n in counted.most_common())
        listed = any(kind.listed for kind in EVERY if kind.name == self.kind)
        name = f"{'every number' if listed else 'corrupted files'}: {self.kind}"
        return Fault(name, len(self.verdicts), told, faults, self.seconds)


def tally(kind: Kind, count: int, seed: int = 0) -> Tally:
    """Read so many files of a kind."""
    begun = time.perf_counter()
    verdicts = list(watched(kind, range(count), seed))
    return Tally(kind.name, verdicts, time.perf_counter() - begun)


def every(count: int, seed: int = 0, only: Sequence[str] = ()) -> Iterator[Fault]:
    """All kinds, or those whose names hold a word of `only`; one a core at a time."""
    wanted = [i for i, k in enumerate(EVERY) if not only or any(word in k.name for word in only)]
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), FORK) as pool:
        found = [pool.submit(_row, index, count, seed) for index in wanted]
        for one in found:
            yield one.result()
    if not only:
        yield bombs()


def _row(index: int, count: int, seed: int) -> Fault:
    return tally(EVERY[index], EVERY[index].listed or count, seed).fault()


def bombs() -> Fault:
    """Pictures of a few thousand bytes that unpack to the most that is allowed, and beyond."""
    kind = next(kind for kind in KINDS if kind.name == "PNG")
    begun, files = time.perf_counter(), [large(*one) for one in LARGEST]
    verdicts = [read_one(kind, i, {"a.png": data}) for i, data in enumerate(files)]
    return Tally("pictures of 64 million pixels", verdicts, time.perf_counter() - begun).fault()
