"""Several directions learnt side by side: each as it would be alone, in fewer network calls."""

import functools
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from asyrp.errors import AsyrpError
from asyrp.finders import training_checkpoint as keeper
from asyrp.finders.clip_training import fit, fit_together, new_direction
from asyrp.finders.prepare import Pictures, Wanted, start_together
from asyrp.finders.training_goal import TrainingGoal, TrainStep
from asyrp.method.directions import GlobalDirection, SideBySide, TimestepDirection
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.text_direction import TextDirection
from asyrp.method.unedited_trajectory import Window, editing_window
from asyrp.settings import TrainSettings
from conftest import noise
from doubles import tiny_guide
from tiny_training import SETTINGS, State, copied, same, sources_of

LONG, SHORT = (editing_window(999, end, steps=8) for end in (700, 850))  # 3 timesteps and 2
COUNTS = 5


@functools.cache
def guides() -> tuple[TextDirection, TextDirection]:
    """Two text pairs of one encoder; the second goes the other way, and weighs L1 less."""
    first = tiny_guide()
    return first, TextDirection(first.encoder, -first.direction.roll(1), 0.5 * first.cosine)


def begun(model: HSpaceUNet, window: Window, settings: TrainSettings) -> nn.Module:
    """Not at dh = 0, where the first gradient is rounding."""
    direction = new_direction(model, window.grid, replace(settings, zero_init=False))
    if settings.kind != "implicit":
        with torch.no_grad():
            for index, value in enumerate(direction.parameters()):
                value.copy_(0.1 * noise(*value.shape, seed=index))
    return direction


def lessons_of(model: HSpaceUNet, settings: TrainSettings) -> list[TrainingGoal]:
    return [
        TrainingGoal(begun(model, window, settings), guide, window.grid)
        for guide, window in zip(guides(), (LONG, SHORT), strict=True)
    ]


def together(model: HSpaceUNet, settings: TrainSettings, *rest: Any) -> list[State]:
    """The directions after a training side by side."""
    goals = lessons_of(model, settings)
    sources = sources_of(model, COUNTS, window=LONG)
    list(fit_together(model, goals, sources, settings, *rest))
    return [copied(goal.direction) for goal in goals]


def by_lesson(steps: list[TrainStep], goal: int) -> list[TrainStep]:
    return [step._replace(goal=0) for step in steps if step.goal == goal]


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("kind", ["implicit", "timestep", "global"])
def test_each_learns_what_it_learns_alone(model: HSpaceUNet, kind: Any, optimiser: Any) -> None:
    settings = replace(SETTINGS, kind=kind, optimiser=optimiser)
    sources, held = (sources_of(model, n, s, LONG) for n, s in ((COUNTS, 0), (3, 90)))
    goals = lessons_of(model, settings)
    steps = list(fit_together(model, goals, sources, settings, held))
    for i, (guide, window) in enumerate(zip(guides(), (LONG, SHORT), strict=True)):
        alone = begun(model, window, settings)
        cut = [one.until(len(window.grid)) for one in (sources, held)]
        wanted = list(fit(model, alone, guide, cut[0], window.grid, settings, cut[1]))
        found = by_lesson(steps, i)
        assert [(s.batch, s.t) for s in found] == [(s.batch, s.t) for s in wanted]
        for ours, one in zip(found, wanted, strict=True):
            assert ours.total == pytest.approx(one.total, rel=1e-3, abs=1e-5)
        h, emb = noise(2, *model.h_shape), noise(2, model.emb_channels)
        mine, theirs = (direction(h, emb, 999) for direction in (goals[i].direction, alone))
        torch.testing.assert_close(mine, theirs, rtol=5e-3, atol=5e-4)


def test_lessons_learn_different_things(model: HSpaceUNet) -> None:
    settings = replace(SETTINGS, kind="global", optimiser="sgd", learning_rate=1.0)
    first, second = together(model, settings)
    start = begun(model, LONG, settings).state_dict()["dh"]
    a, b = ((one["dh"] - start).flatten() for one in (first, second))
    assert min(a.norm(), b.norm()) > 1e-3
    assert float(nn.functional.cosine_similarity(a, b, dim=0)) < 0.9


@pytest.mark.parametrize("after", range(1, 14, 2))
@pytest.mark.parametrize("seconds", [0.0, 100.0])
def test_a_kill_anywhere_changes_no_bit(
    model: HSpaceUNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, seconds: float
) -> None:
    monkeypatch.setattr(keeper, "SECONDS", seconds)
    settings, held = replace(SETTINGS, batch_size=3), sources_of(model, 2, 90, LONG)
    path = tmp_path / "state.safetensors"
    sources = sources_of(model, COUNTS, window=LONG)
    killed = fit_together(model, lessons_of(model, settings), sources, settings, held, path)
    list(itertools.islice(killed, after))
    killed.close()
    again = together(model, settings, held, path)
    for mine, theirs in zip(again, together(model, settings, held), strict=True):
        assert same(mine, theirs)


def test_one_whose_patience_ends_rests_while_the_other_learns(model: HSpaceUNet) -> None:
    settings = replace(SETTINGS, validate_every=1, patience=1, epochs=3, lambda_recon=0.0)
    settings = replace(settings, batch_size=COUNTS)
    goals = lessons_of(model, settings)
    sources = sources_of(model, COUNTS, window=LONG)
    worse = TrainingGoal(goals[1].direction, _nowhere(), goals[1].grid)
    steps = list(fit_together(model, [goals[0], worse], sources, settings, sources))
    ends = [max(s.batch for s in steps if s.goal == i) for i in (0, 1)]
    assert ends[1] < ends[0]
    assert all(s.goal == 0 for s in steps if s.batch > ends[1])


def test_the_one_of_the_longest_interval_may_rest_first(model: HSpaceUNet) -> None:
    settings = replace(SETTINGS, validate_every=1, patience=1, epochs=3, lambda_recon=0.0)
    settings = replace(settings, batch_size=COUNTS)
    first, second = lessons_of(model, settings)
    assert len(first.grid) > len(second.grid)
    longest = TrainingGoal(first.direction, _nowhere(), first.grid)
    sources = sources_of(model, COUNTS, window=LONG)
    steps = list(fit_together(model, [longest, second], sources, settings, sources))
    ends = [max(s.batch for s in steps if s.goal == i) for i in (0, 1)]
    assert ends[0] < ends[1]
    late = [s.t for s in steps if s.batch > ends[0] and s.t is not None]
    assert set(late) == {pair.t for pair in second.grid}


def _nowhere() -> TextDirection:
    """A text of no direction, to which no edit comes nearer: its loss is 1."""
    guide = guides()[1]
    return guide._replace(direction=torch.zeros_like(guide.direction))


def test_lessons_share_every_call(model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    encode = HSpaceUNet.encode

    def counting(self: HSpaceUNet, x: torch.Tensor, *rest: Any) -> Any:
        calls.append(len(x))
        return encode(self, x, *rest)

    settings = replace(SETTINGS, batch_size=COUNTS, epochs=1)
    sources, goals = sources_of(model, COUNTS, window=LONG), lessons_of(model, settings)
    monkeypatch.setattr(HSpaceUNet, "encode", counting)
    list(fit_together(model, goals, sources, settings))
    assert calls == [2 * COUNTS, 2 * COUNTS, COUNTS]  # the second edits to 856 alone


def test_side_by_side_gives_each_its_rows() -> None:
    h, emb = noise(4, 2, 3, 3), noise(4, 5)
    one, other = GlobalDirection(noise(2, 1, 1)), TimestepDirection({5: noise(2, 3, 3, seed=1)})
    found = SideBySide([one, other], 2)(h, emb, 5)
    assert torch.equal(found[:2], one(h, emb, 5).expand(2, 2, 3, 3))
    assert torch.equal(found[2:], other(h, emb, 5).expand(2, 2, 3, 3))


def test_with_guidance_each_gets_its_rows_of_both_runs() -> None:
    h, emb = noise(8, 2, 3, 3), noise(8, 5)
    seen: list[torch.Tensor] = []

    def watching(own: torch.Tensor, part: torch.Tensor, t: int) -> torch.Tensor:
        seen.append(own)
        return own + part[:, :2, None, None]

    found = SideBySide([watching, watching], 2)(h, emb, 5)
    assert torch.equal(seen[0], h[[0, 1, 4, 5]])
    assert torch.equal(seen[1], h[[2, 3, 6, 7]])
    assert torch.equal(found, h + emb[:, :2, None, None])


def test_what_does_not_begin_together_is_refused(model: HSpaceUNet) -> None:
    first, second = guides()
    late = editing_window(900, 700, steps=8).grid
    goals = [
        TrainingGoal(new_direction(model, grid, SETTINGS), guide, grid)
        for guide, grid in ((first, LONG.grid), (second, late))
    ]
    sources = sources_of(model, 2, window=LONG)
    with pytest.raises(AsyrpError, match="got grids from t = 856 and 999; train them one by one"):
        next(fit_together(model, goals, sources, SETTINGS))
    other = TrainingGoal(goals[0].direction, tiny_guide(), LONG.grid)  # an encoder of its own
    with pytest.raises(AsyrpError, match="guided by one text-image encoder"):
        next(fit_together(model, [goals[0], other], sources, SETTINGS))


def test_a_checkpoint_of_other_lessons_is_refused(model: HSpaceUNet, tmp_path: Path) -> None:
    path, sources = tmp_path / "state", sources_of(model, 2, window=LONG)
    goals = lessons_of(model, SETTINGS)
    list(fit_together(model, goals, sources, SETTINGS, None, path))
    with pytest.raises(AsyrpError, match="is not a checkpoint of this run"):
        next(fit_together(model, goals[:1], sources, SETTINGS, None, path))
    first, second = goals
    swapped = [first._replace(guide=second.guide), second._replace(guide=first.guide)]
    with pytest.raises(AsyrpError, match="belongs to a run with another"):
        next(fit_together(model, swapped, sources, SETTINGS, None, path))


def test_jobs_learn_together_from_pictures(model: HSpaceUNet) -> None:
    x = noise(4, 3, 16, 16)
    wanted = [
        Wanted(guide, EditInterval(800, end, 0))
        for guide, end in zip(guides(), (400, 600), strict=True)
    ]
    job = start_together(model, wanted, Pictures(x, x), Pictures(x[:2], x[:2]), SETTINGS)
    steps = list(job.steps)
    assert [s.t for s in by_lesson(steps, 0)] == [713, 570, 428, 713, 570, 428, None] * 2
    assert [s.t for s in by_lesson(steps, 1)] == [713, 713, None] * 2
    assert job.checked is not None
    assert [len(goal.grid) for goal in job.goals] == [3, 1]
    assert len(job.checked.x0) == 3
