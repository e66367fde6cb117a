"""That all steps of a training learn a direction, and not the rounding noise of the first one."""

import functools
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

import tiny_training
from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.editing_methods.diffusionclip import fine_tune, trainable
from asyrp.errors import AsyrpError
from asyrp.finders.clip_training import fit, new_direction
from asyrp.finders.training_goal import TrainingGoal
from asyrp.finders.training_run import TrainingRun
from asyrp.method.asymmetric_process import reverse_process
from asyrp.method.clip_loss import EPSILON, directional_loss
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.text_direction import new_text_direction
from asyrp.method.unedited_trajectory import Clean, editing_window
from asyrp.networks import load_model
from asyrp.runtime.fast_blocks import use_fast_blocks
from asyrp.scorers.load import load_encoder
from asyrp.settings import TrainSettings, official
from asyrp.storage.images import from_uint8
from conftest import noise, tiny_model
from doubles import tiny_guide
from tiny_training import sources_of

EXAMPLES = Path(__file__).parents[1] / "examples"
IMAGES, FLOOR = 6, TrainSettings().floor
WINDOW = editing_window(800, 250, steps=8)  # four timesteps, 713 to 285
SETTINGS = replace(tiny_training.SETTINGS, epochs=4, learning_rate=None, validate_every=0)


class Learnt(NamedTuple):
    """A direction, and the gradient norm and the update of every step."""

    direction: nn.Module
    gradients: Tensor
    updates: list[Tensor]


@functools.cache
def wide(dtype: torch.dtype = torch.float32, lean: bool = False) -> HSpaceUNet:
    """A tiny network with half as many channels at its bottleneck as avatars-64."""
    model = tiny_model(block_out_channels=(8, 64), dtype=dtype)
    if lean:
        use_fast_blocks(model.unet)
    return model


@pytest.fixture(params=["implicit", "timestep", "global"])
def settings(request: pytest.FixtureRequest) -> TrainSettings:
    return replace(SETTINGS, kind=request.param)


@functools.cache
def learnt(settings: TrainSettings, **how: Any) -> Learnt:
    """What some settings learn on a network of `wide`."""
    model = wide(**how)
    direction = new_direction(model, WINDOW.grid, settings)
    sources = sources_of(model, IMAGES, window=WINDOW)
    states, gradients = [flat(direction)], list[float]()
    for step in fit(model, direction, tiny_guide(), sources, WINDOW.grid, settings):
        states.append(flat(direction))
        gradients.append(step.grad_norm)
    return Learnt(direction, torch.tensor(gradients), [b - a for a, b in pairwise(states)])


def flat(module: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(module.parameters()).detach().clone()


@torch.no_grad()
def dh_of(direction: Any) -> Tensor:
    """dh of every timestep along the unedited walk of the images that were trained on."""
    model = wide()
    found, x = [], sources_of(model, IMAGES, window=WINDOW).latents
    for pair in WINDOW.grid:
        encoded = model.encode(x, pair.t)
        found.append(direction(encoded.h, encoded.emb, pair.t).expand_as(encoded.h))
        (done,) = reverse_process(model, x, [pair])
        x = done.x
    return torch.stack(found).float().flatten()


def loss_of(direction: nn.Module, settings: TrainSettings) -> float:
    """The loss of the images that were trained on, at the end of the interval."""
    run = TrainingRun(wide(), [TrainingGoal(direction, tiny_guide(), WINDOW.grid)], settings)
    return run.validate(sources_of(wide(), IMAGES, window=WINDOW), [0])[0].total.item()


def agreement(a: Learnt, b: Learnt) -> float:
    """The cosine between what two directions answer."""
    return float(functional.cosine_similarity(dh_of(a.direction), dh_of(b.direction), dim=0))


def worst(gradients: Tensor) -> float:
    """The largest gradient norm of a timestep over its median one."""
    by_time = gradients.view(-1, len(WINDOW.grid))
    return float((by_time.max(0).values / by_time.median(0).values).max())


def alike(weights: Tensor) -> float:
    """The share of weights whose size lies within 1 % of the median size."""
    sizes = weights.detach().abs().flatten()
    return float(((sizes - sizes.median()).abs() <= 0.01 * sizes.median()).float().mean())


# the loss


@pytest.mark.parametrize("rounding", [0.0, 1e-8, 1e-5])
def test_where_nothing_is_edited_the_gradient_is_the_text_direction(rounding: float) -> None:
    source, text = (functional.normalize(noise(3, 9, seed=s), dim=1) for s in (0, 1))
    edited = (source + rounding * noise(3, 9, seed=2)).requires_grad_()
    directional_loss(edited, source, text[0], floor=0.2).sum().backward()
    torch.testing.assert_close(edited.grad, -text[0].expand(3, 9) / 0.2)


def test_no_gradient_is_larger_than_one_over_the_floor() -> None:
    source, text = noise(64, 9), functional.normalize(noise(9, seed=1), dim=0)
    sizes = torch.logspace(-6, 1, 64)[:, None]
    moved = sizes * functional.normalize(noise(64, 9, seed=2), dim=1)
    for floor, limit in ((0.2, 5.0), (EPSILON, 1e7)):
        edited = (source.double() + moved).requires_grad_()
        directional_loss(edited, source.double(), text.double(), floor).sum().backward()
        largest = float(edited.grad.norm(dim=1).max())
        assert largest <= limit * 1.001
        assert largest > 0.1 * min(limit, 1e6)


def test_above_the_floor_the_loss_is_the_papers() -> None:
    source, text = noise(5, 9), functional.normalize(noise(9, seed=1), dim=0)
    edited = source + noise(5, 9, seed=2)
    cosines = functional.cosine_similarity(edited - source, text[None])
    torch.testing.assert_close(directional_loss(edited, source, text, 0.2), 1 - cosines)
    below = directional_loss(source + 0.01 * text, source, text, 0.2)
    torch.testing.assert_close(below, torch.full((5,), 1 - 0.01 / 0.2))


# what is learnt


def test_no_step_is_larger_than_the_others(settings: TrainSettings) -> None:
    _, gradients, updates = learnt(settings)
    assert worst(gradients) < 5
    sizes = torch.stack(updates).norm(dim=1)
    assert sizes.max() < 10 * sizes.median()
    assert sizes.max() < 0.25 * torch.stack(updates).sum(0).norm()


def test_weights_differ_in_size(settings: TrainSettings) -> None:
    assert max(map(alike, learnt(settings).direction.parameters())) < 0.9


def test_another_seed_learns_the_same_direction(settings: TrainSettings) -> None:
    assert agreement(learnt(settings), learnt(replace(settings, seed=1))) > 0.8


def test_the_loss_falls_below_that_of_no_edit_and_of_a_random_one(settings: TrainSettings) -> None:
    found = learnt(settings).direction
    losses = [loss_of(new_direction(wide(), WINDOW.grid, settings), settings)]
    for seed in range(3):
        drawn = new_direction(wide(), WINDOW.grid, replace(settings, zero_init=False, seed=seed))
        factor = float(dh_of(found).norm() / dh_of(drawn).norm())
        losses.append(loss_of(Resized(drawn, factor), settings))
    assert loss_of(found, settings) < min(losses) - 0.1


class Resized(nn.Module):
    """A direction times a number."""

    def __init__(self, direction: nn.Module, factor: float):
        super().__init__()
        self.direction, self.factor = direction, factor

    def forward(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        return self.factor * self.direction(h, emb, t)


def test_the_loss_of_before_fails_these_tests(settings: TrainSettings) -> None:
    before = replace(settings, floor=EPSILON)
    found = learnt(before)
    assert worst(found.gradients) > 100
    assert max(map(alike, found.direction.parameters())) > 0.5
    assert agreement(found, learnt(replace(before, seed=1))) < 0.8


# alike wherever it is learnt


def test_fast_and_plain_blocks_learn_the_same(settings: TrainSettings) -> None:
    assert agreement(learnt(settings), learnt(settings, lean=True)) > 0.99


def test_bfloat16_learns_the_same() -> None:
    assert agreement(learnt(SETTINGS), learnt(SETTINGS, dtype=torch.bfloat16)) > 0.9


def test_small_and_large_batches_learn_the_same(settings: TrainSettings) -> None:
    small, large = (replace(settings, batch_size=n, epochs=e) for n, e in ((1, 2), (IMAGES, 8)))
    assert agreement(learnt(small), learnt(large)) > 0.8


# other things that start where nothing is edited


def test_plain_sgd_makes_small_steps_from_zero() -> None:
    plain = replace(SETTINGS, optimiser="sgd", learning_rate=0.5)
    assert flat(learnt(plain).direction).abs().max() < 10
    assert flat(learnt(replace(plain, floor=EPSILON)).direction).abs().max() > 100


def test_a_fine_tuned_network_moves_by_all_of_its_steps() -> None:
    sources = sources_of(wide(), IMAGES, window=WINDOW)
    ratios = {}
    for floor in (FLOOR, EPSILON):
        how = replace(SETTINGS, epochs=3, decay=False, floor=floor, learning_rate=1e-3)
        tuned = trainable(wide())
        states = [flat(tuned.unet)]
        for _ in fine_tune(tuned, tiny_guide(), sources, WINDOW.grid, how):
            states.append(flat(tuned.unet))
        sizes = torch.stack([(b - a).norm() for a, b in pairwise(states)])
        ratios[floor] = float(sizes[0] / sizes[-1])
    assert ratios[FLOOR] < 8 < ratios[EPSILON]


def test_the_papers_loss_is_refused_where_nothing_is_edited_yet() -> None:
    with pytest.raises(AsyrpError, match="no gradient where nothing is edited yet"):
        TrainSettings(floor=0)
    free = TrainSettings(floor=0, zero_init=False)
    assert official().floor == free.floor
    sources = sources_of(wide(), 2, window=WINDOW)
    with pytest.raises(AsyrpError, match="needed a floor above 0"):
        next(fine_tune(trainable(wide()), tiny_guide(), sources, WINDOW.grid, free))


# the built-in network


def faces(count: int) -> Tensor:
    return from_uint8(np.stack([draw(sample_face("train", i)) for i in range(count)]))


@pytest.mark.slow
def test_two_seeds_on_faces_learn_the_same_direction() -> None:
    """The default settings on a third of the faces, along noised images."""
    model, grid = load_model("avatars-64"), editing_window(537, 153, 20).grid
    guide = new_text_direction(load_encoder("avatars-64-clip"), "face", "smiling face")
    images, found = faces(32), []
    for seed in (0, 1):
        settings = TrainSettings(seed=seed, validate_every=0)
        direction = new_direction(model, grid, settings)
        norms, steps = list[float](), list[Tensor]()
        before = flat(direction)
        for step in fit(model, direction, guide, Clean(images, model.device), grid, settings):
            norms.append(step.grad_norm)
            steps.append(flat(direction) - before)
            before = flat(direction)
        sizes = torch.stack(steps).norm(dim=1)
        assert max(norms) < 30 * float(torch.tensor(norms).median())
        assert sizes.max() < 10 * sizes.median()
        assert max(map(alike, direction.parameters())) < 0.9
        encoded = model.encode(images[:8], grid[-1].t)
        with torch.no_grad():
            found.append(direction(encoded.h, encoded.emb, grid[-1].t).flatten())
    assert float(functional.cosine_similarity(*found, dim=0)) > 0.8


# what is shipped


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.safetensors")), ids=lambda p: p.name)
def test_no_shipped_direction_has_weights_of_one_size(path: Path) -> None:
    weights = load_file(path)
    assert weights
    for name, values in weights.items():
        assert alike(values) < 0.9, name
