"""Finding a direction: what a step does, and on what."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from asyrp.errors import AsyrpError
from asyrp.finders.clip_training import batches_of, new_direction
from asyrp.finders.training_goal import rate_at
from asyrp.method.asymmetric_process import reverse_process
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.unedited_trajectory import editing_window, joined, prepare
from asyrp.settings import TrainSettings
from conftest import noise, tiny_model
from doubles import tiny_guide
from tiny_training import (
    SETTINGS,
    WINDOW,
    Job,
    copied,
    new_job,
)


@pytest.fixture
def job(model: HSpaceUNet) -> Job:
    """Two epochs of two batches at two timesteps: 8 optimiser steps and 2 validations."""
    return new_job(model)


# the steps


def test_a_batch_is_one_step_a_timestep_and_every_image_comes_once_an_epoch(
    model: HSpaceUNet,
) -> None:
    for count, size in itertools.product((1, 2, 5), (1, 2, 3, 8)):
        order = batches_of(count, replace(SETTINGS, batch_size=size))
        per_epoch = math.ceil(count / size)
        assert len(order) == 2 * per_epoch
        for epoch in (order[:per_epoch], order[per_epoch:]):
            assert sorted(torch.cat(epoch).tolist()) == list(range(count))
            assert all(len(rows) == size for rows in epoch[:-1])
    job = new_job(model, 5, batch_size=3, validate_every=0)
    steps = list(job.steps(job.direction()))
    assert [(s.batch, s.t) for s in steps] == [(b, t) for b in range(4) for t in (999, 856)]
    assert {step.batches for step in steps} == {4}


def test_the_order_of_images_changes_with_epoch_and_seed() -> None:
    settings = replace(SETTINGS, batch_size=20, epochs=2)
    first, second = batches_of(20, settings)
    (other, _) = batches_of(20, replace(settings, seed=1))
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(first, batches_of(20, settings)[0])


@pytest.mark.parametrize("decay", [True, False])
def test_sgd_moves_by_learning_rate_times_gradient(model: HSpaceUNet, decay: bool) -> None:
    job = new_job(model, optimiser="sgd", learning_rate=0.5, decay=decay, validate_every=0)
    direction = job.direction()
    before = copied(direction)
    for step in job.steps(direction):
        now = copied(direction)
        moved = math.sqrt(sum(float((now[k] - before[k]).double().square().sum()) for k in now))
        rate = 0.5 * (1 - step.batch / 4 if decay else 1)
        assert moved == pytest.approx(rate * step.grad_norm, rel=1e-3)
        before = now
    assert step.grad_norm > 0


def test_the_learning_rate_falls_to_zero_linearly() -> None:
    rates = [rate_at(batch, 4, SETTINGS) for batch in range(5)]
    assert rates == pytest.approx([0.02, 0.015, 0.01, 0.005, 0.0])
    assert rate_at(3, 4, replace(SETTINGS, decay=False)) == 0.02


@pytest.mark.parametrize("kind", ["implicit", "timestep", "global"])
def test_every_kind_learns(model: HSpaceUNet, kind: Any) -> None:
    job = new_job(model, 4, kind=kind, epochs=8, validate_every=4, lambda_recon=0.0)
    job = job._replace(validation=job.sources)
    steps = list(job.steps(job.direction()))
    before = next(step for step in steps)
    after = min(step.total for step in steps if step.t is None)
    assert before.total == pytest.approx(1.0, abs=1e-4)  # no shift has no direction: cos = 0
    assert after < 0.6


@pytest.mark.parametrize("kind", ["implicit", "timestep", "global"])
def test_training_begins_at_the_plain_reconstruction(model: HSpaceUNet, kind: Any) -> None:
    direction = new_direction(model, WINDOW.grid, replace(SETTINGS, kind=kind))
    h, emb = noise(2, *model.h_shape), noise(2, model.emb_channels)
    assert all(not direction(h, emb, t).any() for t in (999, 856))
    assert sum(p.numel() for p in direction.parameters()) > 0


def test_the_official_initialisation_is_not_zero_and_comes_from_the_seed(
    model: HSpaceUNet,
) -> None:
    h, emb = noise(1, *model.h_shape), noise(1, model.emb_channels)
    before = torch.random.get_rng_state()
    settings = replace(SETTINGS, zero_init=False)
    made = [new_direction(model, (), replace(settings, seed=seed)) for seed in (0, 0, 1)]
    dhs = [direction(h, emb, 500) for direction in made]
    assert torch.equal(dhs[0], dhs[1])
    assert not torch.equal(dhs[0], dhs[2])
    assert float(dhs[0].detach().abs().max()) > 0.01
    assert torch.equal(torch.random.get_rng_state(), before)


def test_only_the_direction_is_trained(job: Job) -> None:
    before, latents = job.model.fingerprint(), job.sources.latents.clone()
    list(job.steps(job.direction()))
    assert job.model.fingerprint() == before
    assert all(p.grad is None for p in job.model.unet.parameters())
    assert torch.equal(job.sources.latents, latents)


def test_a_network_in_bfloat16_trains_a_direction_in_float32() -> None:
    job = new_job(tiny_model(dtype=torch.bfloat16))
    assert job.sources.latents.dtype == torch.float32
    direction = job.direction()
    steps = list(job.steps(direction))
    assert {p.dtype for p in direction.parameters()} == {torch.float32}
    assert all(math.isfinite(step.total) for step in steps)
    assert steps[-2].directional < 0.9 < steps[0].directional


def test_a_loss_that_is_not_finite_stops_the_run_and_spares_the_checkpoint(
    model: HSpaceUNet, tmp_path: Path
) -> None:
    job = new_job(model, optimiser="sgd", learning_rate=1e30, validate_every=0, lambda_recon=1e9)
    with pytest.raises(AsyrpError, match="training diverged; lower the learning rate"):
        list(job.steps(job.direction(), tmp_path / "state"))
    kept = load_file(tmp_path / "state") if (tmp_path / "state").exists() else {}
    assert all(value.isfinite().all() for value in kept.values())


# the unedited walk


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_unedited_walk_does_not_depend_on_the_batch_size(model: HSpaceUNet, size: int) -> None:
    x, window = noise(5, 3, 16, 16), editing_window(800, 400, steps=8)
    found = joined(list(prepare(model, tiny_guide(), x, window, size)))
    with torch.no_grad():
        steps = list(reverse_process(model, x, (*window.lead, *window.grid)))
    torch.testing.assert_close(found.latents, steps[1].x)  # 999 and 856 lead to 713
    wanted = torch.stack([step.x0 for step in steps[2:]])
    torch.testing.assert_close(found.x0, wanted, rtol=1e-4, atol=1e-4)
    assert not found.x0.requires_grad


def test_the_window_is_the_editing_interval() -> None:
    window = editing_window(800, 400, steps=8)
    assert [pair.t for pair in window.lead] == [999, 856]
    assert [pair.t for pair in window.grid] == [713, 570, 428]
    begun = editing_window(800, 400, steps=8, t_top=800)
    assert (len(begun.lead), begun.grid) == (0, window.grid)
    with pytest.raises(AsyrpError, match="lies between t_start 550 and t_edit 500"):
        editing_window(550, 500, steps=8)


def test_the_settings_refuse_what_cannot_be() -> None:
    for wrong in ({"epochs": 0}, {"batch_size": 0}, {"patience": 0}, {"lambda_clip": -1.0}):
        with pytest.raises(AsyrpError, match=next(iter(wrong))):
            TrainSettings(**wrong)
    for rate in (0.0, -1.0, math.nan):
        with pytest.raises(AsyrpError, match="learning_rate must be above 0"):
            TrainSettings(learning_rate=rate)


@pytest.mark.parametrize("seed", [-1, 20261126021633])
def test_a_seed_that_no_generator_takes_is_refused_at_once(seed: int) -> None:
    with pytest.raises(AsyrpError, match=f"seed must lie in 0..4294967295; got {seed}"):
        TrainSettings(seed=seed)
