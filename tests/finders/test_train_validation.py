"""What validation keeps, and when it stops a training."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from asyrp.finders.training_checkpoint import Outcome, outcomes_of
from asyrp.finders.training_goal import TrainingGoal
from asyrp.finders.training_run import TrainingRun, TrainStep
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.clip_loss import Losses
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.unedited_trajectory import UneditedTrajectory
from tiny_training import WINDOW, Job, State, copied, new_job, same, scrambled


@pytest.fixture
def job(model: HSpaceUNet) -> Job:
    """Two epochs of two batches at two timesteps: 8 optimiser steps and 2 validations."""
    return new_job(model)


def scripted(monkeypatch: pytest.MonkeyPatch, totals: list[float]) -> None:
    """Validations that come out as written."""
    script = iter(totals)

    def validate(
        self: TrainingRun, sources: UneditedTrajectory, learning: list[int]
    ) -> dict[int, Losses]:
        return {i: Losses(*torch.tensor([next(script), 1.0, 0.0])) for i in learning}

    monkeypatch.setattr(TrainingRun, "validate", validate)


def validations(job: Job, direction: nn.Module) -> list[tuple[TrainStep, State]]:
    steps = job.steps(direction)
    return [(step, copied(direction)) for step in steps if step.t is None]


def test_validation_keeps_the_best_state(
    model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [3.0, 1.0, 2.0, 1.5])
    job = new_job(model, validate_every=1)
    direction = job.direction()
    seen = validations(job, direction)
    assert [step.best for step, _ in seen] == [True, True, False, False]
    assert [step.batch for step, _ in seen] == [0, 1, 2, 3]
    assert same(copied(direction), seen[1][1])
    assert not same(copied(direction), seen[3][1])


def test_the_checkpoint_tells_of_the_best_try(
    model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted(monkeypatch, [3.0, 1.0, 2.0, 1.5])
    job, path = new_job(model, validate_every=1), tmp_path / "state"
    list(itertools.islice(job.steps(job.direction(), path), 8))  # killed behind the best try
    list(job.steps(job.direction(), path))
    assert outcomes_of(path) == [Outcome(2, 1.0)]


def test_an_equal_validation_is_no_better(
    model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [1.0, 1.0, math.nan, 1.0])
    job = new_job(model, validate_every=1)
    assert [s.best for s, _ in validations(job, job.direction())] == [True, False, False, False]


@pytest.mark.parametrize(("patience", "count"), [(1, 3), (2, 6), (3, 7)])
def test_training_stops_when_patience_ends(
    model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch, patience: int, count: int
) -> None:
    scripted(monkeypatch, [5.0, 4.0, 4.5, 3.0, 3.5, 3.6, 3.7, 3.8])
    job = new_job(model, validate_every=1, patience=patience, epochs=4)
    direction = job.direction()
    steps = list(job.steps(direction))
    assert sum(step.t is None for step in steps) == count
    assert steps[-1].t is None
    assert {step.batches for step in steps} == {8}


def test_a_run_out_of_patience_stays_stopped(
    model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted(monkeypatch, [1.0, 2.0])
    job = new_job(model, validate_every=1, patience=1)
    first, again = job.direction(), job.direction()
    list(job.steps(first, tmp_path / "state"))
    assert list(job.steps(scrambled(again), tmp_path / "state")) == []
    assert same(copied(again), copied(first))


@pytest.mark.parametrize(("every", "due"), [(0, []), (1, [0, 1, 2, 3]), (2, [1, 3]), (3, [2, 3])])
def test_validations_come_every_so_many_batches_and_at_the_end(
    model: HSpaceUNet, every: int, due: list[int]
) -> None:
    job = new_job(model, validate_every=every)
    assert [s.batch for s, _ in validations(job, job.direction())] == due


def test_without_validation_the_last_state_is_kept(job: Job) -> None:
    job = job._replace(validation=None)
    direction = job.direction()
    for step in job.steps(direction):
        assert step.t is not None
        last = copied(direction)
    assert same(copied(direction), last)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_validation_does_not_depend_on_the_batch_size(model: HSpaceUNet, size: int) -> None:
    job = new_job(model, batch_size=size, zero_init=False)
    run = run_of(job)
    found = torch.stack(run.validate(job.validation, [0])[0])
    alone = [torch.stack(run.validate(row_of(job.validation, i), [0])[0]) for i in range(3)]
    torch.testing.assert_close(found, torch.stack(alone).mean(0))


def run_of(job: Job) -> TrainingRun:
    return TrainingRun(
        job.model, [TrainingGoal(job.direction(), job.guide, WINDOW.grid)], job.settings
    )


def row_of(sources: UneditedTrajectory, i: int) -> UneditedTrajectory:
    return sources.take(torch.tensor([i]))


def test_validation_is_the_loss_at_the_end_of_the_interval(model: HSpaceUNet) -> None:
    job = new_job(model, zero_init=False, batch_size=3)
    run = run_of(job)
    act = Attribute(run.goals[0].direction, 856, trained_steps=WINDOW.grid.full)
    with torch.no_grad():
        *_, last = reverse_process(model, job.validation.latents, WINDOW.grid, [act])
    assert last.t == 856
    wanted = (last.x0 - job.validation.x0[-1]).abs().mean()
    torch.testing.assert_close(run.validate(job.validation, [0])[0].reconstruction, wanted)
