"""The pictures of `asyrp evaluate`: folders lined up by stem."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from asyrp.errors import AsyrpError
from asyrp.metrics.calibration import PERFECT, WRONG
from asyrp.metrics.of_image import Pictures
from asyrp.options.evaluate import Evaluate
from asyrp.storage.files import read_object
from asyrp.storage.image_sources import Loaded, Record, load


class MatchedPictures(NamedTuple):
    """The pictures of every run, their names, the labels and losses of reading them.

    lines: the perfect and the wrong edits, by their names. against: another method's edits, if any.
    seeds: of the noise of each run, None where no run.json beside the edits tells. fitted: how many
    sources had another size than their edits.
    """

    runs: list[Pictures]
    names: list[str]
    labels: list[Mapping[str, str]]
    skipped: list[str]
    seeds: list[int | None]
    fitted: int
    lines: dict[str, torch.Tensor]
    against: list[torch.Tensor]

    @property
    def fitted_line(self) -> str:
        """What is said of the sources that were fitted."""
        height, width = self.runs[0].edits.shape[-2:]
        return (
            f"{self.fitted} of {len(self.names)} sources have another size than the edits; fitted "
            f"to {width} x {height} as asyrp edit fits its inputs (centre crop, then resizing)"
        )


def gather(options: Evaluate) -> MatchedPictures:
    """Read the pictures and line them up by stem; sources are fitted to the size of the edits.

    Raises:
        AsyrpError: edits or reconstructions of mixed sizes, or stems that do not match.
    """
    first, *others = options.edits
    edits = load(first)
    size = edits.records[0].size
    every = {"--edits": edits, "--images": load(options.images, size)}
    every |= {f"--edits {path}": load(path, size) for path in others}
    for name in ("reconstructions", "perfect", "wrong", "against"):
        if (path := getattr(options, name)) is not None:
            every[f"--{name}"] = load(path, size)
    for name, loaded in every.items():
        if name != "--images":
            _check_sizes(name, loaded, size)
    by_stem = {name: _by_stem(name, loaded) for name, loaded in every.items()}
    lost = {Path(one.name).stem for loaded in every.values() for one in loaded.skipped}
    names, sources = matched(by_stem, lost), by_stem["--images"]
    stacks = {n: torch.stack([of[stem].image for stem in names]) for n, of in by_stem.items()}
    ends = stacks.get("--reconstructions"), stacks.get("--perfect")
    edited = [stack for name, stack in stacks.items() if name.startswith("--edits")]
    runs = [Pictures(stacks["--images"], stack, *ends) for stack in edited]
    skipped = [f"{n} {s.name}: {s.reason}" for n, loaded in every.items() for s in loaded.skipped]
    seeds = [seed_of(path) for path in options.edits]
    labels = [sources[name].labels for name in names]
    fitted = sum(sources[name].size != size for name in names)
    lined = {PERFECT: "--perfect", WRONG: "--wrong"}
    lines = {line: stacks[name] for line, name in lined.items() if name in stacks}
    against = [stacks["--against"]] if "--against" in stacks else []
    return MatchedPictures(runs, names, labels, skipped, seeds, fitted, lines, against)


def seed_of(folder: Path) -> int | None:
    """The seed of the noise that `asyrp edit` wrote down beside its edits."""
    try:
        return int(read_object(folder / "run.json")["options"]["applying"]["seed"])
    except (AsyrpError, ValueError, KeyError, TypeError, OverflowError):
        return None


def _check_sizes(name: str, loaded: Loaded, size: tuple[int, int]) -> None:
    for record in loaded.records:
        if record.size != size:
            raise AsyrpError(
                f"all edits and reconstructions must have one size, {size[1]} x {size[0]} as the "
                f"first edit; {record.name} of {name} is {record.size[1]} x {record.size[0]}; make "
                "them with one network"
            )


def _by_stem(name: str, loaded: Loaded) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for record in loaded.records:
        stem = Path(record.name).stem
        if stem in found:
            raise AsyrpError(
                f"{name} has two pictures of the stem {stem!r}; they are lined up by it; rename one"
            )
        found[stem] = record
    return found


def matched(every: Mapping[str, Mapping[str, Record]], lost: set[str]) -> list[str]:
    """The stems that all sources share, sorted.

    lost: those of unreadable pictures, which are left out of all.

    Raises:
        AsyrpError: a stem that one of them has and another has not.
    """
    first, *rest = every
    for other in rest:
        alone = sorted((every[first].keys() ^ every[other].keys()) - lost)
        if alone:
            raise AsyrpError(
                f"{first} and {other} must hold pictures of the same stems; {len(alone)} are in "
                f"only one of them, such as {alone[0]!r}; rename or remove them"
            )
    return sorted(set.intersection(*map(set, every.values())))
