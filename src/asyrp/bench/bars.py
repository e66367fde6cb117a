"""What the project asks of its speed, beside what a run reached."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Found = Mapping[str, Mapping[str, Any]]
"""Part -> its numbers; parts that were not worked are missing."""


class Bar(NamedTuple):
    """A limit: `least` or `most`, whichever is given. digits: of what is shown.

    value: the number to compare, None where what it needs was not measured.
    """

    name: str
    value: Callable[[Found], float | None]
    least: float | None = None
    most: float | None = None
    percent: bool = False

    def met(self, found: Found) -> bool | None:
        """Whether it is; None where it was not measured."""
        value = self.value(found)
        if value is None:
            return None
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )


def at(part: str, *path: str) -> Callable[[Found], float | None]:
    """A number of a part."""

    def value(found: Found) -> float | None:
        place: Any = found.get(part)
        for name in path:
            place = None if place is None else place[name]
        return None if place is None else float(place)

    return value


def share(part: str, work: str) -> Callable[[Found], float | None]:
    """Of the GEMM rate."""
    return at(part, "works", work, "share")


def memory_ratio(found: Found) -> float | None:
    """Most memory of inverting 10,000 images over that of 100."""
    many, few = at("memory-10000", "bytes")(found), at("memory-100", "bytes")(found)
    return None if many is None or few is None else many / few


def gigabytes(part: str) -> Callable[[Found], float | None]:
    """Most memory of a part, in GB (10^9 bytes)."""

    def value(found: Found) -> float | None:
        most = at(part, "bytes")(found)
        return None if most is None else most / 1e9

    return value


POINTS = 0.02  # of success that a traded setting may lose


def fastest_edit(found: Found) -> float | None:
    """The most times faster among ways whose success stays within two points of 40 steps."""
    traded = found.get("traded")
    if traded is None:
        return None
    ways, naive = traded["editing"]["ways"], traded["editing"]["naive_seconds"]
    kept = [way for way in ways if way["success"] >= ways[0]["success"] - POINTS]
    return float(max(naive / way["seconds"] for way in kept))


def fastest_training(found: Found) -> float | None:
    """The same among lengths of the training grid."""
    traded = found.get("traded")
    if traded is None:
        return None
    rows, naive = traded["training"]["subsets"], traded["training"]["naive_seconds"]
    kept = [row for row in rows if row["success"] >= rows[0]["success"] - POINTS]
    return float(max(naive / row["seconds_an_image"] for row in kept))


BARS = (
    Bar(
        "inversion at 128x128, share of GEMM", share("walk-ddpm-128", "inversion"), 0.80, None, True
    ),
    Bar("editing at 128x128, share of GEMM", share("walk-ddpm-128", "editing"), 0.80, None, True),
    Bar(
        "inversion at 256x256, share of GEMM", share("walk-ddpm-256", "inversion"), 0.75, None, True
    ),
    Bar("editing at 256x256, share of GEMM", share("walk-ddpm-256", "editing"), 0.75, None, True),
    Bar(
        "inversion, avatars-64 by 16, share of GEMM",
        share("walk-avatars-64", "inversion"),
        0.60,
        None,
        True,
    ),
    Bar(
        "editing, avatars-64 by 16, share of GEMM",
        share("walk-avatars-64", "editing"),
        0.60,
        None,
        True,
    ),
    Bar(
        "our Python in a step, avatars-64 by 16",
        at("walk-avatars-64", "python", "median"),
        None,
        0.03,
        True,
    ),
    Bar(
        "our Python in a step at 128x128", at("walk-ddpm-128", "python", "median"), None, 0.03, True
    ),
    Bar(
        "FLOPs of training over those needed, avatars-64",
        at("train-avatars-64", "flops_ratio"),
        None,
        1.15,
    ),
    Bar(
        "FLOPs of training over those needed, DDPM at 64x64",
        at("train-ddpm-64", "flops_ratio"),
        None,
        1.15,
    ),
    Bar("memory of training at 256x256, GB", gigabytes("memory-train"), None, 6.0),
    Bar("memory of inverting 10,000 images over 100", memory_ratio, None, 1.05),
    Bar(
        "editing against the official order, avatars-64",
        at("walk-avatars-64", "ratio", "median"),
        1.28,
    ),
    Bar(
        "editing against the official order, 128x128", at("walk-ddpm-128", "ratio", "median"), 1.28
    ),
    Bar(
        "editing against the official order, 256x256", at("walk-ddpm-256", "ratio", "median"), 1.28
    ),
    Bar(
        "inversion and training against it, avatars-64",
        at("train-avatars-64", "ratio", "one", "median"),
        1.35,
    ),
    Bar(
        "inversion and training against it, DDPM at 64x64",
        at("train-ddpm-64", "ratio", "one", "median"),
        1.35,
    ),
    Bar(
        "a further epoch against it, avatars-64",
        at("train-avatars-64", "ratio", "epoch", "median"),
        1.4,
    ),
    Bar(
        "a further epoch against it, DDPM at 64x64",
        at("train-ddpm-64", "ratio", "epoch", "median"),
        1.4,
    ),
    Bar(
        "a further attribute against it, avatars-64",
        at("train-avatars-64", "ratio", "attribute", "median"),
        1.4,
    ),
    Bar(
        "a further attribute against it, DDPM at 64x64",
        at("train-ddpm-64", "ratio", "attribute", "median"),
        1.4,
    ),
    Bar(
        "time of two attributes over one, avatars-64",
        at("train-avatars-64", "ratio", "two", "median"),
        None,
        1.5,
    ),
    Bar(
        "time of two attributes over one, DDPM at 64x64",
        at("train-ddpm-64", "ratio", "two", "median"),
        None,
        1.5,
    ),
    Bar("editing with traded settings against it", fastest_edit, 4.0),
    Bar("training with traded settings against it", fastest_training, 3.0),
)
