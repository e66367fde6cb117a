import math
from itertools import pairwise

import numpy as np
import pytest
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

import oracles
from asyrp.errors import AsyrpError
from asyrp.method.schedule import (
    CLEAN,
    NoiseSchedule,
    Pair,
    below,
    cosine,
    from_betas,
    from_config,
    full_length,
    linear,
    pairs,
    paper_grid,
    scaled_linear,
    times,
)
from grids import leading_grid, trailing_grid

# method.md's reading of the official code: the 40 timesteps of the paper
PAPER_40 = [
    *[0, 25, 51, 76, 102, 128, 153, 179, 204, 230, 256, 281, 307, 333, 358, 384, 409, 435, 461],
    *[486, 512, 537, 563, 589, 614, 640, 666, 691, 717, 742, 768, 794, 819, 845, 870, 896, 922],
    *[947, 973, 999],
]


@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (linear(), "linear"),
        (scaled_linear(1000, 0.0015, 0.0195), "scaled_linear"),
        (cosine(), "squaredcos_cap_v2"),
    ],
)
def test_tables_equal_those_of_diffusers(ours: NoiseSchedule, name: str) -> None:
    start, end = (0.0015, 0.0195) if name == "scaled_linear" else (1e-4, 0.02)
    theirs = DDIMScheduler(1000, beta_schedule=name, beta_start=start, beta_end=end)
    # diffusers keeps float32; its last cosine entries are tiny
    wanted = theirs.alphas_cumprod.double().numpy()
    np.testing.assert_allclose(ours.alpha_bars, wanted, rtol=2e-5, atol=1e-9)
    assert from_config(theirs.config).alpha_bars == pytest.approx(ours.alpha_bars, rel=1e-12)


def test_linear_table_by_repeated_multiplication() -> None:
    np.testing.assert_allclose(linear().alpha_bars, oracles.alpha_bar_table(), rtol=1e-12)
    assert linear().alpha_bar(999) == pytest.approx(4.0358e-5, rel=1e-4)
    assert linear().alpha_bar(0) == pytest.approx(0.9999, rel=1e-12)
    assert linear().alpha_bar(CLEAN) == 1.0


def test_trained_betas_go_before_a_named_schedule() -> None:
    config = {"trained_betas": [0.1, 0.2, 0.5], "beta_schedule": "linear"}
    assert from_config(config).alpha_bars == pytest.approx((0.9, 0.72, 0.36))
    assert from_betas([0.1, 0.2, 0.5]) == from_config(config)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"beta_schedule": "sigmoid"}, "beta_schedule must be one of"),
        ({"rescale_betas_zero_snr": True}, "without rescale_betas_zero_snr"),
    ],
)
def test_unusable_configs_are_refused(config: dict[str, object], said: str) -> None:
    with pytest.raises(AsyrpError, match=said):
        from_config(config)


@pytest.mark.parametrize("table", [(0.5,), (0.5, 0.5), (0.2, 0.5), (1.0, 0.5), (0.5, 0.0), ()])
def test_tables_fall_strictly_within_one_and_zero(table: tuple[float, ...]) -> None:
    with pytest.raises(AsyrpError, match="fall strictly"):
        NoiseSchedule(table)


@pytest.mark.parametrize("t", [-2, 1000])
def test_timesteps_outside_the_table_are_refused(t: int) -> None:
    with pytest.raises(AsyrpError, match=r"lies in -1\.\.999"):
        linear().alpha_bar(t)


def test_the_papers_grid() -> None:
    assert list(times(paper_grid(40))) == PAPER_40
    assert list(times(paper_grid(6))) == [0, 199, 399, 599, 799, 999]
    assert list(times(paper_grid(50)))[:5] == [0, 20, 40, 61, 81]
    assert list(times(paper_grid(50)))[-4:] == [937, 958, 978, 999]
    assert list(times(paper_grid(1000))) == list(range(1000))


@pytest.mark.parametrize(
    ("steps", "from_513", "from_500", "below_167"),
    [(6, 3, 3, 1), (40, 19, 20, 7), (50, 24, 25, 9), (1000, 487, 500, 167)],
)
def test_phases_of_the_papers_grid(
    steps: int, from_513: int, from_500: int, below_167: int
) -> None:
    grid = times(paper_grid(steps))
    assert sum(t >= 513 for t in grid) == from_513
    assert sum(t >= 500 for t in grid) == from_500
    assert sum(t < 167 for t in grid) == below_167


@pytest.mark.parametrize("steps", [2, 7, 16, 40, 50, 250, 400, 1000])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_grids_equal_those_of_diffusers(steps: int, spacing: str) -> None:
    theirs = DDIMScheduler(1000, timestep_spacing=spacing)
    theirs.set_timesteps(steps)
    ours = (leading_grid if spacing == "leading" else trailing_grid)(steps)
    assert [pair.t for pair in ours] == theirs.timesteps.tolist()


def test_offset_of_the_leading_grid() -> None:
    theirs = DDIMScheduler(1000, timestep_spacing="leading", steps_offset=1)
    theirs.set_timesteps(50)
    assert [pair.t for pair in leading_grid(50, offset=1)] == theirs.timesteps.tolist()


@given(
    length=st.integers(2, 4000),
    share=st.floats(0, 1),
    make=st.sampled_from([paper_grid, leading_grid, trailing_grid]),
)
def test_every_grid_is_one_falling_chain(length: int, share: float, make: object) -> None:
    steps = 2 + int(share * (length - 2))
    grid = make(steps, length)  # type: ignore[operator]
    assert len(grid) == steps
    assert all(pair.t > pair.s for pair in grid)
    assert all(a.s == b.t for a, b in pairwise(grid))
    assert grid[-1].s == CLEAN
    assert grid[0].t <= length - 1
    if make is not leading_grid:
        assert grid[0].t == length - 1


@given(st.sets(st.integers(0, 5000), min_size=1))
def test_times_undoes_pairs(chosen: set[int]) -> None:
    assert list(times(pairs(sorted(chosen)))) == sorted(chosen)


@given(st.integers(2, 1000))
def test_leading_strides_are_even(steps: int) -> None:
    strides = {b - a for a, b in pairwise(times(leading_grid(steps)))}
    assert strides == {1000 // steps}


@given(betas=st.lists(st.floats(1e-5, 0.5), min_size=2, max_size=60))
def test_ratios_of_alpha_bar_give_the_betas_back(betas: list[float]) -> None:
    schedule = from_betas(betas)
    steps = pairwise([CLEAN, *range(schedule.length)])
    found = [1 - schedule.alpha_bar(t) / schedule.alpha_bar(s) for s, t in steps]
    assert found == pytest.approx(betas, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("wrong", [[3, 2], [2, 2], [-1, 4]])
def test_pairs_refuses_what_does_not_ascend(wrong: list[int]) -> None:
    with pytest.raises(AsyrpError, match="ascend strictly"):
        pairs(wrong)


@pytest.mark.parametrize("make", [paper_grid, leading_grid, trailing_grid])
@pytest.mark.parametrize("steps", [1, 0, -3, 1001])
def test_step_counts_are_checked(make: object, steps: int) -> None:
    with pytest.raises(AsyrpError, match=r"lie in 2\.\.1000"):
        make(steps)  # type: ignore[operator]


def test_a_pair_reads_from_t_to_s() -> None:
    assert pairs([3, 8]).pairs == (Pair(t=8, s=3), Pair(t=3, s=CLEAN))


def test_a_part_of_a_grid_knows_the_length_of_the_whole() -> None:
    grid = paper_grid(40)
    parts = (grid[10:], grid[3:4], below(grid, 500), below(grid, None), grid.between(800, 400))
    assert [part.full for part in parts] == [40] * 5
    assert [len(part) for part in parts] == [30, 1, 20, 40, 16]
    assert full_length(grid[:7]) == 40
    assert full_length(list(grid[:7])) == 7
    assert isinstance(grid[0], Pair)


# where alpha_bar nearly or wholly ends


def test_the_steady_top() -> None:
    assert linear().steady_top == 999
    assert scaled_linear().steady_top == 999
    top = cosine().steady_top
    assert 990 < top < 999
    ratios = [math.sqrt(1 / cosine().alpha_bars[t] - 1) for t in (top, top + 1)]
    assert ratios[0] <= 200 < ratios[1]


def test_zero_terminal_snr_is_that_of_diffusers() -> None:
    said = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    said |= {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    theirs = DDIMScheduler(**said)
    ours = from_config(theirs.config).alpha_bars
    assert ours[:-1] == pytest.approx(theirs.alphas_cumprod[:-1].tolist(), rel=1e-3)
    assert ours[-1] == 2**-24
    assert theirs.alphas_cumprod[-1] == 0
    with pytest.raises(AsyrpError, match="x_T is noise alone: the eps that its network predicts"):
        from_config({**said, "prediction_type": "epsilon"})
