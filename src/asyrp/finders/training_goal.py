"""What one batch teaches: several directions side by side, a row of images for each."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.finders.training_checkpoint import Progress
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.clip_loss import Losses, combined, loss_of, means_of
from asyrp.method.ddim import generator_of, noised
from asyrp.method.directions import Direction, SideBySide
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair, Timesteps, full_length
from asyrp.method.text_direction import TextDirection
from asyrp.method.unedited_trajectory import Compared, UneditedTrajectories, UneditedTrajectory
from asyrp.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from asyrp.settings import Along, TrainSettings


class TrainingGoal(NamedTuple):
    """One attribute to learn: its direction, its text pair, and the timesteps it is trained on."""

    direction: nn.Module
    guide: TextDirection
    grid: Sequence[Pair]


class TrainStep(NamedTuple):
    """One optimiser step of a lesson, or one validation of it (`t` is None).

    batch counts over all epochs of `batches`. grad_norm: of the direction's parameters.
    best: whether this validation is the lowest so far. lesson: which one of those of the run.
    """

    batch: int
    batches: int
    t: int | None
    total: float
    directional: float
    reconstruction: float
    grad_norm: float
    best: bool
    goal: int = 0


class Edited(NamedTuple):
    """One timestep of images edited side by side.

    k: its place in the grid. lessons: those whose grid has it. x0: their edited P_t,
    (lessons, b, c, height, width). x0_source: P_t of the first one's x_t unedited. x: after it, of
    all lessons of the walk.
    """

    k: int
    t: int
    goals: list[int]
    x0: Tensor
    x0_source: Tensor
    x: Tensor


class Run:
    """What stays the same over a training run; the optimiser moves the directions in place."""

    def __init__(
        self,
        model: HSpaceUNet,
        goals: Sequence[TrainingGoal],
        settings: TrainSettings,
        processes: ProcessGroup = SINGLE_PROCESS,
    ):
        self.model, self.goals, self.settings, self.processes = model, goals, settings, processes
        self.grid = common_grid(goals)
        self.directions = nn.ModuleList([goal.direction for goal in goals])
        kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
        make: Callable[..., torch.optim.Optimizer] = kinds[settings.optimiser]
        self.optimiser = make(self.directions.parameters(), lr=settings.rate)
        if settings.checkpointing:
            model.unet.enable_gradient_checkpointing()
        else:
            model.unet.disable_gradient_checkpointing()

    def learning(self, at: Progress) -> list[int]:
        """The lessons whose patience has not ended."""
        return [i for i, stale in enumerate(at.stale) if stale < self.settings.patience]

    def walked(
        self, x: Tensor, learning: Sequence[int], first: int = 0, along: Along = "edited"
    ) -> Iterator[Edited]:
        """Edit down the grid from its place `first`, each lesson (at strength 1) a row of x.

        Args:
            x: (learning, b, c, height, width).
            along: x as edited so far, or the unedited trajectory.
        """
        for k, pair in enumerate(self.grid[first:], start=first):
            if not self._acting(k, learning):
                return  # who has the longest interval has stopped learning
            done = self._edited(x, k, pair, learning, along == "trajectory")
            x = done.x
            yield done

    def noised(
        self, images: Tensor, rows: Tensor, learning: Sequence[int], at: Progress
    ) -> Iterator[Edited]:
        """Edit noised images, for each place of the grid at a random t from there to the next.

        Args:
            images: clean, (b, c, height, width). rows: their numbers, (b,).
        """
        for k, pair in enumerate(self.grid[at.steps :], start=at.steps):
            if not self._acting(k, learning):
                return
            drawn = self.settings.seed, at.batch, k
            lowest = self.grid[k + 1].t + 1 if k + 1 < len(self.grid) else pair.t
            t = int(torch.randint(lowest, pair.t + 1, (), generator=generator_of("t", *drawn)))
            noises = [generator_of("x_t", *drawn, row) for row in rows.tolist()]
            x = noised(images, self.model.schedule.alpha_bar(t), noises)
            every = x.expand(len(learning), *x.shape)
            yield self._edited(every, k, Pair(t, pair.s), learning)

    def _acting(self, k: int, learning: Sequence[int]) -> list[int]:
        """The places in `learning` of those whose grid has place k."""
        return [r for r, i in enumerate(learning) if k < len(self.goals[i].grid)]

    def _edited(
        self, x: Tensor, k: int, pair: Pair, learning: Sequence[int], back: bool = False
    ) -> Edited:
        """One timestep of x, (learning, b, c, height, width). back: go on from unedited P_t."""
        rows = self._acting(k, learning)
        acting = [learning[r] for r in rows]
        taught = [cast(Direction, self.directions[i]) for i in acting]
        whole = full_length(self.grid)
        act = Attribute(SideBySide(taught, images=x.shape[1]), pair.t, trained_steps=whole)
        one = Timesteps((pair,), whole)
        (done,) = reverse_process(self.model, x[rows].flatten(0, 1), one, [act])
        after = done.x.detach()
        if back:  # x_s = sqrt(alpha_bar_s) P_t + D_t
            signal = math.sqrt(self.model.schedule.alpha_bar(pair.s))
            after = after + signal * (done.x0_source - done.x0).detach()
        sizes, x = (len(rows), x.shape[1]), x.clone()
        x[rows] = after.unflatten(0, sizes)
        source = done.x0_source[: sizes[1]]
        return Edited(k, pair.t, acting, done.x0.unflatten(0, sizes), source, x)

    def train_batch(
        self, sources: UneditedTrajectories, order: Sequence[Tensor], at: Progress
    ) -> Iterator[tuple[list[TrainStep], Tensor]]:
        """One optimiser step of every lesson for each timestep not done yet, and x after it."""
        rows = order[at.batch]
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(at.batch, len(order), self.settings)
        own = rows[self.processes.share(len(rows))]
        some = own if len(own) else rows[:1]  # a process without rows weighs nothing
        for done, compared in self._visited(sources.take(some), some, at):
            guides = [self.goals[i].guide for i in done.goals]
            means = means_of(done.x0, *compared, guides, self.settings)
            means = self.processes.mean(means, len(own) / len(rows))
            losses = [combined(m, g, self.settings) for m, g in zip(means, guides, strict=True)]
            norms = self._step(done, losses)
            told = zip(done.goals, losses, norms, strict=True)
            numbers = (at.batch, len(order), done.t)
            yield [as_step(*numbers, loss, norm, False, i) for i, loss, norm in told], done.x

    def _visited(
        self, part: UneditedTrajectory, rows: Tensor, at: Progress
    ) -> Iterator[tuple[Edited, Compared]]:
        """The timesteps of a batch that are not done yet, and what each is compared with."""
        learning, settings = self.learning(at), self.settings
        if settings.along == "noised":
            encoder = self.goals[0].guide.encoder
            for done in self.noised(part.latents, rows, learning, at):
                clean = settings.clip_source == "clean"
                source = part.latents if clean else done.x0_source
                with torch.no_grad():
                    features = encoder.image_features(source.float())
                yield done, Compared(done.x0_source, features)
            return
        x = torch.stack([part.latents] * len(learning)) if at.x is None else at.x
        for done in self.walked(x.to(part.latents), learning, at.steps, settings.along):
            yield done, part.at(done.k)

    def _step(self, done: Edited, losses: Sequence[Losses]) -> list[float]:
        """Move the directions of a timestep; returns the norm of each one's gradient."""
        for loss in losses:
            if not math.isfinite(loss.total.item()):
                raise AsyrpError(
                    f"the loss is {loss.total.item()} at t = {done.t}: training diverged; "
                    "lower the learning rate"
                )
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack([loss.total for loss in losses]).sum().backward()  # type: ignore[no-untyped-call]
        moving = [list(self.directions[i].parameters()) for i in done.goals]
        self.processes.sum_gradients([p for one in moving for p in one])
        self.optimiser.step()
        return [_norm([p.grad for p in one if p.grad is not None]) for one in moving]

    @torch.no_grad()
    def validate(self, sources: UneditedTrajectory, learning: Sequence[int]) -> dict[int, Losses]:
        """Each lesson's loss at the last timestep of its interval, by when the edit is whole."""
        size, processes = self.settings.batch_size, self.processes
        totals = torch.zeros(len(learning), 3, device=sources.x0.device)
        for start in range(0, sources.images, size)[processes.rank :: processes.size]:
            rows = slice(start, start + size)
            latents = sources.latents[rows]
            for done in self.walked(torch.stack([latents] * len(learning)), learning):
                for i, x0 in zip(done.goals, done.x0, strict=True):
                    if done.k + 1 == len(self.goals[i].grid):
                        source = sources.x0[done.k, rows], sources.features[done.k, rows]
                        losses = loss_of(x0, *source, self.goals[i].guide, self.settings)
                        totals[learning.index(i)] += torch.stack(losses) * len(x0)
        whole = processes.total(totals) / sources.images
        return {i: Losses(*row) for i, row in zip(learning, whole, strict=True)}


def common_grid(goals: Sequence[TrainingGoal]) -> Sequence[Pair]:
    """The longest grid of lessons that are learnt side by side; the others are its beginning.

    Raises:
        AsyrpError: they begin at different timesteps, or their encoders differ.
    """
    longest = max((goal.grid for goal in goals), key=len)
    for goal in goals:
        if tuple(goal.grid) != tuple(longest[: len(goal.grid)]):
            raise AsyrpError(
                "what is learnt together begins at one timestep of one grid; got grids from "
                f"t = {goal.grid[0].t} and {longest[0].t}; train them one by one"
            )
        if goal.guide.encoder is not goals[0].guide.encoder:
            raise AsyrpError("what is learnt together is guided by one text-image encoder")
    return longest


def rate_at(batch: int, batches: int, settings: TrainSettings) -> float:
    """The learning rate of a batch."""
    return settings.rate * remaining(batch, batches, settings)


def remaining(batch: int, batches: int, settings: TrainSettings) -> float:
    """The share of the learning rate that decay leaves at a batch, in (0, 1]."""
    return 1 - batch / batches if settings.decay else 1.0


def as_step(
    batch: int, batches: int, t: int | None, losses: Losses, norm: float, best: bool, goal: int
) -> TrainStep:
    """A step or a validation as numbers."""
    total, directional, recon = (float(value.detach()) for value in losses)
    return TrainStep(batch, batches, t, total, directional, recon, norm, best, goal)


def _norm(gradients: Sequence[Tensor]) -> float:
    """Of all gradients as one vector (`get_total_norm` came with torch 2.6)."""
    return float(torch.stack([gradient.norm() for gradient in gradients]).norm())
