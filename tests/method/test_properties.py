"""The mathematics, at arguments that nobody chose."""

import math
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asyrp.experiments.studies.theorem1 import coefficients
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.ddim import predict_x0, sigma, step, step_up
from asyrp.method.direction_file import DirectionCard, load_direction, save_direction
from asyrp.method.directions import GlobalDirection, Scaled, Sum, TimestepDirection
from asyrp.method.editing_interval import Curves, find_t_boost, find_t_edit, find_t_start
from asyrp.method.protocols import Thresholds
from asyrp.method.schedule import (
    CLEAN,
    NoiseSchedule,
    Pair,
    from_betas,
    pairs,
    paper_grid,
    times,
)
from asyrp.reporting.statistics import is_answers, of_mean
from conftest import noise, tiny_model
from grids import leading_grid, trailing_grid

schedules = st.lists(st.floats(1e-5, 0.3), min_size=2, max_size=60).map(from_betas)
steps_of = st.sampled_from([paper_grid, leading_grid, trailing_grid])
etas = st.floats(0, 1)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def moves(draw: Any) -> tuple[NoiseSchedule, Pair]:
    """A schedule and a step on it, of any length."""
    schedule = draw(schedules)
    t = draw(st.integers(0, schedule.length - 1))
    return schedule, Pair(t, draw(st.integers(CLEAN, t - 1)))


def drawn(seed: int, *shape: int) -> Tensor:
    return noise(*shape, seed=seed, dtype=torch.float64)


# schedules and grids


@given(schedules)
def test_alpha_bars_fall_from_1_and_are_the_products_of_1_minus_beta(found: NoiseSchedule) -> None:
    bars = [found.alpha_bar(t) for t in range(CLEAN, found.length)]
    assert bars[0] == 1
    assert all(0 < later < earlier <= 1 for earlier, later in pairwise(bars))
    again = from_betas([1 - b / a for a, b in pairwise(bars)])
    np.testing.assert_allclose(again.alpha_bars, found.alpha_bars, rtol=1e-9)


@given(steps_of, st.integers(2, 1000), st.data())
def test_every_grid_is_a_chain_down_to_the_clean_image(
    grid_of: Any, length: int, data: st.DataObject
) -> None:
    steps = data.draw(st.integers(2, length))
    grid = grid_of(steps, length)
    assert len(grid) == steps
    assert all(a.s == b.t and a.t > a.s for a, b in pairwise(grid))
    assert grid[-1].s == CLEAN
    assert 0 <= grid[-1].t < grid[0].t < length
    assert pairs(times(grid)) == grid
    gaps = np.diff(times(grid))
    assert gaps.max() - gaps.min() <= 1 + (grid_of is paper_grid)


# the DDIM step


@given(moves(), seeds)
def test_a_step_up_undoes_a_step_down_where_eps_is_equal(
    move: tuple[NoiseSchedule, Pair], seed: int
) -> None:
    schedule, (t, s) = move
    x, eps = drawn(seed, 1, 2, 3, 3), drawn(seed + 1, 1, 2, 3, 3)
    down = step(x, eps, eps, schedule, Pair(t, s)).x
    torch.testing.assert_close(step_up(down, eps, schedule, s, t), x, rtol=1e-8, atol=1e-8)
    up = step_up(x, eps, schedule, s, t)
    torch.testing.assert_close(step(up, eps, eps, schedule, Pair(t, s)).x, x, rtol=1e-8, atol=1e-8)


@given(moves(), seeds, etas)
def test_a_step_is_p_and_d_and_noise(
    move: tuple[NoiseSchedule, Pair], seed: int, eta: float
) -> None:
    schedule, pair = move
    x, a, b, z = (drawn(seed + i, 1, 2, 3, 3) for i in range(4))
    now, then = schedule.alpha_bar(pair.t), schedule.alpha_bar(pair.s)
    done = step(x, a, b, schedule, pair, z, eta)
    std = sigma(now, then, eta)
    p = then**0.5 * (x - (1 - now) ** 0.5 * a) / now**0.5
    wanted = p + max(0.0, 1 - then - std**2) ** 0.5 * b + std * z
    torch.testing.assert_close(done.x, wanted, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(done.x0, predict_x0(x, a, now))
    torch.testing.assert_close(now**0.5 * done.x0 + (1 - now) ** 0.5 * a, x, rtol=1e-9, atol=1e-9)


@given(moves(), etas)
def test_noise_leaves_room_for_d_and_eta_1_is_ancestral(
    move: tuple[NoiseSchedule, Pair], eta: float
) -> None:
    schedule, (t, s) = move
    now, then = schedule.alpha_bar(t), schedule.alpha_bar(s)
    std = sigma(now, then, eta)
    assert 0 <= std**2 <= 1 - then + 1e-12
    assert std == pytest.approx(eta * sigma(now, then, 1.0), rel=1e-12, abs=1e-15)
    beta = 1 - now / then  # of the whole step: DDPM's posterior variance (Ho et al., equation 7)
    assert sigma(now, then, 1.0) ** 2 == pytest.approx((1 - then) / (1 - now) * beta, abs=1e-12)


@given(moves(), etas, seeds)
def test_theorem_1s_coefficients_are_what_a_step_does(
    move: tuple[NoiseSchedule, Pair], eta: float, seed: int
) -> None:
    schedule, pair = move
    x, eps, shift, z = (drawn(seed + i, 1, 1, 3, 3) for i in range(4))
    plain = step(x, eps, eps, schedule, pair, z, eta).x
    both = step(x, eps + shift, eps + shift, schedule, pair, z, eta).x - plain
    alone = step(x, eps + shift, eps, schedule, pair, z, eta).x - plain
    found = coefficients(schedule, pair, eta)
    torch.testing.assert_close(both, found.symmetric * shift, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(alone, found.asymmetric * shift, rtol=1e-6, atol=1e-8)
    if eta == 0:  # section 3.1: the two halves have opposite signs, and D_t never outweighs P_t
        assert found.asymmetric <= found.symmetric <= 0


# directions


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4), st.integers(0, 999), seeds)
def test_sums_and_strengths_of_constant_directions_are_linear(
    strengths: list[float], t: int, seed: int
) -> None:
    h, emb = drawn(seed, 2, 3, 2, 2), drawn(seed, 2, 5)
    values = [drawn(seed + i, 3, 2, 2) for i in range(len(strengths))]
    parts = [Scaled(GlobalDirection(v), s) for v, s in zip(values, strengths, strict=True)]
    wanted = sum((s * v for v, s in zip(values, strengths, strict=True)), torch.zeros(3, 2, 2))
    torch.testing.assert_close(Sum(parts)(h, emb, t), wanted.expand_as(h), rtol=1e-9, atol=1e-9)
    back = Sum([*parts, *(Scaled(part, -1.0) for part in parts)])
    assert back(h, emb, t).abs().max() < 1e-9


@given(st.floats(-3, 3), st.integers(1, 100), st.integers(1, 200), seeds)
def test_the_sum_of_dh_over_a_walk_does_not_depend_on_its_length(
    strength: float, trained: int, steps: int, seed: int
) -> None:
    dh = drawn(seed, 3, 2, 2)
    act = Attribute(GlobalDirection(dh), 0, strength, trained)
    h = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    total = steps * act.dh(h, torch.zeros(1, 4), 500, steps)
    torch.testing.assert_close(total[0], strength * trained * dh, rtol=1e-9, atol=1e-9)


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))
def test_a_direction_acts_on_its_interval_alone(a: int, b: int, t: int) -> None:
    act = Attribute(GlobalDirection(torch.zeros(1)), min(a, b), t_start=max(a, b))
    assert act.acts(t) == (min(a, b) <= t <= max(a, b))


@settings(max_examples=12)
@given(st.floats(-2, 2), st.floats(-2, 2), st.integers(0, 100))
def test_p_t_at_the_first_step_is_linear_in_the_strength_of_a_shift_of_eps(
    a: float, b: float, seed: int
) -> None:
    """Of two strengths and their sum, with the shift added to eps instead of h."""
    from asyrp.method.asymmetric_process import epsilon_space

    model, grid = tiny_model(dtype=torch.float64), (Pair(800, 600),)
    x, dh = drawn(seed, 1, 3, 16, 16), drawn(seed + 1, 3, 16, 16)

    def moved(strength: float) -> Tensor:
        act = Attribute(GlobalDirection(dh), 0, strength, 1)
        (done,) = reverse_process(model, x, grid, [act], shift=epsilon_space)
        return done.x0 - done.x0_source

    torch.testing.assert_close(moved(a) + moved(b), moved(a + b), rtol=1e-6, atol=1e-6)


@given(st.sets(st.integers(0, 999), min_size=1, max_size=6), st.integers(0, 999))
def test_a_timestep_direction_answers_with_the_nearest_of_its_table(
    known: set[int], t: int
) -> None:
    table = {time: torch.full((1, 1, 1), float(time)) for time in known}
    direction = TimestepDirection(table).requires_grad_(False)
    found = float(direction(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1), t))
    assert abs(found - t) == min(abs(time - t) for time in known)


# intervals and their uncertainty


@st.composite
def curves(draw: Any) -> Curves:
    """Distances that rise along the walk, of a few images."""
    count, images = draw(st.integers(2, 12)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(seeds))
    rises = np.sort(rng.random((2, count, images)), axis=1)
    return Curves(tuple(range(0, 50 * count, 50)), *rises)


@given(curves(), st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_higher_threshold_never_gives_a_lower_timestep(
    found: Curves, a: float, b: float, cosine: float
) -> None:
    top = min(found.x0.mean(1).max(), found.xt.mean(1).max())
    low, high = sorted((a * top, b * top))
    ends = [Thresholds(edit=level, boost=level) for level in (low, high)]
    first, second = (find_t_edit(found, cosine, level) for level in ends)
    assert first.t <= second.t
    assert first.low <= first.high
    assert first.t <= find_t_edit(found, 1.0, ends[0]).t  # a smaller cosine edits longer
    assert find_t_boost(found, ends[0]).t <= find_t_boost(found, ends[1]).t


@given(curves(), st.floats(0, 1), st.floats(0, 1))
def test_t_start_rises_with_its_threshold(found: Curves, a: float, b: float) -> None:
    lowest = found.x0.mean(1).min()
    low, high = sorted((lowest + a * (1 - lowest), lowest + b * (1 - lowest)))
    first, second = (find_t_start(found, Thresholds(0.1, 0.1, level)) for level in (low, high))
    assert first <= second


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30), st.floats(-5, 5))
def test_an_interval_holds_its_mean_and_moves_with_the_values(
    values: list[float], shift: float
) -> None:
    found = of_mean(values)
    assert found.low <= found.value <= found.high
    assert of_mean([*values, math.nan]) == found
    moved = np.asarray(values) + shift
    if not (is_answers(np.asarray(values)) or is_answers(moved)):
        wanted = [part + shift for part in found[:3]]
        assert of_mean(moved)[:3] == pytest.approx(wanted, abs=1e-6)


# files

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
numbers = st.floats(-1e6, 1e6)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def cards(draw: Any) -> DirectionCard:
    t_boost, t_edit, t_start = sorted(draw(st.tuples(*[st.integers(0, 999)] * 3)))
    return DirectionCard(
        source=draw(texts),
        target=draw(texts),
        t_edit=t_edit,
        t_boost=t_boost,
        trained_steps=draw(st.integers(1, 1000)),
        fingerprint="",
        encoder=draw(texts),
        text_cosine=draw(st.floats(-1, 1)),
        strength=draw(numbers),
        t_start=draw(st.sampled_from([None, t_start])),
        training=draw(st.dictionaries(texts, plain, max_size=4)),
    )


@settings(max_examples=60)
@given(cards(), seeds)
def test_a_direction_file_gives_back_every_text_and_number(card: DirectionCard, seed: int) -> None:
    model = tiny_model()
    dh = noise(*model.h_shape, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        save_direction(path, GlobalDirection(dh), card)
        found = load_direction(path, model)
    assert found.card == card
    assert torch.equal(found.direction.dh, dh)
