from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.editing_interval import (
    Curves,
    Given,
    find_intervals,
    find_t_boost,
    find_t_edit,
    first_reaching,
    joined,
    measure_curves,
)
from asyrp.method.protocols import Thresholds
from conftest import noise

COSINES = (1.0, 0.95, 0.90, 0.85, 0.80, 0.70, 0.60, 0.50)
T_EDIT = {
    "celeba": (538, 526, 514, 503, 489, 459, 421, 366),
    "church": (396, 382, 367, 352, 335, 300, 263, 223),
    "bedroom": (384, 377, 367, 356, 344, 321, 294, 260),
    "afhq": (482, 462, 439, 412, 383, 310, 238, 174),
    "metface": (396, 356, 313, 262, 216, 141, 95, 67),
}
T_BOOST = {
    "celeba": (167, 105, 193),
    "church": (293, 197, 140),
    "bedroom": (221, 162, 176),
    "afhq": (167, 121, 86),
    "metface": (180, 113, 30),
}


def released(data: Path, name: str, kind: str) -> tuple[tuple[int, ...], np.ndarray]:
    table = np.loadtxt(data / "released" / f"{name}_LPIPS_distance_{kind}.tsv")
    return tuple(int(t) for t in table[:, 0]), table[:, 1]


@pytest.mark.parametrize("name", T_EDIT)
def test_released_curves_give_the_papers_t_edit(data: Path, name: str) -> None:
    times, values = released(data, name, "x0_t")
    found = [first_reaching(times, values, 0.33 * cosine) for cosine in COSINES]
    assert tuple(found) == T_EDIT[name]


@pytest.mark.parametrize("name", T_BOOST)
def test_released_curves_give_the_papers_t_boost(data: Path, name: str) -> None:
    xt, x0 = released(data, name, "x"), released(data, name, "x0_t")
    found = first_reaching(*xt, 1.2), first_reaching(*xt, 1.0), first_reaching(*x0, 0.1)
    assert found == T_BOOST[name]


@pytest.mark.parametrize("name", T_EDIT)
def test_released_curves_through_the_whole_search(data: Path, name: str) -> None:
    times, x0 = released(data, name, "x0_t")
    xt = released(data, name, "x")[1]
    curves = Curves(times, x0[:, None], xt[:, None])
    assert find_t_edit(curves, 0.9, Thresholds()) == (T_EDIT[name][2],) * 3
    assert find_t_boost(curves, Thresholds()) == (T_BOOST[name][0],) * 3


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=30).map(np.array),
    st.floats(0, 1),
)
def test_the_first_that_reaches_is_the_lowest(values: np.ndarray, level: float) -> None:
    times = [7 * i for i in range(len(values))]
    reaching = [t for t, value in zip(times, values, strict=True) if value >= level]
    if reaching:
        assert first_reaching(times, values, level) == min(reaching)
    else:
        with pytest.raises(AsyrpError, match="never reached"):
            first_reaching(times, values, level)


def test_a_level_met_exactly_counts() -> None:
    assert first_reaching([1, 5, 9], [0.1, 0.33, 0.5], 0.33) == 5


def spread_curves(images: int = 20) -> Curves:
    """Rising curves that differ between images."""
    times = tuple(range(0, 1000, 10))
    ramp = np.array(times)[:, None] / 1000
    slopes = 1 + 0.3 * np.random.default_rng(0).standard_normal(images)
    return Curves(times, ramp * slopes, 2 * ramp * slopes)


def test_the_band_holds_the_point_and_widens_with_the_spread() -> None:
    wide = find_t_edit(spread_curves(), 0.9, Thresholds())
    assert wide.low < wide.t < wide.high
    many = find_t_edit(spread_curves(300), 0.9, Thresholds())
    assert many.high - many.low < wide.high - wide.low
    boost = find_t_boost(spread_curves(), Thresholds())
    assert boost.low < boost.t < boost.high


def test_the_band_is_that_of_resampled_means() -> None:
    curves, level = spread_curves(), 0.33 * 0.9
    rng, found = np.random.default_rng(99), []
    for _ in range(2000):
        rows = rng.integers(20, size=20)
        found.append(first_reaching(curves.times, curves.x0[:, rows].mean(1), level))
    band = find_t_edit(curves, 0.9, Thresholds())
    assert band.low == pytest.approx(np.quantile(found, 0.05), abs=10)
    assert band.high == pytest.approx(np.quantile(found, 0.95), abs=10)


def test_equal_images_have_a_band_of_one_timestep() -> None:
    one = spread_curves(1)
    alike = Curves(one.times, one.x0.repeat(5, axis=1), one.xt.repeat(5, axis=1))
    found = find_t_edit(alike, 1.0, Thresholds())
    assert found.t == found.low == found.high


def test_the_band_repeats_with_its_seed_and_the_point_ignores_it() -> None:
    bands = [find_t_edit(spread_curves(), 0.9, Thresholds(), seed) for seed in (0, 0, 1)]
    assert bands[0] == bands[1]
    assert bands[0].t == bands[2].t


def test_harder_texts_and_lower_thresholds_come_earlier_in_t() -> None:
    found = [find_t_edit(spread_curves(), cosine, Thresholds()).t for cosine in COSINES]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]
    assert find_t_edit(spread_curves(), 1.0, Thresholds(edit=0.1)).t < found[-1]


def test_a_threshold_out_of_reach_is_told_with_the_cure() -> None:
    with pytest.raises(AsyrpError, match=r"no t_edit: the threshold 3\.000 .*--t-edit"):
        find_t_edit(spread_curves(), 1.0, Thresholds(edit=3.0))
    with pytest.raises(AsyrpError, match=r"no t_boost: .* is never reached.*--t-boost"):
        find_t_boost(spread_curves(), Thresholds(boost=9.0))


class Done(NamedTuple):
    t: int
    x: Tensor
    x0: Tensor


class MeanDifference:
    """A distance that can be checked by hand."""

    name, thresholds = "mean-difference", Thresholds()

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().flatten(1).mean(1)


def test_curves_pair_each_timestep_with_the_x_it_started_from() -> None:
    images, start, distance = noise(2, 3, 4, 4), noise(2, 3, 4, 4, seed=9), MeanDifference()
    steps = [Done(t, noise(2, 3, 4, 4, seed=t), noise(2, 3, 4, 4, seed=t + 1)) for t in (30, 20, 5)]
    curves = measure_curves(images, start, iter(steps), distance)
    assert curves.times == (5, 20, 30)
    before = {30: start, 20: steps[0].x, 5: steps[1].x}
    for row, t in enumerate(curves.times):
        x0 = next(done.x0 for done in steps if done.t == t)
        np.testing.assert_allclose(curves.x0[row], distance(images, x0))
        np.testing.assert_allclose(curves.xt[row], distance(images, before[t]))


@pytest.mark.parametrize("cosine", [0.0, -0.2, float("nan")])
def test_a_threshold_that_everything_reaches_is_refused(cosine: float) -> None:
    with pytest.raises(AsyrpError, match=r"t_edit.*above 0; got .*--t-edit"):
        find_t_edit(spread_curves(), cosine, Thresholds())


def test_joined_batches_are_one_batch() -> None:
    images, start = noise(4, 3, 4, 4), noise(4, 3, 4, 4, seed=9)
    steps = [Done(t, noise(4, 3, 4, 4, seed=t), noise(4, 3, 4, 4, seed=t + 1)) for t in (9, 4)]
    whole = measure_curves(images, start, steps, MeanDifference())
    parts = []
    for rows in (slice(0, 1), slice(1, 4)):
        own = [Done(done.t, done.x[rows], done.x0[rows]) for done in steps]
        parts.append(measure_curves(images[rows], start[rows], own, MeanDifference()))
    together = joined(parts)
    assert together.times == whole.times
    np.testing.assert_allclose(together.x0, whole.x0)
    np.testing.assert_allclose(together.xt, whole.xt)


def test_the_papers_thresholds_are_the_defaults() -> None:
    assert (Thresholds().edit, Thresholds().boost) == (0.33, 1.2)


def test_what_is_given_is_not_looked_for() -> None:
    curves = Curves((0, 500, 999), np.full((3, 2), 0.2), np.full((3, 2), 0.2))
    out_of_reach = Thresholds(0.33, 1.2, 0.1)
    for name in Given._fields:  # with the two others given, it alone is missed
        given = Given(999, 500, 0)._replace(**{name: None})
        with pytest.raises(AsyrpError, match=f"no {name}"):
            find_intervals(curves, 1.0, out_of_reach, given)
    found = find_intervals(curves, 1.0, out_of_reach, Given(999, 500, 0))
    assert (found.t_start, found.t_edit.t, found.t_boost.t) == (999, 500, 0)
    easy = find_intervals(curves, 1.0, Thresholds(0.1, 0.1, 0.3), Given(t_boost=7))
    assert (easy.t_edit.t, easy.t_boost.t) == (0, 7)
