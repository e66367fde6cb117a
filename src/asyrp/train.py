"""Finding a direction: the walk of `edit`, with gradients on the direction only.

Each optimiser step belongs to one timestep of one batch, and x is detached between steps, as in
the official code. The unedited trajectory is walked once and kept for every epoch.
"""

import copy
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from asyrp.directions import GlobalDirection, ImplicitDirection, TimestepDirection
from asyrp.errors import AsyrpError
from asyrp.guide import Guide
from asyrp.keeper import Keeper, Progress
from asyrp.losses import directional_loss, log_form, mean_form, reconstruction_loss
from asyrp.process import Attribute, walk
from asyrp.schedule import Pair
from asyrp.settings import TrainSettings
from asyrp.sources import Sources, SourceSet
from asyrp.team import ALONE, Team
from asyrp.unet import HSpaceUNet


class Losses(NamedTuple):
    """The parts of the loss: total, 1 - cos averaged over images, L1."""

    total: Tensor
    directional: Tensor
    reconstruction: Tensor


class TrainStep(NamedTuple):
    """One optimiser step, or one validation (`t` is None).

    batch counts over all epochs of `batches`. grad_norm: of the direction's parameters.
    best: whether this validation is the lowest so far.
    """

    batch: int
    batches: int
    t: int | None
    total: float
    directional: float
    reconstruction: float
    grad_norm: float
    best: bool


def new_direction(model: HSpaceUNet, grid: Sequence[Pair], settings: TrainSettings) -> nn.Module:
    """An untrained direction for a network: f_t, or tables of zeros."""
    if settings.kind == "implicit":
        with torch.random.fork_rng(devices=[]):
            torch.random.manual_seed(settings.seed)
            direction = ImplicitDirection(
                model.h_channels, model.emb_channels, settings.layout, settings.zero_init
            )
        return direction.to(model.device)
    zeros = torch.zeros(model.h_shape, device=model.device)
    if settings.kind == "global":
        return GlobalDirection(zeros)
    return TimestepDirection({pair.t: zeros for pair in grid})


def begin_from(direction: nn.Module, neighbour: nn.Module) -> None:
    """Give a new direction the weights of a trained one, so that training begins there.

    Raises:
        AsyrpError: they are not of one kind, layout, shape and grid.
    """
    here, there = (_form(one) for one in (direction, neighbour))
    if here != there:
        raise AsyrpError(
            f"training begins from a direction of its own kind and shape: needed {here}; got "
            f"{there}; change the settings of training, or begin from nothing"
        )
    direction.load_state_dict(neighbour.state_dict())


def digest(direction: nn.Module) -> str:
    """SHA-256 (hex) of a direction's weights."""
    parts = (value.detach().cpu().numpy().tobytes() for value in direction.parameters())
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _form(direction: nn.Module) -> str:
    shapes = sorted({tuple(value.shape) for value in direction.parameters()})
    of = getattr(direction, "layout", "") or getattr(direction, "times", "")
    return f"{type(direction).__name__} {of} with weights {shapes}"


def loss_of(
    x0: Tensor, x0_source: Tensor, features: Tensor, guide: Guide, settings: TrainSettings
) -> Losses:
    """lambda_clip L_dir + lambda_recon cos L1 between edited and source P_t (section 3.4)."""
    return combined(means_of(x0, x0_source, features, guide), guide, settings)


def means_of(x0: Tensor, x0_source: Tensor, features: Tensor, guide: Guide) -> Tensor:
    """The means over images that the loss is made of, (2,): 1 - cos, and L1."""
    edited = guide.encoder.image_features(x0.float())
    directional = directional_loss(edited, features, guide.direction)
    return torch.stack([directional.mean(), reconstruction_loss(x0.float(), x0_source.float())])


def combined(means: Tensor, guide: Guide, settings: TrainSettings) -> Losses:
    """The loss from `means_of` all its images."""
    directional, recon = means
    clip = log_form(directional) if settings.loss_form == "log" else mean_form(directional)
    total = settings.lambda_clip * clip + settings.lambda_recon * guide.cosine * recon
    return Losses(total, directional, recon)


def fit(
    model: HSpaceUNet,
    direction: nn.Module,
    guide: Guide,
    sources: SourceSet,
    grid: Sequence[Pair],
    settings: TrainSettings,
    validation: Sources | None = None,
    checkpoint: Path | None = None,
    team: Team = ALONE,
    origin: str = "",
) -> Iterator[TrainStep]:
    """Train `direction` in place; with validation it ends as the best that was validated.

    Continues from `checkpoint` if that file exists. The file is replaced after every batch and,
    without a team, within long ones every 15 seconds. A run that was killed and continued ends with
    the same direction as an unbroken one. The processes of a team divide every batch and end with
    the same direction. origin: what the direction began from, the same for one checkpoint.

    Raises:
        AsyrpError: the loss is not finite, or the checkpoint belongs to another run.
    """
    run = _Run(model, direction, guide, grid, settings, team)
    identity = _identity(run, sources, validation, origin)
    best = copy.deepcopy(direction)
    kept = {"direction": direction, "best": best}
    keeper = Keeper(checkpoint, kept, run.optimiser, identity, len(grid), team)
    at = keeper.read()
    order = _batches(sources.images, settings)
    while at.batch < len(order) and at.stale < settings.patience:
        batch = at.batch
        for step, x in run.train_batch(sources, order[batch], batch, len(order), at):
            yield step
            at = at._replace(steps=at.steps + 1, x=x.detach())
            keeper.settle(at)
        at = at._replace(batch=batch + 1, steps=0, x=None)
        if validation is not None and _is_due(batch + 1, len(order), settings):
            losses = run.validate(validation)
            improved = losses.total.item() < at.lowest
            if improved:
                best.load_state_dict(direction.state_dict())
            lowest, stale = (losses.total.item(), 0) if improved else (at.lowest, at.stale + 1)
            at = at._replace(lowest=lowest, stale=stale)
            yield _as_step(batch, len(order), None, losses, 0.0, improved)
        keeper.write(at)
    if at.lowest < math.inf:
        direction.load_state_dict(best.state_dict())


class _Run:
    """What stays the same over a training run."""

    def __init__(
        self,
        model: HSpaceUNet,
        direction: nn.Module,
        guide: Guide,
        grid: Sequence[Pair],
        settings: TrainSettings,
        team: Team = ALONE,
    ):
        self.model, self.direction, self.guide = model, direction, guide
        self.grid, self.settings, self.team = grid, settings, team
        kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
        make: Callable[..., torch.optim.Optimizer] = kinds[settings.optimiser]
        self.optimiser = make(direction.parameters(), lr=settings.learning_rate)
        if settings.checkpointing:
            model.unet.enable_gradient_checkpointing()
        else:
            model.unet.disable_gradient_checkpointing()

    def attribute(self, steps: int) -> Attribute:
        """The direction at strength 1, acting on a walk of the last so many steps of the grid."""
        return Attribute(self.direction, self.grid[-1].t, trained_steps=steps)

    def train_batch(
        self, sources: SourceSet, rows: Tensor, batch: int, batches: int, at: Progress
    ) -> Iterator[tuple[TrainStep, Tensor]]:
        """One optimiser step for each timestep that is not done yet, and x after it."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(batch, batches, self.settings)
        own = rows[self.team.share(len(rows))]
        part = sources.take(own if len(own) else rows[:1])  # a process without rows weighs nothing
        x, grid = part.latents if at.x is None else at.x.to(part.latents), self.grid[at.steps :]
        walked = walk(self.model, x, grid, [self.attribute(len(grid))])
        for k, done in enumerate(walked, start=at.steps):
            means = means_of(done.x0, part.x0[k], part.features[k], self.guide)
            means = self.team.mean(means, len(own) / len(rows))
            losses = combined(means, self.guide, self.settings)
            if not math.isfinite(losses.total.item()):
                raise AsyrpError(
                    f"the loss is {losses.total.item()} at t = {done.t}: training diverged; "
                    "lower the learning rate"
                )
            self.optimiser.zero_grad(set_to_none=True)
            losses.total.backward()  # type: ignore[no-untyped-call]
            self.team.sum_gradients(self.direction.parameters())
            norm = nn.utils.get_total_norm(
                p.grad for p in self.direction.parameters() if p.grad is not None
            )
            self.optimiser.step()
            yield _as_step(batch, batches, done.t, losses, float(norm), False), done.x

    @torch.no_grad()
    def validate(self, sources: Sources) -> Losses:
        """The loss at the last timestep of the editing interval, by when the edit is whole."""
        size, team = self.settings.batch_size, self.team
        totals = [torch.zeros(3, device=sources.x0.device)]
        for start in range(0, sources.images, size)[team.rank :: team.size]:
            rows = slice(start, start + size)
            act = self.attribute(len(self.grid))
            steps = walk(self.model, sources.latents[rows], self.grid, [act])
            *_, last = steps
            x0, features = sources.x0[-1, rows], sources.features[-1, rows]
            losses = loss_of(last.x0, x0, features, self.guide, self.settings)
            totals.append(torch.stack(losses) * len(last.x0))
        return Losses(*(team.total(torch.stack(totals).sum(0)) / sources.images).unbind())


def rate_at(batch: int, batches: int, settings: TrainSettings) -> float:
    """The learning rate of a batch."""
    return settings.learning_rate * (1 - batch / batches if settings.decay else 1)


def _identity(
    run: _Run, sources: SourceSet, validation: Sources | None, origin: str
) -> dict[str, str]:
    """What a checkpoint must share with the run that continues from it."""
    times, text = [pair.t for pair in run.grid], run.guide.direction.tolist()
    fixed = [asdict(run.settings), times, text, run.model.fingerprint(), origin]
    parts: list[SourceSet] = [sources] if validation is None else [sources, validation]
    return {
        "run": json.dumps(fixed),
        "images": json.dumps([part.marks() for part in parts]),
    }


def _batches(count: int, settings: TrainSettings) -> list[Tensor]:
    """Rows of every batch of every epoch, shuffled anew each epoch."""
    order: list[Tensor] = []
    for epoch in range(settings.epochs):
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
        order += torch.randperm(count, generator=generator).split(settings.batch_size)
    return order


def _is_due(done: int, total: int, settings: TrainSettings) -> bool:
    every = settings.validate_every
    return every > 0 and (done % every == 0 or done == total)


def _as_step(
    batch: int, batches: int, t: int | None, losses: Losses, norm: float, best: bool
) -> TrainStep:
    total, directional, recon = (float(value.detach()) for value in losses)
    return TrainStep(batch, batches, t, total, directional, recon, norm, best)
