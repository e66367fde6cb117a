"""Clocks and counters: seconds of alternating runs, FLOPs, the machine's GEMM rate, memory."""

import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from asyrp.method.hspace import Encoded, HSpaceUNet
from asyrp.method.schedule import NoiseSchedule

Work = Callable[[], object]
GEMM_SIZE = 2048


class Seconds(NamedTuple):
    """Seconds of each run of some works in turn, and the GEMM rate (FLOP/s) around each run.

    flops: of one run of each.
    """

    of: dict[str, list[float]]
    gemm: dict[str, list[float]]
    flops: dict[str, int]

    def median(self, name: str) -> float:
        """Of a work."""
        return statistics.median(self.of[name])

    def ratio(self, slow: str, fast: str) -> dict[str, Any]:
        """How many times faster: median, least and most over rounds."""
        pairs = zip(self.of[slow], self.of[fast], strict=True)
        return spread([a / b for a, b in pairs])

    def share(self, name: str) -> dict[str, Any]:
        """Of the GEMM rate around the same run: a clock that changes changes both."""
        runs = zip(self.of[name], self.gemm[name], strict=True)
        return spread([self.flops[name] / seconds / rate for seconds, rate in runs])


def spread(values: list[float]) -> dict[str, Any]:
    """Median, least, most and count."""
    return {
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
        "runs": len(values),
    }


def alternate(
    works: Mapping[str, Work],
    runs: int,
    gemm: int = GEMM_SIZE,
    kinds: Mapping[str, torch.dtype] = MappingProxyType({}),
) -> Seconds:
    """Run works in turn, `runs` rounds after one that counts; every other round backwards.

    kinds: the precision of the GEMM rate of a work, where that is not float32.
    """
    dtypes = {name: kinds.get(name, torch.float32) for name in works}

    def measured() -> dict[torch.dtype, float]:
        return {dtype: gemm_rate(gemm, dtype) for dtype in dict.fromkeys(dtypes.values())}

    flops = {name: flops_of(work) for name, work in works.items()}
    of: dict[str, list[float]] = {name: [] for name in works}
    rates: dict[str, list[float]] = {name: [] for name in works}
    names, before = list(works), measured()
    for run in range(runs):
        for name in names if run % 2 == 0 else names[::-1]:
            of[name].append(seconds_of(works[name]))
            after, dtype = measured(), dtypes[name]
            rates[name].append(max(before[dtype], after[dtype]))
            before = after
    return Seconds(of, rates, flops)


def seconds_of(work: Work) -> float:
    """By the clock."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def gemm_rate(size: int = GEMM_SIZE, dtype: torch.dtype = torch.float32, tries: int = 3) -> float:
    """FLOP/s of the best of some square matrix products, on all threads.

    Of both libraries that torch has on a CPU: the one behind `@`, and that of convolutions, whose
    1x1 convolution is a matrix product; either may be the faster by half.
    """
    a, b = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    pixels, weights = a.view(1, size, 1, size), b.view(size, size, 1, 1)
    pixels = pixels.to(memory_format=torch.channels_last)
    works: tuple[Work, ...] = (lambda: a @ b, lambda: functional.conv2d(pixels, weights))
    return 2 * size**3 / min(seconds_of(work) for work in works for _ in range(tries))


def copy_rate(megabytes: int = 256) -> float:
    """Bytes read and written a second by the best of three copies."""
    a = torch.ones(megabytes * 2**18)
    b = torch.empty_like(a)
    return 2 * a.nbytes / min(seconds_of(lambda: b.copy_(a)) for _ in range(3))


def flops_of(work: Work) -> int:
    """Multiplications and additions of convolutions and matrix products, backward included."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def peak_bytes() -> int:
    """The most memory that this process has held.

    Of the process itself where the system tells: `ru_maxrss` outlives exec, so that a child
    would begin with what its parent held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    import resource  # which Windows lacks

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


class Clocked:
    """A network that adds up the seconds inside of it."""

    def __init__(self, model: HSpaceUNet) -> None:
        self._model, self.seconds = model, 0.0

    @property
    def schedule(self) -> NoiseSchedule:
        """Of the network."""
        return self._model.schedule

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, *given: Any) -> Encoded:
        """As the network."""
        with self._inside():
            return self._model.encode(*given)

    def decode(self, *given: Any) -> torch.Tensor:
        """As the network."""
        with self._inside():
            return self._model.decode(*given)

    def __call__(self, *given: Any) -> torch.Tensor:
        """As the network."""
        with self._inside():
            return self._model.forward(*given)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started
