"""How often each network runs in every mode, so that no change adds a pass unseen.

Passes count images: a batch of 3 through the encoder is 3.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asyrp.finders.clip_training import new_direction
from asyrp.finders.prepare import Pictures, StoredPictures, start_training
from asyrp.method.asymmetric_process import (
    Attribute,
    asymmetric,
    epsilon_space,
    reverse_process,
    symmetric,
)
from asyrp.method.cost import Cost, counted
from asyrp.method.ddim import generate
from asyrp.method.directions import GlobalDirection
from asyrp.method.editing import edit, invert, latents_of, random_latents
from asyrp.method.editing_interval import EditInterval, measure_curves
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import invert_into, recipe_of, walk_into
from asyrp.method.schedule import paper_grid
from asyrp.method.strength import response
from asyrp.method.strength_sweep import strip
from asyrp.method.text_direction import TextDirection
from asyrp.method.unedited_trajectory import editing_window, joined, prepare
from asyrp.settings import TrainSettings
from asyrp.storage.record_store import RecordStore
from conftest import noise
from doubles import TinyDistance, tiny_guide

IMAGES, STEPS = 3, 8  # 999, 856, 713, 570, 428, 285, 142, 0
T_EDIT, INSIDE = 500, 4  # 999 to 570
Counts = tuple[int, int]  # encodes, decodes, of one image


@pytest.fixture
def x() -> Tensor:
    return noise(IMAGES, 3, 16, 16).tanh()


@pytest.fixture(scope="module")
def act(model: HSpaceUNet) -> Attribute:
    return Attribute(GlobalDirection(torch.zeros(model.h_shape)), T_EDIT)


def per_image(cost: Cost, images: int = IMAGES) -> Counts:
    """Counts of one image; no pass backward."""
    assert cost.encodes_back == cost.decodes_back == 0
    assert cost.encodes % images == cost.decodes % images == 0
    return cost.encodes // images, cost.decodes // images


# walks


@pytest.mark.parametrize("size", [1, 2, 16])
def test_an_edit_decodes_twice_inside_its_interval_and_once_outside(
    model: HSpaceUNet, x: Tensor, act: Attribute, size: int
) -> None:
    with counted(model) as plain:
        edit(model, x, (), STEPS, batch_size=size)
    with counted(model) as edited:
        edit(model, x, [act], STEPS, batch_size=size)
    assert per_image(plain) == (STEPS, STEPS)
    assert per_image(edited) == (STEPS, STEPS + INSIDE)


def test_boosting_costs_nothing(model: HSpaceUNet, x: Tensor, act: Attribute) -> None:
    with counted(model) as cost:
        edit(model, x, [act], STEPS, t_boost=300)
    assert per_image(cost) == (STEPS, STEPS + INSIDE)


def test_more_directions_cost_no_more_where_they_act_together(
    model: HSpaceUNet, x: Tensor, act: Attribute
) -> None:
    lower = Attribute(act.direction, 300, t_start=600)  # 570 and 428
    with counted(model) as cost:
        edit(model, x, [act, lower, act], STEPS)
    assert per_image(cost) == (STEPS, STEPS + INSIDE + 1)


@pytest.mark.parametrize(
    ("shift", "more"), [(asymmetric, INSIDE), (symmetric, 0), (epsilon_space, 0)]
)
def test_the_modes_to_compare_with(
    model: HSpaceUNet, x: Tensor, act: Attribute, shift: Any, more: int
) -> None:
    direction = GlobalDirection(torch.zeros(3, 16, 16)) if shift is epsilon_space else act.direction
    with counted(model) as cost:
        edit(model, x, [Attribute(direction, T_EDIT)], STEPS, shift=shift)
    assert per_image(cost) == (STEPS, STEPS + more)


def test_a_strip_costs_less_than_its_edits(model: HSpaceUNet, x: Tensor, act: Attribute) -> None:
    ways = [[Attribute(act.direction, T_EDIT, s, t_start=800)] for s in (-1.0, 0.0, 1.0, 2.0)]
    with counted(model) as cost:
        strip(model, x, ways, STEPS)
    # one x at 999, 856 and 713, then four; edited at 713 and 570, strength 0 never
    assert per_image(cost) == (3 + 5 * 4, 3 + 5 * 4 + 2 * 3)


@torch.no_grad()
def test_plain_generation(model: HSpaceUNet, x: Tensor) -> None:
    with counted(model) as cost:
        list(generate(model, model.schedule, x, paper_grid(STEPS)))
    assert per_image(cost) == (STEPS, STEPS)


# inversion


@pytest.mark.parametrize("refinements", [0, 1, 3])
@pytest.mark.parametrize(
    ("convention", "up"), [("source", STEPS - 1), ("target", STEPS), ("extrapolated", STEPS - 1)]
)
def test_inversion_is_one_pass_a_step_and_one_a_refinement(
    model: HSpaceUNet, x: Tensor, convention: Any, up: int, refinements: int
) -> None:
    how = (STEPS, convention, refinements, 2)
    with counted(model) as alone:
        latents_of(model, x, *how)
    with counted(model) as checked:
        invert(model, x, *how)
    passes = up * (1 + refinements)
    assert per_image(alone) == (passes, passes)
    assert per_image(checked) == (passes + STEPS, passes + STEPS)


def test_inversion_up_to_a_timestep_stops_there(model: HSpaceUNet, x: Tensor) -> None:
    with counted(model) as cost:
        latents_of(model, x, STEPS, up_to=600)  # 0 to 570
    assert per_image(cost) == (4, 4)


def test_random_latents_need_no_network(model: HSpaceUNet) -> None:
    with counted(model) as cost:
        random_latents(model, IMAGES)
    assert per_image(cost) == (0, 0)


# what is measured on the way


@torch.no_grad()
def test_curves_and_strengths(model: HSpaceUNet, x: Tensor, act: Attribute) -> None:
    window, guide = editing_window(999, T_EDIT, STEPS), tiny_guide()
    sources = joined(list(prepare(model, guide, x, window, 2)))
    with counted(model) as curves:
        measure_curves(x, x, reverse_process(model, x, paper_grid(STEPS)), TinyDistance())
    with counted(model) as one:
        response(model, act.direction, 1.0, guide, sources, window.grid)
    assert per_image(curves) == (STEPS, STEPS)
    assert per_image(one) == (INSIDE, 2 * INSIDE)


# the store


def test_a_store_adds_no_pass_and_repeats_none(
    model: HSpaceUNet, x: Tensor, tmp_path: Path
) -> None:
    store, recipe, grid = RecordStore(tmp_path / "s"), recipe_of(model, STEPS), paper_grid(STEPS)
    with counted(model) as up:
        keys = [one.key for one in sorted(invert_into(store, model, recipe, x, 2))]
    with counted(model) as down:
        list(walk_into(store, model, keys, grid[:2], grid[2:INSIDE]))
    with counted(model) as again:
        list(invert_into(store, model, recipe, x, 2))
        list(walk_into(store, model, keys, grid[:2], grid[2:INSIDE]))
    assert per_image(up) == (STEPS - 1, STEPS - 1)
    assert per_image(down) == (INSIDE, INSIDE)
    assert per_image(again) == (0, 0)


# training


class Seen:
    """Images that went through an image encoder, forward and backward."""

    def __init__(self) -> None:
        self.forward, self.backward = 0, 0


class Watched:
    """An encoder that counts."""

    name = "watched"
    text_common = 0.0

    def __init__(self, guide: TextDirection, seen: Seen):
        self.guide, self.seen = guide, seen

    def image_features(self, images: Tensor) -> Tensor:
        self.seen.forward += len(images)
        if images.requires_grad:
            images.register_hook(self._back)
        return self.guide.encoder.image_features(images)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        return self.guide.encoder.text_features(texts)

    def _back(self, grad: Tensor) -> None:
        self.seen.backward += len(grad)


@contextmanager
def watched() -> Iterator[tuple[TextDirection, Seen]]:
    guide, seen = tiny_guide(), Seen()
    yield guide._replace(encoder=Watched(guide, seen)), seen


def settings(epochs: int, **more: Any) -> TrainSettings:
    return TrainSettings(steps=STEPS, epochs=epochs, batch_size=2, validate_every=0, **more)


PHASES = EditInterval(999, T_EDIT, 0)


def trained(model: HSpaceUNet, x: Tensor, how: TrainSettings) -> tuple[Cost, Cost, Seen, Seen]:
    """Costs of what comes before training, and of training."""
    with watched() as (guide, seen):
        with counted(model) as before:
            new_direction(model, paper_grid(STEPS), how)  # finds h's shape by a pass
        nothing = Pictures(x[:0], x[:0])
        with counted(model) as unedited:
            job = start_training(model, guide, Pictures(x, x), nothing, PHASES, how)
        first = Seen()
        first.forward, seen.forward = seen.forward, 0
        with counted(model) as ours:
            list(job.steps)
    unedited.encodes -= before.encodes
    return unedited, ours, first, seen


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("kind", ["implicit", "timestep", "global"])
def test_training_is_two_decodes_forward_and_one_backward_a_timestep(
    model: HSpaceUNet, x: Tensor, kind: Any, epochs: int
) -> None:
    unedited, ours, first, seen = trained(model, x, settings(epochs, kind=kind))
    assert per_image(unedited) == (INSIDE, INSIDE)  # once, however many epochs
    work = IMAGES * INSIDE * epochs
    assert (ours.encodes, ours.decodes) == (work, 2 * work)
    assert (ours.encodes_back, ours.decodes_back) == (0, work)
    assert (first.forward, first.backward) == (IMAGES * INSIDE, 0)
    assert (seen.forward, seen.backward) == (work, work)


def test_a_clean_source_is_encoded_once(model: HSpaceUNet, x: Tensor) -> None:
    _, ours, first, seen = trained(model, x, settings(2, clip_source="clean"))
    assert first.forward == IMAGES
    assert seen.forward == seen.backward == ours.decodes_back == IMAGES * INSIDE * 2


def test_validation_runs_the_walk_without_a_pass_backward(model: HSpaceUNet, x: Tensor) -> None:
    how = TrainSettings(steps=STEPS, epochs=2, batch_size=4, validate_every=1)
    with watched() as (guide, seen):
        job = start_training(model, guide, Pictures(x, x), Pictures(x[:2], x[:2]), PHASES, how)
        seen.forward = 0
        with counted(model) as cost:
            list(job.steps)
    trains, validates = 2 * IMAGES * INSIDE, 2 * 2 * INSIDE
    assert (cost.encodes, cost.decodes) == (trains + validates, 2 * (trains + validates))
    assert (cost.encodes_back, cost.decodes_back) == (0, trains)
    assert seen.forward == trains + 2 * 2  # of validation the last timestep alone


def test_a_second_attribute_from_a_store_repeats_no_unedited_pass(
    model: HSpaceUNet, x: Tensor, tmp_path: Path
) -> None:
    store, nothing = RecordStore(tmp_path / "store"), Pictures(x[:0], x[:0])
    rows = sorted(invert_into(store, model, recipe_of(model, STEPS), x, 2))
    pictures = StoredPictures(store, [one.key for one in rows], list(x))
    costs, features = [], []
    for target in ("smiling face", "sad face"):
        seen, plain = Seen(), tiny_guide(target)
        guide = plain._replace(encoder=Watched(plain, seen))
        with counted(model) as cost:
            job = start_training(model, guide, pictures, nothing, PHASES, settings(1))
            list(job.steps)
        costs.append((cost.encodes, cost.decodes, cost.decodes_back))
        features.append(seen.forward)
    work = IMAGES * INSIDE
    assert costs == [(2 * work, 3 * work, work), (work, 2 * work, work)]
    assert features == [2 * work, work]
