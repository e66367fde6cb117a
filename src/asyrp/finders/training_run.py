"""A training run: optimiser steps on batches, some rows at a time where memory does not suffice."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.finders.training_checkpoint import Progress
from asyrp.finders.training_goal import Edited, SideWalk, TrainingGoal, TrainStep, rate_at
from asyrp.method.clip_loss import Losses, combined, loss_of, means_of
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.unedited_trajectory import Compared, UneditedTrajectories, UneditedTrajectory
from asyrp.runtime.batching import in_batches
from asyrp.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from asyrp.runtime.precision import check_range
from asyrp.settings import TrainSettings


class Taught(NamedTuple):
    """What some rows of a batch teach at a timestep.

    done: after it. losses: their part of those of the batch, (goals, 3). gradients: of every weight
    of the goals' directions.
    """

    done: Edited
    losses: Tensor
    gradients: Sequence[Tensor | None]


class TrainingRun:
    """What stays the same over a training run; the optimiser moves the directions in place."""

    def __init__(
        self,
        model: HSpaceUNet,
        goals: Sequence[TrainingGoal],
        settings: TrainSettings,
        processes: ProcessGroup = SINGLE_PROCESS,
    ):
        check_range(model.dtype)
        self.model, self.goals, self.settings, self.processes = model, goals, settings, processes
        self.walk, self.most = SideWalk(model, goals, settings), settings.batch_size
        self.directions = self.walk.directions
        kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
        make: Callable[..., torch.optim.Optimizer] = kinds[settings.optimiser]
        self.optimiser = make(self.directions.parameters(), lr=settings.rate)
        if settings.checkpointing:
            try:
                model.unet.enable_gradient_checkpointing()
            except ValueError as error:  # of pixels, before diffusers 0.32
                raise AsyrpError(f"leave --train.checkpointing out: {error}") from error
        else:
            model.unet.disable_gradient_checkpointing()

    @property
    def divides(self) -> bool:
        """Whether the loss is a mean over images; that of the official code is none."""
        return self.settings.loss_form == "mean"

    def learning(self, at: Progress) -> list[int]:
        """The goals whose patience has not ended."""
        return [i for i, stale in enumerate(at.stale) if stale < self.settings.patience]

    def train_batch(
        self, sources: UneditedTrajectories, order: Sequence[Tensor], at: Progress
    ) -> Iterator[tuple[list[TrainStep], Tensor]]:
        """One optimiser step of every goal for each timestep not done yet, and x after it."""
        rows = order[at.batch]
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(at.batch, len(order), self.settings)
        own = rows[self.processes.share(len(rows))]
        some = own if len(own) else rows[:1]  # a process without rows weighs nothing
        part, learning, weight = sources.take(some), self.learning(at), bool(len(own)) / len(rows)
        x = torch.stack([part.latents] * len(learning)) if at.x is None else at.x.to(part.latents)
        for k in range(at.steps, len(self.walk.grid)):
            if not self.walk.acting(k, learning):
                return  # who has the longest interval has stopped learning
            here = at._replace(steps=k, x=x)

            def work(chosen: slice, here: Progress = here, x: Tensor = x) -> Taught:
                parts = part.take(chosen), some[chosen], x[:, chosen]
                return self._taught(*parts, here, weight * len(some[chosen]))

            taught = self._in_parts(len(some), work)
            x = torch.cat([one.done.x for one in taught], dim=1)
            yield self._step(taught, at.batch, len(order)), x

    def _in_parts(self, count: int, work: Callable[[slice], Taught]) -> list[Taught]:
        """All rows at once, or from the first time that memory does not suffice some at a time."""
        if not self.divides:
            return [work(slice(0, count))]
        found = list(in_batches(count, self.most, work))
        if len(found) > 1:
            self.most = max(one.done.x.shape[1] for one in found)
        return found

    def _taught(
        self, part: UneditedTrajectory, rows: Tensor, x: Tensor, at: Progress, share: float
    ) -> Taught:
        """What rows teach at the timestep that comes next. share: of those of all processes."""
        done, compared = self._edited(part, rows, x, at)
        guides = [self.goals[i].guide for i in done.goals]
        means = means_of(done.x0, *compared, guides, self.settings)
        means = means * share if self.divides else self.processes.mean(means, share)
        losses = [combined(m, g, self.settings) for m, g in zip(means, guides, strict=True)]
        weights = [p for i in done.goals for p in self.directions[i].parameters()]
        total = torch.stack([loss.total for loss in losses]).sum()
        found = torch.autograd.grad(total, weights, allow_unused=True)
        return Taught(done, torch.stack([torch.stack(loss) for loss in losses]).detach(), found)

    def _edited(
        self, part: UneditedTrajectory, rows: Tensor, x: Tensor, at: Progress
    ) -> tuple[Edited, Compared]:
        """Images edited at the timestep that comes next, and what they are compared with."""
        k, learning, settings = at.steps, self.learning(at), self.settings
        if settings.along != "noised":
            back = settings.along == "trajectory"
            return self.walk.edited(x, k, self.walk.grid[k], learning, back), part.at(k)
        done = self.walk.noised(part.latents, rows, learning, at.batch, k)
        source = part.latents if settings.clip_source == "clean" else done.x0_source
        with torch.no_grad():
            features = self.goals[0].guide.encoder.image_features(source.float())
        return done, Compared(done.x0_source, features)

    def _step(self, taught: Sequence[Taught], batch: int, batches: int) -> list[TrainStep]:
        """Move the directions of a timestep; what was learnt is read from the device once."""
        done, losses = taught[0].done, torch.stack([one.losses for one in taught]).sum(0)
        losses = self.processes.total(losses) if self.divides else losses
        weights = [list(self.directions[i].parameters()) for i in done.goals]
        every = [p for one in weights for p in one]
        self.optimiser.zero_grad(set_to_none=True)
        for p, *parts in zip(every, *(one.gradients for one in taught), strict=True):
            there = [part for part in parts if part is not None]
            p.grad = torch.stack(there).sum(0) if there else None
        self.processes.sum_gradients(every)
        norms = [_norm([p.grad for p in one if p.grad is not None]) for one in weights]
        told = torch.cat([losses, torch.stack(norms)[:, None]], dim=1).tolist()
        for total, *_ in told:
            if not math.isfinite(total):
                raise AsyrpError(
                    f"the loss is {total} at t = {done.t}: training diverged; "
                    "lower the learning rate"
                )
        self.optimiser.step()
        return [
            TrainStep(batch, batches, done.t, total, directional, recon, norm, False, i)
            for i, (total, directional, recon, norm) in zip(done.goals, told, strict=True)
        ]

    @torch.no_grad()
    def validate(self, sources: UneditedTrajectory, learning: Sequence[int]) -> dict[int, Losses]:
        """Each goal's loss at the last timestep of its interval, by when the edit is whole."""
        part = sources.take(self.processes.share(sources.images))
        size = self.settings.batch_size
        sums = torch.zeros(len(learning), 3, device=sources.x0.device)
        parts = in_batches(part.images, size, lambda rows: self._sums(part.take(rows), learning))
        for found in parts:
            sums += found
        whole = self.processes.total(sums) / sources.images
        return {i: Losses(*row) for i, row in zip(learning, whole, strict=True)}

    def _sums(self, part: UneditedTrajectory, learning: Sequence[int]) -> Tensor:
        """The losses of each goal, summed over images, (learning, 3)."""
        found: dict[int, Tensor] = {}
        for done in self.walk.walked(torch.stack([part.latents] * len(learning)), learning):
            for i, x0 in zip(done.goals, done.x0, strict=True):
                if done.k + 1 == len(self.goals[i].grid):
                    losses = loss_of(x0, *part.at(done.k), self.goals[i].guide, self.settings)
                    found[i] = torch.stack(losses) * len(x0)
        return torch.stack([found[i] for i in learning])


def _norm(gradients: Sequence[Tensor]) -> Tensor:
    """Of all gradients as one vector (`get_total_norm` came with torch 2.6)."""
    norm: Tensor = torch.stack([gradient.norm() for gradient in gradients]).norm()
    return norm
