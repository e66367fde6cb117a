"""A direction for a task of a domain, found on inverted images by the CLIP loss."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from asyrp.domains.base import Domain, Task, guide_of
from asyrp.domains.inverted_images import BATCH, InvertedImages, edited
from asyrp.finders.prepare import make_card, start_training
from asyrp.method.direction_file import SavedDirection
from asyrp.method.directions import Direction
from asyrp.method.editing_interval import Curves, EditInterval, find_intervals
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.strength import saturating
from asyrp.method.unedited_trajectory import editing_window, joined, prepare
from asyrp.settings import TrainSettings


def interval_of(domain: Domain, curves: Curves, task: Task) -> EditInterval:
    """When a task edits: its own interval, or that of curves of validation images."""
    if task.interval is not None:
        return task.interval
    guide = guide_of(domain, task)
    return find_intervals(curves, guide.cosine, domain.distance.thresholds).interval


class Fitted(NamedTuple):
    """A trained direction, and its loss: the mean over the last batch's timesteps."""

    saved: SavedDirection
    loss: float


def fitted(
    domain: Domain,
    task: Task,
    interval: EditInterval,
    images: InvertedImages,
    settings: TrainSettings,
    model: HSpaceUNet | None = None,
    keep: bool = False,
) -> Fitted:
    """A direction of settings.kind, trained without validation: every method gets one budget.

    model: the domain's network, which may be cut at another place than the bottleneck. keep: with
    texts of the other tasks to keep.
    """
    guide, settings = guide_of(domain, task, keep), replace(settings, validate_every=0)
    pictures = images.pictures
    parts = (pictures, pictures[:0], interval, settings)
    job = start_training(model or domain.model, guide, *parts)
    losses = [step.total for step in job.steps]
    about = {"images": len(images.numbers), "keep": guide.asked[2:]}
    texts = (task.source, task.target)
    card = make_card(domain.model, texts, guide, interval, settings, about)
    saved = SavedDirection(job.direction.requires_grad_(False), card)
    (goal,) = job.goals
    return Fitted(saved, float(np.mean(losses[-len(goal.grid) :])))


def saturated(
    domain: Domain,
    task: Task,
    saved: SavedDirection,
    images: InvertedImages,
) -> float:
    """The strength at which images no longer respond, as `asyrp train` finds it.

    images: of validation, inverted to the card's t_start on its grid.
    """
    guide, card, model = guide_of(domain, task), saved.card, domain.model
    start = images.at if card.t_start is None else card.t_start
    steps, length = card.trained_steps, model.schedule.length
    window = editing_window(start, card.t_edit, steps, length, images.at)
    sources = joined(list(prepare(model, guide, images.latents, window, BATCH)))
    direction = cast(Direction, saved.direction)
    return saturating(model, direction, guide, sources, window.grid, region=card.region)


class DhRecorder:
    """A direction that keeps what it answers: timestep -> dh of every batch."""

    def __init__(self, direction: nn.Module | Direction) -> None:
        self.direction = cast(Direction, direction)
        self.seen: dict[int, list[Tensor]] = {}

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """The direction's dh."""
        dh = self.direction(h, emb, t)
        self.seen.setdefault(t, []).append(dh.expand_as(h).clone())
        return dh

    @property
    def table(self) -> Mapping[int, Tensor]:
        """timestep -> (n, c, h', w')."""
        return {t: torch.cat(parts) for t, parts in self.seen.items()}


def recorded(domain: Domain, images: InvertedImages, saved: SavedDirection) -> Mapping[int, Tensor]:
    """dh_t of every image along its own edit at strength 1."""
    recorder = DhRecorder(saved.direction)
    kept = SavedDirection(cast(nn.Module, recorder), saved.card)
    edited(domain.model, images, [kept.attribute(1.0)])
    return recorder.table
