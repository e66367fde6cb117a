import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

import oracles
from asyrp.errors import AsyrpError
from asyrp.method.ddim import (
    draw_noise,
    generate,
    invert_steps,
    predict_x0,
    seeded_generators,
    sigma,
    step,
    step_up,
)
from asyrp.method.schedule import (
    CLEAN,
    Pair,
    linear,
    pairs,
    paper_grid,
)
from conftest import noise
from grids import leading_grid, trailing_grid

SCHEDULE = linear()
GAUSSIAN = oracles.Gaussian(oracles.alpha_bar_table())
SHAPE = (2, 3, 4, 4)


def state(seed: int = 0) -> torch.Tensor:
    return noise(*SHAPE, seed=seed, dtype=torch.float64)


# the probability-flow ODE of Gaussian data, known in closed form


def test_generation_converges_to_the_exact_flow_with_order_one() -> None:
    sizes, z = [50, 100, 125, 200, 250, 500], state()
    errors = []
    for size in sizes:
        grid = trailing_grid(size)  # strides of 1000 / size down to the image itself
        *_, last = generate(GAUSSIAN.eps, SCHEDULE, GAUSSIAN.at(z, 999), grid)
        errors.append(float((last.x - GAUSSIAN.at(z, CLEAN)).norm() / z.norm()))
    assert 0.9 < oracles.order(sizes, errors) < 1.1
    assert errors[-1] < 0.01


@pytest.mark.parametrize("convention", ["source", "target"])
def test_inversion_converges_to_the_exact_flow_with_order_one(convention: str) -> None:
    strides, z = [27, 9, 3, 1], state()
    errors = []
    for stride in strides:
        grid = paper_grid(999 // stride + 1)
        start = GAUSSIAN.at(z, 0 if convention == "source" else CLEAN)
        *_, last = invert_steps(GAUSSIAN.eps, SCHEDULE, start, grid, convention)  # type: ignore[arg-type]
        errors.append(float((last.x - GAUSSIAN.at(z, 999)).norm() / z.norm()))
    assert 0.9 < -oracles.order(strides, errors) < 1.1
    assert errors[-1] < 0.01


def test_ideal_prediction_keeps_point_masses() -> None:
    certain = oracles.Gaussian(GAUSSIAN.table, mean=0.4, std=0.0)
    for done in generate(certain.eps, SCHEDULE, certain.at(state(), 999), paper_grid(5)):
        assert torch.allclose(done.x0, torch.tensor(0.4, dtype=torch.float64), atol=1e-10)


# an independent implementation in numpy


def assert_states(found: list[torch.Tensor], wanted: list[np.ndarray]) -> None:
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("grid", [paper_grid(40), leading_grid(50), trailing_grid(23)])
def test_generation_equals_numpy(grid: tuple[Pair, ...]) -> None:
    x, times = state(), [pair.t for pair in reversed(grid)]
    found = [done.x for done in generate(oracles.wavy_torch, SCHEDULE, x, grid)]
    table = oracles.alpha_bar_table()
    assert_states(found, oracles.numpy_generate(oracles.wavy, table, x.numpy(), times))


@pytest.mark.parametrize("grid", [paper_grid(40), leading_grid(50), trailing_grid(23)])
@pytest.mark.parametrize("convention", ["source", "target"])
def test_inversion_equals_numpy(grid: tuple[Pair, ...], convention: str) -> None:
    x, times = state(1), [pair.t for pair in reversed(grid)]
    steps = invert_steps(oracles.wavy_torch, SCHEDULE, x, grid, convention)  # type: ignore[arg-type]
    second = getattr(oracles, f"numpy_invert_{convention}")
    wanted = second(oracles.wavy, oracles.alpha_bar_table(), x.numpy(), times)
    assert_states([done.x for done in steps], wanted)


# equality with diffusers


def their_scheduler(steps: int) -> DDIMScheduler:
    theirs = DDIMScheduler(1000, clip_sample=False, timestep_spacing="leading")
    theirs.alphas_cumprod = torch.tensor(SCHEDULE.alpha_bars, dtype=torch.float64)
    theirs.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    theirs.set_timesteps(steps)
    return theirs


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_step_equals_diffusers(eta: float) -> None:
    theirs, x, eps, drawn = their_scheduler(50), state(), state(1), state(2)
    for pair in leading_grid(50):
        ours = step(x, eps, eps, SCHEDULE, pair, drawn, eta)
        their = theirs.step(eps, pair.t, x, eta=eta, variance_noise=drawn if eta else None)
        assert torch.allclose(ours.x, their.prev_sample, rtol=1e-12, atol=1e-12)
        assert torch.allclose(ours.x0, their.pred_original_sample, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("steps", [10, 40, 1000])
def test_target_inversion_equals_diffusers(steps: int) -> None:
    theirs = DDIMInverseScheduler(1000, clip_sample=False, timestep_spacing="leading")
    theirs.alphas_cumprod = torch.tensor(SCHEDULE.alpha_bars, dtype=torch.float64)
    theirs.initial_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    theirs.set_timesteps(steps)
    x = state()
    grid = leading_grid(steps)
    ours = list(invert_steps(oracles.wavy_torch, SCHEDULE, x, grid, "target"))
    assert [done.t for done in ours] == theirs.timesteps.tolist()
    for done in ours:
        x = theirs.step(oracles.wavy_torch(x, done.t), done.t, x).prev_sample
        assert torch.allclose(done.x, x, rtol=0, atol=1e-10)


# identities of one step

TIMES = st.tuples(st.integers(CLEAN, 998), st.integers(0, 999)).filter(lambda p: p[0] < p[1])


@given(times=TIMES, eta=st.floats(0, 1))
def test_the_three_parts_keep_the_variance(times: tuple[int, int], eta: float) -> None:
    at_s, at_t = SCHEDULE.alpha_bar(times[0]), SCHEDULE.alpha_bar(times[1])
    std = sigma(at_t, at_s, eta)
    assert 0 <= std**2 <= 1 - at_s + 1e-12
    assert std == pytest.approx(eta * sigma(at_t, at_s, 1.0))


@given(t=st.integers(1, 999))
def test_eta_one_on_neighbours_is_the_posterior_of_ddpm(t: int) -> None:
    now, then = SCHEDULE.alpha_bar(t), SCHEDULE.alpha_bar(t - 1)
    beta = 1 - now / then
    assert sigma(now, then, 1.0) ** 2 == pytest.approx((1 - then) / (1 - now) * beta, rel=1e-9)


@given(times=TIMES)
def test_the_right_noise_leads_to_the_noised_image(times: tuple[int, int]) -> None:
    s, t = times
    x0, eps = state(3), state(4)
    noised = {
        u: math.sqrt(SCHEDULE.alpha_bar(u)) * x0 + math.sqrt(1 - SCHEDULE.alpha_bar(u)) * eps
        for u in times
    }
    down = step(noised[t], eps, eps, SCHEDULE, Pair(t, s))
    assert torch.allclose(down.x, noised[s], atol=1e-12)
    assert torch.allclose(down.x0, x0, atol=1e-11)
    assert torch.allclose(step_up(noised[s], eps, SCHEDULE, s, t), noised[t], atol=1e-11)


@given(times=TIMES, eta=st.floats(0, 1))
def test_a_step_is_linear_in_each_of_its_parts(times: tuple[int, int], eta: float) -> None:
    pair = Pair(times[1], times[0])
    zero, a, b, c, d = torch.zeros(1, dtype=torch.float64), *state()[0, 0]
    whole = step(a, b, c, SCHEDULE, pair, d, eta).x
    parts = [
        step(a, zero, zero, SCHEDULE, pair, zero, eta).x,
        step(zero, b, zero, SCHEDULE, pair, zero, eta).x,
        step(zero, zero, c, SCHEDULE, pair, zero, eta).x,
        step(zero, zero, zero, SCHEDULE, pair, d, eta).x,
    ]
    scale = max(float(part.abs().max()) for part in parts)
    assert torch.allclose(whole, sum(parts), rtol=0, atol=1e-12 * scale)


def test_the_jump_to_the_image_is_the_prediction_alone_even_with_eta() -> None:
    x, eps = state(), state(1)
    done = step(x, eps, 7 * eps, SCHEDULE, Pair(25, CLEAN), None, 1.0)
    assert torch.equal(done.x, done.x0)
    assert torch.equal(done.x0, predict_x0(x, eps, SCHEDULE.alpha_bar(25)))


# inversion


def test_source_inversion_calls_the_network_where_it_stands() -> None:
    calls: list[int] = []

    def spy(x: torch.Tensor, t: int) -> torch.Tensor:
        calls.append(t)
        return 0 * x

    grid = pairs([0, 10, 500, 999])
    steps = list(invert_steps(spy, SCHEDULE, state(), grid))
    assert calls == [0, 10, 500]
    assert [(done.s, done.t) for done in steps] == [(0, 10), (10, 500), (500, 999)]
    calls.clear()
    list(invert_steps(spy, SCHEDULE, state(), grid, "target"))
    assert calls == [0, 10, 500, 999]
    calls.clear()
    list(invert_steps(spy, SCHEDULE, state(), grid, refinements=2))
    assert calls == [0, 10, 10, 10, 500, 500, 500, 999, 999]


def test_refinement_converges_at_the_rate_of_its_contraction() -> None:
    s, t, x_s = 461, 486, state()
    errors = []
    for refinements in range(6):
        only = pairs([s, t])
        (up,) = invert_steps(GAUSSIAN.eps, SCHEDULE, x_s, only, refinements=refinements)
        eps = GAUSSIAN.eps(up.x, t)
        back = step(up.x, eps, eps, SCHEDULE, Pair(t, s)).x
        errors.append(float((back - x_s).norm()))
    at_s, at_t = SCHEDULE.alpha_bar(s), SCHEDULE.alpha_bar(t)
    weight = math.sqrt(1 - at_t) - math.sqrt(at_t / at_s * (1 - at_s))
    rates = [b / a for a, b in pairwise(errors)]
    assert rates == pytest.approx([weight * GAUSSIAN.slope(t)] * 5, rel=1e-4)
    assert errors[-1] < 1e-4 * errors[0]


def test_extrapolated_inversion_converges_with_order_two() -> None:
    """On timesteps about even in log-SNR, where a grid of integers is fine enough."""
    z, sizes, errors = state(), (16, 32, 64, 128), []
    for size in sizes:
        grid = pairs([round(20 + 880 * (i / (size - 1)) ** 1.2) for i in range(size)])
        start = GAUSSIAN.at(z, grid[-1].t)
        *_, last = invert_steps(GAUSSIAN.eps, SCHEDULE, start, grid, "extrapolated")
        errors.append(float((last.x - GAUSSIAN.at(z, 900)).norm() / z.norm()))
    assert 1.7 < oracles.order(sizes, errors) < 2.5


def test_extrapolated_inversion_begins_as_plain_and_then_loses_less() -> None:
    z, grid = state(), paper_grid(40)
    x0, wanted = (GAUSSIAN.at(z, t) for t in (0, 999))
    plain = list(invert_steps(GAUSSIAN.eps, SCHEDULE, x0, grid, "source"))
    better = list(invert_steps(GAUSSIAN.eps, SCHEDULE, x0, grid, "extrapolated"))
    assert torch.equal(plain[0].x, better[0].x)
    far, near = (float((steps[-1].x - wanted).norm()) for steps in (plain, better))
    assert near < 0.5 * far


@pytest.mark.parametrize("convention", ["source", "target", "extrapolated"])
def test_refined_inversion_and_generation_are_a_round_trip(convention: str) -> None:
    x0, grid = state(), paper_grid(40)
    *_, top = invert_steps(GAUSSIAN.eps, SCHEDULE, x0, grid, convention, refinements=30)  # type: ignore[arg-type]
    states = [done.x for done in generate(GAUSSIAN.eps, SCHEDULE, top.x, grid)]
    back = states[-1] if convention == "target" else states[-2]  # else the image is x at t = 0
    assert torch.allclose(back, x0, atol=1e-9)


def test_plain_inversion_is_worse_than_refined() -> None:
    x0, grid = state(), paper_grid(40)
    errors = []
    for refinements in (0, 1, 2):
        up = invert_steps(GAUSSIAN.eps, SCHEDULE, x0, grid, "target", refinements)
        *_, top = up
        *_, last = generate(GAUSSIAN.eps, SCHEDULE, top.x, grid)
        errors.append(float((last.x - x0).norm()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_unknown_convention_is_refused() -> None:
    with pytest.raises(AsyrpError, match="one of source, target, extrapolated"):
        list(invert_steps(GAUSSIAN.eps, SCHEDULE, state(), paper_grid(4), "middle"))  # type: ignore[arg-type]


# randomness


def test_noise_of_an_image_does_not_depend_on_its_batch() -> None:
    like = torch.zeros(5, 3, 4, 4)
    together = draw_noise(like, seeded_generators(5, seed=3))
    for i in range(5):
        alone = draw_noise(like[:1], seeded_generators(1, seed=3, first=i))
        assert torch.equal(alone[0], together[i])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together, draw_noise(like, seeded_generators(5, seed=4)))


def test_noise_is_standard_normal_in_the_precision_of_the_image() -> None:
    drawn = draw_noise(torch.zeros(2, 3, 64, 64, dtype=torch.float64), seeded_generators(2))
    assert drawn.dtype == torch.float64
    assert abs(float(drawn.mean())) < 0.02
    assert abs(float(drawn.std()) - 1) < 0.02


@pytest.mark.parametrize("count", [0, 1, 3])
def test_generators_must_be_one_an_image(count: int) -> None:
    with pytest.raises(AsyrpError, match="2 images need 2 generators"):
        draw_noise(torch.zeros(2, 3, 4, 4), seeded_generators(count))


def test_a_noisy_step_without_noise_is_refused() -> None:
    x = state()
    with pytest.raises(AsyrpError, match="needs noise"):
        step(x, x, x, SCHEDULE, Pair(500, 400), None, 1.0)


def test_generation_with_eta_repeats_with_its_seeds() -> None:
    grid = paper_grid(8)
    runs = [
        [d.x for d in generate(GAUSSIAN.eps, SCHEDULE, state(), grid, 1.0, seeded_generators(2, s))]
        for s in (0, 0, 1)
    ]
    assert torch.equal(runs[0][-1], runs[1][-1])
    assert not torch.equal(runs[0][-1], runs[2][-1])


def test_stochastic_generation_has_the_data_distribution() -> None:
    x = noise(1, 1, 100, 200, seed=8, dtype=torch.float64)
    *_, last = generate(GAUSSIAN.eps, SCHEDULE, x, paper_grid(250), 1.0, seeded_generators(1))
    assert float(last.x.mean()) == pytest.approx(GAUSSIAN.mean, abs=0.02)
    assert float(last.x.std()) == pytest.approx(GAUSSIAN.std, abs=0.02)


@pytest.mark.parametrize("seed", [10**14, -(10**14)])
def test_seeds_that_torch_cannot_hold_are_refused(seed: int) -> None:
    with pytest.raises(AsyrpError, match=f"got {seed}"):
        seeded_generators(1, seed)
