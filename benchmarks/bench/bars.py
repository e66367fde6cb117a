"""What the project asks of its speed, beside what a run reached."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from bench.busy import slowdown
from bench.reduced import kept

Found = Mapping[str, Mapping[str, Any]]
"""Part -> its numbers; parts that were not worked are missing."""


class Bar(NamedTuple):
    """A limit: `least` or `most`, whichever is given.

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
    """A number of a part; None where it was not measured, or kept otherwise by an older version."""

    def value(found: Found) -> float | None:
        place: Any = found.get(part)
        for name in path:
            place = place.get(name) if isinstance(place, Mapping) else None
        return None if place is None else float(place)

    return value


def share(part: str, work: str) -> Callable[[Found], float | None]:
    """Of the GEMM rate."""
    return at(part, "works", work, "share", "median")


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


POINTS = 0.02  # of success that a traded setting may lose, and of leakage that it may add


def fastest_edit(found: Found) -> float | None:
    """Times faster of the fastest way that keeps success and leakage, of 40 steps."""
    traded = found.get("traded")
    if traded is None:
        return None
    chosen = fastest(traded["editing"]["ways"], "seconds")
    return float(traded["editing"]["naive_seconds"] / chosen["seconds"]) if chosen else 0.0


def fastest_training(found: Found) -> float | None:
    """The same among lengths of the training grid."""
    traded = found.get("traded")
    if traded is None:
        return None
    chosen = fastest(traded["training"]["subsets"], "seconds_an_image")
    return (
        float(traded["training"]["naive_seconds"] / chosen["seconds_an_image"]) if chosen else 0.0
    )


def fastest(ways: Sequence[Mapping[str, Any]], seconds: str) -> Mapping[str, Any] | None:
    """The fastest way that keeps what the first one has on validation faces.

    None where it does not keep that on test faces too.
    """
    there = [way["validation"] for way in ways]
    kept = [way for way, one in zip(ways, there, strict=True) if keeps(one, there[0])]
    chosen = min(kept, key=lambda way: float(way[seconds]))
    return chosen if keeps(chosen, ways[0]) else None


def keeps(way: Mapping[str, Any], first: Mapping[str, Any]) -> bool:
    """Whether success and leakage stay within two points of the first way's."""
    return bool(
        way["success"] >= first["success"] - POINTS and way["leakage"] <= first["leakage"] + POINTS
    )


def shares(network: str, said: str, least: float) -> list[Bar]:
    """Of the GEMM rate, in inversion and editing."""
    part = f"walk-{network}"
    return [
        Bar(f"{work}, {said}, efficiency", share(part, work), least, percent=True)
        for work in ("inversion", "editing")
    ]


def python_time(network: str, said: str) -> Bar:
    """Of an edit's steps outside of the network."""
    value = at(f"walk-{network}", "python", "median")
    return Bar(f"our Python in a step, {said}", value, most=0.03, percent=True)


def edits(network: str, said: str) -> Bar:
    """Exact editing against the reference implementation."""
    name = f"editing against the reference implementation, {said}"
    return Bar(name, at(f"walk-{network}", "ratio", "median"), 1.28)


def trainings(network: str, said: str) -> list[Bar]:
    """FLOPs of training, and its times against the reference implementation."""
    part = f"train-{network}"

    def ratio(name: str) -> Callable[[Found], float | None]:
        return at(part, "ratio", name, "median")

    return [
        Bar(f"FLOPs of training over those needed, {said}", at(part, "flops_ratio"), most=1.15),
        Bar(f"inversion and training against it, {said}", ratio("one"), 1.35),
        Bar(f"a further epoch against it, {said}", ratio("epoch"), 1.4),
        Bar(f"a further attribute against it, {said}", ratio("attribute"), 1.4),
        Bar(f"time of two attributes over one, {said}", ratio("two"), most=1.5),
    ]


def reduced(part: str, work: str) -> Callable[[Found], float | None]:
    """Times as fast in bfloat16; 0 where that loses success or adds leakage."""

    def value(found: Found) -> float | None:
        one = found.get(part)
        if one is None:
            return None
        return float(one["ratio"][work]["median"]) if kept(one) else 0.0

    return value


def beside(found: Found) -> float | None:
    """Times longer that work takes beside one busy process."""
    part = found.get("busy")
    return None if part is None else slowdown(part)


BARS = (
    *shares("ddpm-128", "128x128", 0.80),
    *shares("ddpm-128-by-4", "128x128 by 4", 0.80),
    *shares("ddpm-256", "256x256", 0.75),
    *shares("avatars-64", "avatars-64 by 16", 0.60),
    python_time("avatars-64", "avatars-64 by 16"),
    python_time("ddpm-128", "128x128"),
    Bar("memory of training at 256x256, GB", gigabytes("memory-train"), most=6.0),
    Bar("memory of inverting 10,000 images over 100", memory_ratio, most=1.05),
    edits("avatars-64", "avatars-64"),
    edits("ddpm-128", "128x128"),
    edits("ddpm-256", "256x256"),
    *trainings("avatars-64", "avatars-64"),
    *trainings("ddpm-64", "DDPM at 64x64"),
    Bar("editing with other settings against it", fastest_edit, 4.0),
    Bar("training with other settings against it", fastest_training, 3.0),
    Bar("time beside a busy process over that without", beside, most=2.5),
    *(
        Bar(
            f"{work} in bfloat16 against float32, {domain}",
            reduced(f"reduced-train-{domain}", work),
            1.6,
        )
        for domain in ("avatars-64", "photographs-64")
        for work in ("inversion", "training")
    ),
)
