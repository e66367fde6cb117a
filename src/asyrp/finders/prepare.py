"""Whole jobs between files and the engine, shared by the commands and the demo."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.finders.clip_training import begin_from, digest, fit_together, new_direction
from asyrp.finders.training_goal import TrainingGoal, TrainStep
from asyrp.method.cached_trajectory import CachedTrajectories, mark_of, prepare_into
from asyrp.method.direction_file import DirectionCard, SavedDirection
from asyrp.method.editing import inversion_grid
from asyrp.method.editing_interval import Curves, EditInterval, measure_curves
from asyrp.method.editing_interval import joined as joined_curves
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.inversion.choose import Name, inversion_of, top_of
from asyrp.method.latent_cache import walk_into
from asyrp.method.protocols import PerceptualDistance
from asyrp.method.text_direction import TextDirection
from asyrp.method.unedited_trajectory import (
    Clean,
    UneditedTrajectories,
    UneditedTrajectory,
    Window,
    editing_window,
    joined,
    prepare,
)
from asyrp.runtime.batching import in_batches
from asyrp.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from asyrp.settings import TrainSettings
from asyrp.storage.record_store import RecordStore

MOST_CURVE_IMAGES = 32
EDIT_STEPS = 40  # the paper's grid for editing and for the LPIPS curves


@torch.no_grad()
def curves_of(
    model: HSpaceUNet,
    images: Tensor,
    latents: Tensor,
    distance: PerceptualDistance,
    steps: int = 40,
    batch_size: int = 16,
    inversion: Name = "ddim",
) -> Curves:
    """LPIPS curves over at most 32 of the images, (n, c, height, width), led back from latents."""
    grid, few = inversion_grid(model, steps, None, inversion), latents[:MOST_CURVE_IMAGES]
    down = inversion_of(inversion).down

    def measured(rows: slice) -> Curves:
        x = few[rows]
        top = top_of(x, model.image_shape[0])
        return measure_curves(images[rows].to(x), top, down(model, x, grid), distance)

    return joined_curves(list(in_batches(len(few), batch_size, measured)))


@dataclass(frozen=True)
class Pictures:
    """Images and their latents, (n, c, height, width) each.

    at: the timestep of the latents, None for T.
    """

    images: Tensor
    latents: Tensor
    at: int | None = None

    def __getitem__(self, rows: slice) -> "Pictures":
        return replace(self, images=self.images[rows], latents=self.latents[rows])

    def __len__(self) -> int:
        return len(self.latents)


@dataclass(frozen=True)
class StoredPictures:
    """Pictures whose latents a store holds.

    keys: of the latents. images: each (c, height, width); read only for a clean CLIP source.
    """

    store: RecordStore
    keys: Sequence[str]
    images: Sequence[Tensor]
    at: int | None = None

    def __len__(self) -> int:
        return len(self.keys)


class Wanted(NamedTuple):
    """A direction to find: its text pair, and when it edits."""

    guide: TextDirection
    phases: EditInterval


class Training(NamedTuple):
    """Directions, and the steps that train them in place when they are walked.

    checked: the held-out images on the longest grid of the goals; None without any.
    """

    goals: Sequence[TrainingGoal]
    steps: Iterator[TrainStep]
    checked: UneditedTrajectory | None

    @property
    def direction(self) -> nn.Module:
        """That of a training of one."""
        (goal,) = self.goals
        return goal.direction


def start_training(
    model: HSpaceUNet,
    guide: TextDirection,
    pictures: Pictures | StoredPictures,
    validation: Pictures,
    phases: EditInterval,
    settings: TrainSettings,
    checkpoint: Path | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
    neighbour: nn.Module | None = None,
) -> Training:
    """Walk the unedited trajectories and begin; the direction is ready when the steps end.

    neighbour: a trained direction to begin from.
    """
    more = (settings, checkpoint, processes, neighbour)
    return start_together(model, [Wanted(guide, phases)], pictures, validation, *more)


def start_together(
    model: HSpaceUNet,
    wanted: Sequence[Wanted],
    pictures: Pictures | StoredPictures,
    validation: Pictures,
    settings: TrainSettings,
    checkpoint: Path | None = None,
    processes: ProcessGroup = SINGLE_PROCESS,
    neighbour: nn.Module | None = None,
) -> Training:
    """`start_training` of several directions, which share the images and every network call.

    Raises:
        AsyrpError: their phases begin at different timesteps, or their encoders differ.
    """
    guide, t_edit = wanted[0].guide, min(one.phases.t_edit for one in wanted)

    def window(part: Pictures | StoredPictures, end: int = t_edit) -> Window:
        start = wanted[0].phases.t_start
        top = model.t_top if part.at is None else part.at
        return editing_window(start, end, settings.steps, model.schedule.length, top)

    goals, origin = [], "" if neighbour is None else digest(neighbour)
    for one in wanted:
        grid = window(pictures, one.phases.t_edit).grid
        goals.append(TrainingGoal(new_direction(model, grid, settings), one.guide, grid))
        if neighbour is not None:
            begin_from(goals[-1].direction, neighbour)
    checked = None
    if len(validation):
        checked = sources_of(model, guide, validation, window(validation), settings, processes)
    found: UneditedTrajectories
    if settings.along == "noised":
        found = Clean(pictures.images, model.device)
    elif isinstance(pictures, StoredPictures):
        found = stored_sources_of(model, guide, pictures, window(pictures), settings, processes)
    else:
        found = sources_of(model, guide, pictures, window(pictures), settings, processes)
    steps = fit_together(model, goals, found, settings, checked, checkpoint, processes, origin)
    return Training(goals, steps, checked)


def sources_of(
    model: HSpaceUNet,
    guide: TextDirection,
    part: Pictures,
    window: Window,
    settings: TrainSettings,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> UneditedTrajectory:
    """The unedited walks of pictures in memory; each process of a group walks its share."""
    share, count = processes.share(len(part)), len(part)
    idle = share.start == share.stop  # more processes than pictures
    own = slice(0, 1) if idle else share
    clean = part.images.to(model.device)[own] if settings.clip_source == "clean" else None
    batches = prepare(model, guide, part.latents[own], window, settings.batch_size, clean)
    # what an idle one walked is another's
    whole = joined(batches).blank(count) if idle else joined(batches, count, share.start)
    if processes.size > 1:
        for values in (whole.latents, *whole.x0, *whole.features):  # a timestep at a time
            values.copy_(processes.total(values))
    return whole


@torch.no_grad()
def stored_sources_of(
    model: HSpaceUNet,
    guide: TextDirection,
    part: StoredPictures,
    window: Window,
    settings: TrainSettings,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> CachedTrajectories:
    """The unedited walks of pictures in a store, which is filled with what it lacks."""
    clean, size, own = None, settings.batch_size, part.keys[processes.share(len(part))]
    if settings.clip_source == "clean":  # features of P_t are not looked at
        for _ in walk_into(part.store, model, own, *window, size):
            pass
        part.store.flush()
    else:
        for _ in prepare_into(part.store, model, guide, own, window, size):
            pass
    processes.wait()
    part.store.refresh()
    if settings.clip_source == "clean":
        rows = [guide.encoder.image_features(x[None].to(model.device)) for x in part.images]
        clean = torch.cat(rows).cpu()
    mark = mark_of(guide.encoder)
    return CachedTrajectories(part.store, part.keys, window, mark, model.device, clean)


def make_card(
    model: HSpaceUNet,
    texts: tuple[str, str],
    guide: TextDirection,
    phases: EditInterval,
    settings: TrainSettings,
    outcome: Mapping[str, Any],
    strength: float = 1.0,
) -> DirectionCard:
    """The card of a direction that was just trained."""
    return DirectionCard(
        source=texts[0],
        target=texts[1],
        t_start=phases.t_start,
        t_edit=phases.t_edit,
        t_boost=phases.t_boost,
        trained_steps=settings.steps,
        fingerprint=model.fingerprint(),
        encoder=guide.encoder.name,
        text_cosine=guide.cosine,
        strength=strength,
        region=settings.region,
        training={
            **asdict(settings),
            "learning_rate": settings.rate,
            "precision": str(model.dtype).removeprefix("torch."),
            **outcome,
        },
    )


def boost_of(directions: Sequence[SavedDirection], asked: int | None) -> int:
    """t_boost of a walk: the one asked for, or the lowest of the directions'; 0 without any."""
    if asked is not None:
        return asked
    return min((saved.card.t_boost for saved in directions), default=0)


def parse_direction(text: str) -> tuple[Path, float]:
    """FILE or FILE:STRENGTH; AsyrpError where the strength is no number."""
    name, colon, strength = text.rpartition(":")
    if not colon or Path(text).is_file():
        return Path(text), 1.0
    try:
        return Path(name), float(strength)
    except ValueError as error:
        raise AsyrpError(
            f"needed FILE or FILE:STRENGTH with a number for STRENGTH; got {text!r}"
        ) from error
