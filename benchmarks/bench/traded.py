"""Speed-ups that change results: fewer steps, a second-order walk, one dh for all; what is lost.

Judged on faces of the world that do not smile, against the edits and the training that change
nothing but the order of work: on validation faces to choose by, on test faces to tell.
"""

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.domains.avatars.domain import TASKS, scorers
from asyrp.finders.clip_training import new_direction
from asyrp.finders.prepare import Pictures as Training
from asyrp.finders.prepare import sources_of, start_training
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.ddim import seeded_generators
from asyrp.method.directions import Direction, GlobalDirection, mean_direction
from asyrp.method.editing import latents_of
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import paper_grid
from asyrp.method.second_order import walk_second_order
from asyrp.method.strength import saturating
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.method.unedited_trajectory import editing_window
from asyrp.metrics.of_image import Pictures
from asyrp.metrics.table import Scorers, Wish, per_image
from asyrp.networks import load_model
from asyrp.scorers.load import load_distance, load_encoder
from asyrp.settings import TrainSettings, official
from asyrp.storage.images import from_uint8
from bench import meter
from bench.baseline import load_baseline
from bench.held import Held, held
from bench.subjects import plain_copy
from bench.ways import WAYS, Trained, Way, trained_for

PHASES = EditInterval(537, 153, 102)  # of `asyrp train` on avatars-64
TASK = "smiling"
NEIGHBOUR = ("face", "surprised face")  # a direction to begin from: of the mouth, too


@dataclass(frozen=True)
class Traded:
    """Editing and training with other settings.

    faces, chosen_on: test faces, and validation faces to choose by. train: images to train on.
    subsets: lengths of the training grid, of which the first is that of the official code. timed:
    images of a run that is only timed.
    """

    faces: int = 64
    chosen_on: int = 40
    train: int = 64
    epochs: int = 3
    validation: int = 8
    subsets: tuple[int, ...] = (40, 20, 10)
    timed: int = 4
    steps: int = 40
    runs: int = 5
    size: int = meter.GEMM_SIZE

    def measure(self, baseline: Path) -> dict[str, Any]:
        """Success, leakage, distance and time of every way and every subset."""
        bench = opened(self, load_baseline(baseline))
        trained = [bench.train(steps) for steps in self.subsets]
        rows = [bench.row(one, Way(steps)) for one in trained for steps in self.edited(one)]
        ways = [way._replace(steps=max(3, way.steps * self.steps // 40)) for way in WAYS]
        edits = [bench.told(trained_for(way, trained), way) for way in ways]
        last = next(row for row in rows if row["training_steps"] == self.subsets[-1])
        begun = [*starts(bench, self.subsets[-1]), begun_at_zero(last, self.epochs)]
        naive = bench.naive_seconds()
        return {
            "task": TASK,
            "faces": self.faces,
            "chosen_on": self.chosen_on,
            "phases": asdict(PHASES),
            "editing": {"naive_seconds": naive["editing"], "ways": edits},
            "training": {"naive_seconds": naive["training"], "subsets": rows, "starts": begun},
        }

    def edited(self, trained: Trained) -> list[int]:
        """Steps of the edits by a direction: those of all, and its own, no fewer than 3."""
        return sorted({self.steps, max(3, trained.steps)}, reverse=True)


class Bench(NamedTuple):
    """Networks, faces to judge on, and faces to train on.

    rounded: the network in bfloat16.
    """

    plan: Traded
    naive: Any
    model: HSpaceUNet
    rounded: HSpaceUNet
    guide: TextDirection
    test: Held
    validation: Held
    training: Tensor

    def train(
        self, steps: int, epochs: int | None = None, neighbour: nn.Module | None = None
    ) -> Trained:
        """A direction on a grid of `steps`, timed with the unedited walk and all epochs."""
        epochs = epochs or self.plan.epochs
        settings = TrainSettings(steps=steps, epochs=epochs, validate_every=0)
        train, held = (self._pictures(rows, steps) for rows in self._split())
        parts = (train, train[:0], PHASES, settings)
        started = time.perf_counter()
        job = start_training(self.model, self.guide, *parts, neighbour=neighbour)
        for _ in job.steps:
            pass
        seconds = (time.perf_counter() - started) / epochs / len(train)
        direction = cast(Direction, job.direction.requires_grad_(False))
        window = editing_window(PHASES.t_start, PHASES.t_edit, steps, t_top=held.at)
        sources = sources_of(self.model, self.guide, held, window, settings)
        strength = saturating(self.model, direction, self.guide, sources, window.grid)
        return Trained(direction, steps, strength, seconds)

    def row(self, trained: Trained, way: Way) -> dict[str, Any]:
        """`told`, with what is known of the training, and the steps of the edit."""
        return self.told(trained, way) | trained.told() | {"edited_on": way.steps}

    def _split(self) -> tuple[slice, slice]:
        return slice(0, self.plan.train), slice(self.plan.train, None)

    def _pictures(self, rows: slice, steps: int) -> Training:
        images = self.training[rows]
        latents = latents_of(self.model, images, steps, refinements=1, up_to=PHASES.t_start)
        return Training(images, latents, at=PHASES.t_start)

    def told(self, trained: Trained, way: Way) -> dict[str, Any]:
        """`judged` on test faces, and as "validation" on those."""
        return self.judged(trained, way, self.test) | {
            "validation": self.judged(trained, way, self.validation)
        }

    @torch.no_grad()
    def judged(self, trained: Trained, way: Way, held: Held) -> dict[str, Any]:
        """What the judge and the distance say of the edits, and seconds an image."""
        act = self._attribute(trained, way)
        edits: list[Tensor] = []

        def work() -> None:
            edits[:] = self._edited(act, way, held.latents)

        seconds = meter.seconds_of(work)
        task = TASKS[TASK]
        pictures, wish = Pictures(held.images, torch.cat(edits)), Wish(task.attribute, task.value)
        known = Scorers(judge=scorers().judge, distance=load_distance("st-lpips-alex"))
        values = per_image(pictures, known, wish)
        found = {name: float(np.nanmean(values[name])) for name in ("success", "leakage", "lpips")}
        return {"name": way.name, **found, "seconds": seconds / len(held.images)}

    def _edited(self, act: Attribute, way: Way, latents: Tensor) -> list[Tensor]:
        grid, parts = paper_grid(way.steps), []
        model = self.rounded if way.half else self.model
        walker = walk_second_order if way.solver == 2 else reverse_process
        for start in range(0, len(latents), 16):
            x = latents[start : start + 16]
            generators = seeded_generators(len(x), 0, start)
            *_, done = walker(model, x, grid, [act], PHASES.t_boost, generators)
            parts.append(done.x)
        return parts

    def _attribute(self, trained: Trained, way: Way) -> Attribute:
        direction = self._shared(trained) if way.shared else trained.direction
        return Attribute(direction, PHASES.t_edit, trained.strength, trained.steps, PHASES.t_start)

    def _shared(self, trained: Trained) -> GlobalDirection:
        """The mean of f_t over a few training faces and the timesteps of its grid."""
        few = self._pictures(slice(0, 8), trained.steps)
        window = editing_window(PHASES.t_start, PHASES.t_edit, trained.steps, t_top=few.at)
        seen: list[Tensor] = []

        def recording(h: Tensor, emb: Tensor, t: int) -> Tensor:
            dh = trained.direction(h, emb, t)
            seen.append(dh)
            return dh

        act = Attribute(recording, PHASES.t_edit, trained_steps=window.grid.full)
        for _ in reverse_process(self.model, few.latents, window.grid, [act]):
            pass
        table = {pair.t: dh for pair, dh in zip(window.grid, seen, strict=True)}
        mean = mean_direction([table])
        return GlobalDirection(torch.stack(list(mean.table.values())).mean(0))

    def naive_seconds(self) -> dict[str, float]:
        """An image of the reference implementation: editing, and one epoch of training."""
        plain, some = plain_copy(self.model), self.test.latents[: self.plan.timed]
        zero = GlobalDirection(torch.zeros(self.model.h_channels, 1, 1)).requires_grad_(False)
        change = self.naive.Change(zero, PHASES.t_edit)
        generators = seeded_generators(len(some))
        args = (plain, some, change, self.plan.steps, PHASES.t_boost, generators)
        tries = range(min(3, self.plan.runs))
        editing = [meter.seconds_of(lambda: self.naive.edit(*args)) for _ in tries]
        training = [self._naive_epoch(plain) for _ in tries]
        return {
            "editing": statistics.median(editing) / len(some),
            "training": statistics.median(training) / len(some),
        }

    def _naive_epoch(self, plain: HSpaceUNet) -> float:
        """Walked on [T, t_edit], told for the timesteps of our shorter interval."""
        rows = list(range(self.plan.timed))
        pairs = zip(self.test.images[rows].split(1), self.test.latents[rows].split(1), strict=True)
        inverted = [self.naive.Inverted(x0, x0, x) for x0, x in pairs]
        window = editing_window(999, PHASES.t_edit, self.plan.steps)
        direction = new_direction(plain, window.grid, official())
        recipe = self.naive.Recipe(PHASES.t_edit, self.plan.steps, [rows], 1e-3)
        seconds = meter.seconds_of(
            lambda: self.naive.train(plain, direction, self.guide, inverted, recipe)
        )
        own = editing_window(PHASES.t_start, PHASES.t_edit, self.plan.steps).grid
        return seconds * len(own) / len(window.grid)


def opened(plan: Traded, naive: Any) -> Bench:
    """Load networks, draw faces and invert those to judge on."""
    model, task = load_model("avatars-64"), TASKS[TASK]
    guide = new_text_direction(load_encoder("avatars-64-clip"), task.source, task.target)
    test = held(model, task, "test", plan.faces, plan.steps)
    validation = held(model, task, "validation", plan.chosen_on, plan.steps)
    every = [sample_face("train", i) for i in range(plan.train + plan.validation)]
    training = from_uint8(np.stack([draw(face) for face in every]))
    rounded = load_model("avatars-64", dtype="bfloat16")
    return Bench(plan, naive, model, rounded, guide, test, validation, training)


def starts(bench: Bench, steps: int) -> list[dict[str, Any]]:
    """What one epoch from a neighbouring direction reaches, beside one from dh = 0."""
    guide = new_text_direction(bench.guide.encoder, *NEIGHBOUR)
    neighbour = cast(nn.Module, bench._replace(guide=guide).train(steps).direction)
    rows = []
    for name, begun in (("dh = 0", None), (repr(NEIGHBOUR[1]), neighbour)):
        one = bench.train(steps, 1, begun)
        rows.append(bench.row(one, Way(bench.plan.steps)) | {"begun": name, "epochs": 1})
    return rows


def begun_at_zero(row: dict[str, Any], epochs: int) -> dict[str, Any]:
    """The row of a training grid, among those that begin elsewhere."""
    return row | {"begun": "dh = 0", "epochs": epochs}
