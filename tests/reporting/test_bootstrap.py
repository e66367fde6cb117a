"""Intervals: against scipy, against explicit loops, and whether they cover."""

import numpy as np
import pytest
from scipy import stats

from asyrp.errors import AsyrpError
from asyrp.reporting.bootstrap import (
    gap_by_chance,
    of_largest_gap,
    of_mean,
    of_pairs,
    of_statistic,
    of_strata,
    resamples,
)


def sample(count: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, size=count)


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = sample()
    found = of_mean(values, draws=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(9)
    ).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(theirs.low, abs=0.02)
    assert found.high == pytest.approx(theirs.high, abs=0.02)


def test_about_95_of_100_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for trial in range(300):
        found = of_mean(rng.normal(1.0, 2.0, 50), seed=trial, draws=300)
        inside += found.low <= 1.0 <= found.high
    assert 0.90 <= inside / 300 <= 0.98


def test_equal_seeds_give_equal_intervals() -> None:
    values = sample()
    assert of_mean(values, 4) == of_mean(values, 4)
    assert of_mean(values, 4)[1:3] != of_mean(values, 5)[1:3]


def test_missing_values_are_left_out() -> None:
    values = sample()
    holed = np.insert(values, 3, np.nan)
    assert of_mean(holed) == of_mean(values)


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, 2.0]])
def test_one_image_has_no_interval(values: list[float]) -> None:
    with pytest.raises(AsyrpError, match="at least 2"):
        of_mean(values)


def test_a_statistic_is_inside_its_interval_though_resampling_biases_it() -> None:
    values = sample()

    def distinct(rows: np.ndarray) -> float:
        return float(len(set(rows.tolist())))

    plain = [distinct(rows) for rows in resamples(40, 0, 200)]
    found = of_statistic(distinct, len(values), draws=200)
    assert max(plain) < found.value == 40
    assert found.low < found.value < found.high
    spread = np.quantile(plain, 0.975) - np.quantile(plain, 0.025)
    assert found.high - found.low == pytest.approx(spread)


def test_draws_without_a_statistic_are_left_out() -> None:
    values = sample()

    def holed(rows: np.ndarray) -> float:
        return float("nan") if 0 in rows else float(values[rows].mean())

    drawn = [values[rows].mean() for rows in resamples(40, 0, 200) if 0 not in rows]
    found = of_statistic(
        lambda rows: float(values.mean()) if len(set(rows)) == 40 else holed(rows), 40, draws=200
    )
    low, high = np.quantile(np.array(drawn) - np.mean(drawn), (0.025, 0.975))
    assert found[:3] == pytest.approx((values.mean(), values.mean() + low, values.mean() + high))
    with pytest.raises(AsyrpError, match="0 of 200 have it"):
        of_statistic(lambda rows: float("nan"), 40, draws=200)


def test_pairs_weigh_as_often_as_both_images_were_drawn() -> None:
    rng = np.random.default_rng(1)
    pairs = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 0], [0, 2]])
    values = rng.random(len(pairs))
    means = []
    for rows in resamples(5, 7, 400):
        drawn = rows.tolist()
        weights = [drawn.count(a) * drawn.count(b) for a, b in pairs]
        if sum(weights):
            means.append(np.average(values, weights=weights))
    found = of_pairs(values, pairs, 5, seed=7, draws=400)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_a_stratum_that_was_not_drawn_counts_for_nothing() -> None:
    values = [np.full(3, 10.0), np.full(20, 10.0)]
    owners = [[0, 1, 2], list(range(3, 23))]
    found = of_strata(values, owners)  # all values are equal, and so are all means
    assert (found.value, found.low, found.high) == pytest.approx((10.0, 10.0, 10.0))


def test_a_gap_by_chance_is_what_shuffling_gives() -> None:
    rng = np.random.default_rng(2)
    groups = [rng.normal(size=30), rng.normal(size=20)]
    scale = np.sqrt(1 / 30 + 1 / 20) * np.concatenate(groups).std()
    assert gap_by_chance(groups, draws=4000) == pytest.approx(1.96 * scale, rel=0.08)
    apart = [groups[0], groups[1] + 5]
    found = of_largest_gap(apart)
    assert found.value == pytest.approx(abs(apart[0].mean() - apart[1].mean()))
    assert found.low > gap_by_chance(apart)


def test_a_gap_needs_two_groups() -> None:
    with pytest.raises(AsyrpError, match="at least 2 groups"):
        of_largest_gap([sample()])
