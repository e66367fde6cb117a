"""Intervals: by hand, against scipy, and whether they cover (by simulation, seeds fixed)."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from asyrp.errors import AsyrpError
from asyrp.reporting.statistics import (
    Estimate,
    of_difference,
    of_mean,
    of_pairs,
    of_runs,
    of_statistic,
    of_strata,
    resamples,
    wilson,
)
from asyrp.reporting.tuned import Tuned, of_tuned, of_tuned_strata

Generator = np.random.Generator


def sample(count: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, size=count)


def coverage(make: Callable[[Generator], Estimate], truth: float, trials: int = 1200) -> float:
    """Share of simulated intervals that hold the truth."""
    rng = np.random.default_rng(20)
    made = [make(rng) for _ in range(trials)]
    return float(np.mean([one.low <= truth <= one.high for one in made]))


def correlated(rng: Generator, shared: np.ndarray, rate: float, kept: float) -> np.ndarray:
    """Answers that are 1 with a chance of `rate`; a face's own part of them is `shared`."""
    noise = rng.normal(size=shared.shape)
    found: np.ndarray = np.sqrt(kept) * shared + np.sqrt(1 - kept) * noise < ndtri(rate)
    return found.astype(float)


# rates


@pytest.mark.parametrize(("count", "hits"), [(64, 0), (64, 1), (48, 48), (8, 7), (24, 12)])
def test_a_rate_has_scipys_wilson_interval(count: int, hits: int) -> None:
    theirs = stats.binomtest(hits, count).proportion_ci(0.95, "wilson")
    found = of_mean(np.arange(count) < hits)
    assert found[:3] == pytest.approx((hits / count, theirs.low, theirs.high))
    assert found.low < found.high


def exact_coverage(count: int, rate: float) -> float:
    """Of intervals of a rate, over all numbers of hits with their chances: no simulation."""
    hits = np.arange(count + 1)
    inside = [low <= rate <= high for low, high in (wilson(k / count, count) for k in hits)]
    return float(stats.binom.pmf(hits, count, rate)[inside].sum())


@pytest.mark.parametrize(("count", "rate"), [(64, 0.02), (48, 0.98), (8, 0.88)])
def test_intervals_of_rates_cover_where_resampling_did_not(count: int, rate: float) -> None:
    assert 0.925 < exact_coverage(count, rate) < 0.97  # a bootstrap: 0.72, 0.61, 0.61


@pytest.mark.parametrize("count", [8, 24, 64, 200])
def test_intervals_of_rates_cover_on_the_average_of_rates(count: int) -> None:
    found = np.mean([exact_coverage(count, rate) for rate in np.linspace(0.02, 0.98, 97)])
    assert 0.93 < found < 0.97


# means, differences


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = sample()
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert of_mean(values)[:3] == pytest.approx((values.mean(), low, high))


def test_missing_values_are_left_out() -> None:
    values = sample()
    assert of_mean(np.insert(values, 3, np.nan)) == of_mean(values)
    holed = np.insert(values, 3, np.nan)
    assert of_difference(holed, np.ones(41)) == of_difference(values, np.ones(40))


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, 2.0]])
def test_one_image_has_no_interval(values: list[float]) -> None:
    with pytest.raises(AsyrpError, match="at least 2"):
        of_mean(values)


@pytest.mark.parametrize("count", [24, 64])
def test_intervals_of_means_cover(count: int) -> None:
    assert 0.93 < coverage(lambda rng: of_mean(rng.gamma(2.0, size=count)), 2.0) < 0.97


@pytest.mark.parametrize(("count", "more", "less"), [(64, 0.3, 0.2), (200, 0.2, 0.1), (48, 0.3, 0)])
def test_intervals_of_paired_rates_cover(count: int, more: float, less: float) -> None:
    def make(rng: Generator) -> Estimate:
        lot = rng.random(count)
        return of_difference(lot < more, (lot >= more) & (lot < more + less))

    assert 0.93 < coverage(make, more - less) < 0.97


def test_paired_answers_that_all_agree_leave_a_difference_possible() -> None:
    found = of_difference(np.ones(24), np.ones(24))
    assert (found.value, found.low) == (0, -found.high)
    assert 1.96 * np.sqrt(2 / 26) / np.sqrt(26) == pytest.approx(found.high, rel=1e-3)
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 30))
    assert of_difference(a, b)[:3] == pytest.approx(of_mean(a - b)[:3])


# runs, strata, pairs


@pytest.mark.parametrize(("runs", "spread"), [(2, 0.3), (3, 0.3), (3, 0.1), (5, 0.1)])
def test_intervals_over_runs_cover_the_runs(runs: int, spread: float) -> None:
    def make(rng: Generator) -> Estimate:
        own, faces = rng.normal(size=(runs, 1)), 2 * rng.normal(size=(1, 24))
        return of_runs(spread * own + faces + rng.normal(size=(runs, 24)))

    assert 0.93 < coverage(make, 0.0) < 0.97


def test_one_run_is_a_mean_and_runs_that_differ_are_wide() -> None:
    values = sample()
    assert of_runs(values[None]) == of_mean(values)
    apart = of_runs(np.stack([np.zeros(20), np.ones(20)]))
    assert (apart.low, apart.high) == pytest.approx((0, 1), abs=0.1)
    assert of_runs(np.ones((3, 20))).low < 0.95


@pytest.mark.parametrize(
    ("faces", "tasks", "rate", "kept"), [(64, 10, 0.9, 0.3), (24, 3, 0.5, 0.5)]
)
def test_intervals_over_tasks_that_share_faces_cover(
    faces: int, tasks: int, rate: float, kept: float
) -> None:
    def draw(rng: Generator) -> tuple[list[np.ndarray], np.ndarray]:
        pool = int(1.7 * faces)
        return [rng.choice(pool, faces, replace=False) for _ in range(tasks)], rng.normal(size=pool)

    def of_rates(rng: Generator) -> Estimate:
        owners, shared = draw(rng)
        return of_strata([correlated(rng, shared[own], rate, kept) for own in owners], owners)

    def of_gains(rng: Generator) -> Estimate:
        owners, shared = draw(rng)
        one, other = (
            [correlated(rng, shared[own], rate, kept) for own in owners] for _ in range(2)
        )
        return of_strata(one, owners, other)

    assert 0.93 < coverage(of_rates, rate, 600) < 0.97
    assert 0.93 < coverage(of_gains, 0.0, 600) < 0.985  # errs to the wide side


def test_one_stratum_is_a_mean_and_repeated_faces_count_once() -> None:
    values = sample()
    assert of_strata([values], [range(40)])[:3] == pytest.approx(of_mean(values)[:3])
    twice = of_strata([values, values], [range(40)] * 2)
    assert twice[:3] == pytest.approx(of_mean(values)[:3])
    gains = of_strata([np.ones(9)], [range(9)], [np.ones(9)])
    assert gains.low < 0 < gains.high
    assert of_strata([np.ones(9), np.ones(9)], [range(9)] * 2)[:2] == pytest.approx(
        (1, wilson(1, 9)[0]), abs=0.1
    )


def test_intervals_of_pairs_cover() -> None:
    pairs = np.stack([np.arange(64), np.roll(np.arange(64), -1)], 1)

    def make(rng: Generator) -> Estimate:
        x = rng.normal(size=64)
        return of_pairs(np.abs(x[pairs[:, 0]] - x[pairs[:, 1]]), pairs, 64)

    assert 0.93 < coverage(make, 2 / np.sqrt(np.pi)) < 0.97


# resampling


def test_intervals_of_a_statistic_of_two_samples_cover() -> None:
    def make(rng: Generator) -> Estimate:
        a, b = rng.gamma(3.0, size=30), rng.gamma(3.0, size=50)
        return of_statistic(lambda i, j: float(a[i].mean() - b[j].mean()), (30, 50), draws=60)

    assert 0.93 < coverage(make, 0.0, 400) < 0.97


def test_a_statistic_is_inside_its_interval_though_resampling_biases_it() -> None:
    def distinct(rows: np.ndarray) -> float:
        return float(len(set(rows.tolist())))

    plain = [distinct(rows) for rows in resamples(40, 0, 200)]
    found = of_statistic(distinct, 40, draws=200)
    assert max(plain) < found.value == 40
    spread = np.std(plain, ddof=1) * np.sqrt(40 / 39) * stats.t.ppf(0.975, 39)
    assert (found.low, found.high) == pytest.approx((40 - spread, 40 + spread))
    assert of_statistic(distinct, 40, 1, 200)[1] != found.low  # another seed


def test_few_runs_count_as_few() -> None:
    values = np.array([0.0, 1.0, 2.0])
    found = of_statistic(lambda runs: float(values[runs].mean()), 3, draws=4000)
    theirs = stats.t.interval(0.95, 2, 1.0, stats.sem(values))
    assert (found.low, found.high) == pytest.approx(theirs, rel=0.05)


def test_draws_without_a_statistic_are_left_out() -> None:
    values = sample()

    def holed(rows: np.ndarray) -> float:
        lost = rows[0] == 0 and len(set(rows)) < 40
        return float("nan") if lost else float(values[rows].mean())

    drawn = [values[rows].mean() for rows in resamples(40, 0, 200) if rows[0]]
    found = of_statistic(holed, 40, draws=200)
    spread = np.std(drawn, ddof=1) * np.sqrt(40 / 39) * stats.t.ppf(0.975, 39)
    assert found[:2] == pytest.approx((values.mean(), values.mean() - spread))
    with pytest.raises(AsyrpError, match="0 of 200 have it"):
        of_statistic(lambda rows: float("nan"), 40, draws=200)


RATES = (np.array([0.55, 0.70, 0.72, 0.60]), np.array([0.50, 0.66, 0.62, 0.60]))


def tuned(rng: Generator) -> list[Tuned]:
    """Two methods at four settings each, on the same 12 tuning and 64 test faces."""
    few, test = rng.normal(size=12), rng.normal(size=64)

    def answers(faces: np.ndarray, rates: np.ndarray) -> np.ndarray:
        return np.stack([correlated(rng, faces, rate, 0.5) for rate in rates])

    return [Tuned(answers(few, rates), answers(test, rates)) for rates in RATES]


def test_intervals_cover_the_luck_of_tuning() -> None:
    rng, every = np.random.default_rng(9), np.arange(12)
    drawn = [[one.chosen(every).mean() for one in tuned(rng)] for _ in range(6000)]
    truth = float(np.mean([ours - theirs for ours, theirs in drawn]))

    def make(rng: Generator) -> Estimate:
        ours, theirs = tuned(rng)
        return of_tuned(ours, theirs, draws=100)

    def careless(rng: Generator) -> Estimate:
        ours, theirs = (one.chosen(every) for one in tuned(rng))
        return of_difference(ours, theirs)

    assert 0.93 < coverage(make, truth, 600) < 0.975
    assert coverage(careless, truth, 600) < 0.9  # test faces alone


def test_tuned_answers_that_all_agree_leave_a_difference_possible() -> None:
    one = Tuned(np.ones((2, 12)), np.ones((2, 24)))
    found = of_tuned(one, one)
    assert found.low < -0.1 < 0.1 < found.high


def test_without_a_choice_it_is_the_difference_of_the_test_images() -> None:
    rng = np.random.default_rng(1)
    scores = np.zeros((1, 12))
    one, none = Tuned(scores, rng.random((1, 40))), Tuned(scores, np.zeros((1, 40)))
    assert of_tuned(one, none)[:3] == pytest.approx(of_mean(one.results[0])[:3])


def two_edits(rng: Generator) -> list[list[Tuned]]:
    """[ours, theirs] of two edits, on tuning faces 0 to 11 and 4 to 15 of the same 16."""
    few, test = rng.normal(size=16), rng.normal(size=64)
    every = []
    for faces in (few[:12], few[4:]):
        tables = [
            [np.stack([correlated(rng, x, rate, 0.5) for rate in rates]) for x in (faces, test)]
            for rates in RATES
        ]
        every.append([Tuned(*table) for table in tables])
    return every


def test_intervals_over_several_edits_cover_the_luck_of_tuning() -> None:
    rng = np.random.default_rng(10)
    faces, owners = [range(12), range(4, 16)], [range(64)] * 2

    def mean(edits: list[list[Tuned]]) -> float:
        ends = [[one.chosen(np.arange(12)).mean() for one in pair] for pair in edits]
        return float(np.mean([ours - theirs for ours, theirs in ends]))

    truth = float(np.mean([mean(two_edits(rng)) for _ in range(4000)]))

    def make(rng: Generator) -> Estimate:
        sides = [(ours, theirs) for ours, theirs in two_edits(rng)]
        return of_tuned_strata(sides, faces, owners, draws=100)

    def careless(rng: Generator) -> Estimate:
        ours, theirs = zip(*two_edits(rng), strict=True)
        chosen = [[one.chosen(np.arange(12)) for one in side] for side in (ours, theirs)]
        return of_strata(chosen[0], owners, chosen[1])

    assert 0.93 < coverage(make, truth, 600) < 0.98
    assert coverage(careless, truth, 600) < 0.92
    one = Tuned(np.zeros((2, 12)), np.stack([np.zeros(64), np.full(64, np.nan)]))
    assert one.by_weights(np.ones((1, 12)))[0].tolist() == [0.0] * 64  # never what was not tested
