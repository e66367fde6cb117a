"""What is measured, one frozen dataclass each; every one runs in a process of its own."""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor

from asyrp.finders.clip_training import fit_together, new_direction
from asyrp.finders.prepare import Pictures, StoredPictures, sources_of, stored_sources_of
from asyrp.finders.training_goal import TrainingGoal
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.editing import edit, latents_of, random_latents
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import invert_into, recipe_of
from asyrp.method.unedited_trajectory import editing_window
from asyrp.settings import official
from asyrp.storage.record_store import RecordStore
from bench import meter
from bench.baseline import load_baseline
from bench.subjects import SHIFTED, guide_of, images_of, plain_copy, shift_of, subject

WALKS, TRAININGS = 6.3, 15.0  # passes of an image for each step, all ways together
SHORTEST = 2  # steps of a grid


class Work(Protocol):
    """Something to measure."""

    def measure(self, baseline: Path) -> dict[str, Any]:
        """Numbers, as JSON data."""
        ...


@dataclass(frozen=True)
class Machine:
    """What the processor can do at best."""

    size: int = meter.GEMM_SIZE

    def measure(self, baseline: Path) -> dict[str, Any]:
        """FLOP/s of matrix products, and bytes/s of copies."""
        return {
            **meter.machine(),
            "size": self.size,
            "gemm": meter.gemm_rate(self.size),
            "gemm_bfloat16": meter.gemm_rate(self.size, torch.bfloat16),
            "copy": meter.copy_rate(),
        }


@dataclass(frozen=True)
class Walking:
    """Inversion and editing, beside the reference implementation.

    batch: images that we walk at once. images: that every way walks. steps: of the grid, fewer
    where all runs would take longer than `budget` seconds.
    """

    network: str
    batch: int
    images: int
    steps: int
    budget: float = math.inf
    runs: int = 5
    size: int = meter.GEMM_SIZE

    def measure(self, baseline: Path) -> dict[str, Any]:
        """Seconds, FLOPs, share of the GEMM rate, ratios, and the share of our Python."""
        naive, model = load_baseline(baseline), subject(self.network)
        plain, images = plain_copy(model), images_of(model, self.images)
        x = random_latents(model, self.images)
        steps = steps_within(self.budget, model, images, WALKS, self.steps, self.runs)
        act = Attribute(shift_of(model), SHIFTED, trained_steps=steps)
        change = naive.Change(act.direction, SHIFTED)
        watched = Watched(model, [])
        works: dict[str, meter.Work] = {
            "inversion": lambda: latents_of(model, images, steps, batch_size=self.batch),
            "editing": lambda: watched.edit(x, act, steps, self.batch),
            "inversion, reference implementation": lambda: naive.invert(plain, images, steps),
            "editing, reference implementation": lambda: naive.edit(plain, x, change, steps),
        }
        clocks = meter.alternate(works, self.runs, self.size)
        return {
            "steps": steps,
            "works": {name: self._told(name, clocks) for name in works},
            "ratio": clocks.ratio("editing, reference implementation", "editing"),
            "python": meter.spread(watched.outside[1:]),
        }

    def _told(self, name: str, clocks: meter.Seconds) -> dict[str, Any]:
        flops, seconds = clocks.flops[name], clocks.median(name)
        return {
            "seconds": meter.spread(clocks.of[name]),
            "images_per_second": self.images / seconds,
            "flops": flops,
            "rate": flops / seconds,
            "share": clocks.share(name),
        }


class Watched(NamedTuple):
    """Edits, and the share of each one's time that was spent outside of the network."""

    model: HSpaceUNet
    outside: list[float]

    def edit(self, x: Tensor, act: Attribute, steps: int, batch: int) -> None:
        """Edit, and note the share."""
        clocked = meter.Clocked(self.model)
        seen = cast(HSpaceUNet, clocked)
        whole = meter.seconds_of(lambda: edit(seen, x, [act], steps, batch_size=batch))
        self.outside.append(1 - clocked.seconds / whole)


def steps_within(
    budget: float, model: HSpaceUNet, images: Tensor, passes: float, most: int, runs: int
) -> int:
    """The longest grid, of at most `most` steps, whose runs take no longer than the budget.

    Args:
        passes: of one image through the network, for each step, all ways together.
    """
    with torch.no_grad():
        model(images[:1], 500)
        second = meter.seconds_of(lambda: model(images[:1], 500))
    fits = budget / (second * passes * len(images) * (runs + 1.5))
    return max(SHORTEST, int(min(most, fits)))


@dataclass(frozen=True)
class Training:
    """Inversion and training by the official settings, beside the reference implementation.

    vit: with an image tower of CLIP ViT-B/16's shape in place of the world's encoder.
    """

    network: str
    images: int
    steps: int
    budget: float = math.inf
    vit: bool = False
    batch: int = 16
    runs: int = 5
    size: int = meter.GEMM_SIZE

    def measure(self, baseline: Path) -> dict[str, Any]:
        """Seconds and ratios of one, a further and two attributes; FLOPs and their limit."""
        naive, model = load_baseline(baseline), subject(self.network)
        images = images_of(model, self.images)
        steps = steps_within(self.budget, model, images, TRAININGS, self.steps, self.runs)
        job = Job(model, self.vit, steps, images, self.batch)
        theirs = NaiveJob(naive, plain_copy(model), job)
        with kept_store(job) as (store, keys):
            works: dict[str, meter.Work] = {
                "one attribute": lambda: job.whole(("smiling face",)),
                "two attributes": lambda: job.whole(("smiling face", "sad face")),
                "further attribute": lambda: job.attributes(store, keys, ("sad face",)),
                "further epoch": job.epoch,
                "one attribute, reference implementation": theirs.whole,
                "further epoch, reference implementation": theirs.epoch,
            }
            clocks = meter.alternate(works, self.runs, self.size)
        slow = "further epoch, reference implementation"
        return {
            "seconds": {name: meter.spread(of) for name, of in clocks.of.items()},
            "ratio": {
                "one": clocks.ratio("one attribute, reference implementation", "one attribute"),
                "attribute": clocks.ratio(slow, "further attribute"),
                "epoch": clocks.ratio(slow, "further epoch"),
                "two": clocks.ratio("two attributes", "one attribute"),
            },
            "steps": steps,
            "timesteps": len(job.grid),
            **job.flops(),
        }


class Job:
    """Training through a store, as the commands do it."""

    def __init__(self, model: HSpaceUNet, vit: bool, steps: int, images: Tensor, batch: int):
        self.model, self.vit, self.images, self.batch = model, vit, images, batch
        self.settings = replace(official(), steps=steps)
        self.phases, self.guides = EditInterval(999, SHIFTED, 0), {}
        self.grid = editing_window(999, SHIFTED, steps).grid
        for target in ("smiling face", "sad face"):
            self.guides[target] = guide_of(model, vit, target)
        latents = latents_of(model, images, steps, batch_size=batch)
        self.pictures = Pictures(images, latents)
        window = editing_window(999, SHIFTED, steps)
        guide = self.guides["smiling face"]
        self.sources = sources_of(model, guide, self.pictures, window, self.settings)

    def epoch(self) -> None:
        """One more epoch over what is prepared."""
        self._fitted(("smiling face",), self.sources)

    def whole(self, targets: tuple[str, ...]) -> None:
        """Inversion and training of some attributes side by side, from nothing."""
        with kept_store(self) as (store, keys):
            self.attributes(store, keys, targets)

    def attributes(self, store: RecordStore, keys: list[str], targets: tuple[str, ...]) -> None:
        """Training from what the store has."""
        part = StoredPictures(store, keys, list(self.images))
        window = editing_window(999, SHIFTED, self.settings.steps)
        guide, batched = self.guides[targets[0]], replace(self.settings, batch_size=self.batch)
        sources = stored_sources_of(self.model, guide, part, window, batched)
        self._fitted(targets, sources)

    def _fitted(self, targets: tuple[str, ...], sources: Any) -> None:
        goals = [
            TrainingGoal(
                new_direction(self.model, self.grid, self.settings), self.guides[one], self.grid
            )
            for one in targets
        ]
        for _ in fit_together(self.model, goals, sources, self.settings):
            pass

    def flops(self) -> dict[str, Any]:
        """Counted FLOPs of an epoch, and those that its parts make necessary."""
        model, guide = self.model, self.guides["smiling face"]
        x = self.images[:1]
        with torch.no_grad():
            encoded = model.encode(x, 500)
        with torch.no_grad():
            encode = meter.flops_of(lambda: model.encode(x, 500))
            decode = meter.flops_of(lambda: model.decode(encoded))

        def decode_back() -> None:
            h = encoded.h.clone().requires_grad_()
            model.decode(encoded, h).sum().backward()  # type: ignore[no-untyped-call]

        def look_back() -> None:
            image = x.clone().requires_grad_()
            guide.encoder.image_features(image).sum().backward()  # type: ignore[no-untyped-call]

        needed = encode + decode + meter.flops_of(decode_back) + meter.flops_of(look_back)
        limit = needed * len(self.grid) * len(self.images)
        counted = meter.flops_of(self.epoch)
        return {"flops": counted, "flops_needed": limit, "flops_ratio": counted / limit}


@contextmanager
def kept_store(job: Job) -> Iterator[tuple[RecordStore, list[str]]]:
    """A store with the latents of a job's images, and their keys."""
    with tempfile.TemporaryDirectory() as folder:
        store, recipe = (
            RecordStore(Path(folder) / "store"),
            recipe_of(job.model, job.settings.steps),
        )
        rows = sorted(invert_into(store, job.model, recipe, job.images, job.batch))
        yield store, [row.key for row in rows]


class NaiveJob:
    """The same of the reference implementation."""

    def __init__(self, naive: Any, model: HSpaceUNet, job: Job):
        self.naive, self.model, self.job = naive, model, job
        self.inverted = naive.invert(model, job.images, job.settings.steps)
        order = [list(range(len(job.images)))]
        self.recipe = naive.Recipe(SHIFTED, job.settings.steps, order)

    def whole(self) -> None:
        """Inversion and training of one attribute."""
        self._train(self.naive.invert(self.model, self.job.images, self.job.settings.steps))

    def epoch(self) -> None:
        """A further epoch or attribute."""
        self._train(self.inverted)

    def _train(self, inverted: Any) -> None:
        direction = new_direction(self.model, self.job.grid, self.job.settings)
        guide = self.job.guides["smiling face"]
        self.naive.train(self.model, direction, guide, inverted, self.recipe)
