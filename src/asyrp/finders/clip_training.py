"""Finding a direction: the walk of `edit`, with gradients on the direction only.

Each optimiser step belongs to one timestep of one batch, and x is detached between steps, as in
the official code. The unedited trajectory is walked once and kept for every epoch.
"""

import copy
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.finders.training_checkpoint import Progress, TrainingCheckpoint
from asyrp.finders.training_goal import TrainingGoal, TrainStep
from asyrp.finders.training_run import TrainingRun
from asyrp.method.cached_trajectory import mark_of
from asyrp.method.directions import GlobalDirection, ImplicitDirection, TimestepDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair
from asyrp.method.text_direction import TextDirection
from asyrp.method.unedited_trajectory import Clean, UneditedTrajectories, UneditedTrajectory
from asyrp.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from asyrp.runtime.generators import seeded
from asyrp.settings import FtLayout, TrainSettings

VALIDATIONS = 8  # of a run, however long it is
TABLE_NOISE = 0.2  # standard deviation of the official code's tables at the start


def new_direction(model: HSpaceUNet, grid: Sequence[Pair], settings: TrainSettings) -> nn.Module:
    """An untrained direction for a network: f_t, or tables."""
    return seeded(settings.seed, lambda: _begun(model, grid, settings)).to(model.device)


def _begun(model: HSpaceUNet, grid: Sequence[Pair], settings: TrainSettings) -> nn.Module:
    if settings.kind == "implicit":
        layout = settings.layout or own_layout(model)
        return ImplicitDirection(model.h_channels, model.emb_channels, layout, settings.zero_init)
    scale, shape = 0.0 if settings.zero_init else TABLE_NOISE, model.h_shape
    if settings.kind == "global":
        return GlobalDirection(scale * torch.randn(shape))
    return TimestepDirection({pair.t: scale * torch.randn(shape) for pair in grid})


def own_layout(model: HSpaceUNet) -> FtLayout:
    """The order of f_t's layers in the official code: norm first on iDDPM and ADM networks."""
    shifted = model.config.get("resnet_time_scale_shift") == "scale_shift"
    return "adm" if shifted else "ddpm"


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


def fit(
    model: HSpaceUNet,
    direction: nn.Module,
    guide: TextDirection,
    sources: UneditedTrajectories,
    grid: Sequence[Pair],
    settings: TrainSettings,
    validation: UneditedTrajectory | None = None,
    checkpoint: Path | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
    origin: str = "",
) -> Iterator[TrainStep]:
    """Train `direction` in place; with validation it ends as the best that was validated.

    `fit_together` of one goal, which says more.
    """
    goals = [TrainingGoal(direction, guide, grid)]
    return fit_together(model, goals, sources, settings, validation, checkpoint, processes, origin)


def fit_together(
    model: HSpaceUNet,
    goals: Sequence[TrainingGoal],
    sources: UneditedTrajectories,
    settings: TrainSettings,
    validation: UneditedTrajectory | None = None,
    checkpoint: Path | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
    origin: str = "",
) -> Iterator[TrainStep]:
    """Train several directions in place on the same images, side by side in every network call.

    Each ends, to rounding, as it would alone, but for less time: small batches use a processor
    badly. Memory grows with the number of goals that still learn. With validation each ends as
    the best that was validated, and stops learning when its patience ends.

    Continues from `checkpoint` if that file exists. The file is replaced after every batch and,
    in a single process, within long ones every 15 seconds. A run that was killed and continued ends
    with the same directions as an unbroken one. The processes of a group divide every batch and end
    with the same directions. origin: what the directions began from, the same for one checkpoint.

    Raises:
        AsyrpError: a loss is not finite, the checkpoint belongs to another run, the goals do not
            begin at one timestep or are of several encoders, or the sources are not what
            `settings.along` needs.
    """
    _check_sources(sources, settings)
    run = TrainingRun(model, goals, settings, processes)
    best = copy.deepcopy(run.directions)
    kept = {"direction": run.directions, "best": best}
    identity = _identity(run, sources, validation, origin)
    steps = len(run.walk.grid)
    kept_run = TrainingCheckpoint(
        checkpoint, kept, run.optimiser, identity, steps, len(goals), processes
    )
    at = kept_run.read()
    order = batches_of(sources.images, settings)
    while at.batch < len(order) and run.learning(at):
        for done, x in run.train_batch(sources, order, at):
            yield from done
            at = at._replace(steps=at.steps + 1, x=x)
            kept_run.write_due(at)
        batch = at.batch
        at = at._replace(batch=batch + 1, steps=0, x=None)
        if validation is not None and _is_due(batch + 1, len(order), settings):
            for goal, losses in run.validate(validation, run.learning(at)).items():
                total, directional, recon = torch.stack(losses).tolist()
                at, improved = judged(at, goal, total)
                if improved:
                    best[goal].load_state_dict(run.directions[goal].state_dict())
                told = (total, directional, recon, 0.0, improved, goal)
                yield TrainStep(batch, len(order), None, *told)
        kept_run.write(at)
    for goal, lowest in enumerate(at.lowest):
        if lowest < math.inf:
            run.directions[goal].load_state_dict(best[goal].state_dict())


def _check_sources(sources: UneditedTrajectories, settings: TrainSettings) -> None:
    if isinstance(sources, Clean) != (settings.along == "noised"):
        raise AsyrpError(
            "training along noised images needs images alone (Clean), along a walk its Sources; "
            f"got {type(sources).__name__} with along {settings.along!r}"
        )


def judged(at: Progress, goal: int, loss: float) -> tuple[Progress, bool]:
    """Progress after a validation of a goal, and whether that was its lowest."""
    improved = loss < at.lowest[goal]
    lowest, best, stale = list(at.lowest), list(at.best), list(at.stale)
    if improved:
        lowest[goal], best[goal], stale[goal] = loss, at.batch, 0
    else:
        stale[goal] += 1
    return at._replace(lowest=tuple(lowest), best=tuple(best), stale=tuple(stale)), improved


def _identity(
    run: TrainingRun,
    sources: UneditedTrajectories,
    validation: UneditedTrajectory | None,
    origin: str,
) -> dict[str, str]:
    """What a checkpoint must share with the run that continues from it."""
    taught = [([p.t for p in one.grid], _asked(one.guide)) for one in run.goals]
    settings = {k: v for k, v in asdict(run.settings).items() if k != "checkpointing"}
    encoder = mark_of(run.goals[0].guide.encoder)
    network = [run.model.fingerprint(), str(run.model.dtype)]
    fixed = [settings, taught, encoder, network, origin]
    parts: list[UneditedTrajectories] = [sources] if validation is None else [sources, validation]
    return {"run": json.dumps(fixed), "images": json.dumps([part.marks() for part in parts])}


def _asked(guide: TextDirection) -> Sequence[object]:
    """The texts; their features, which other machines round otherwise, where none are told."""
    terms = [getattr(term, "__name__", type(term).__name__) for term in guide.terms]
    return [*(guide.asked or guide.direction.tolist()), *terms]


def batches_of(count: int, settings: TrainSettings) -> list[Tensor]:
    """Rows of every batch of every epoch, shuffled anew each epoch."""
    order: list[Tensor] = []
    for epoch in range(settings.epochs):
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
        order += torch.randperm(count, generator=generator).split(settings.batch_size)
    return order


def _is_due(done: int, total: int, settings: TrainSettings) -> bool:
    every = settings.validate_every
    if every is None:
        every = -(-total // VALIDATIONS)
    return every > 0 and (done % every == 0 or done == total)
