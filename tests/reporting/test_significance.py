"""Tests of gaps and claims: their level where nothing is, their power where something is."""

import numpy as np
import pytest
from scipy import stats

from asyrp.errors import AsyrpError
from asyrp.reporting.significance import holm, of_gap, p_value
from asyrp.reporting.statistics import of_mean


def test_a_gap_is_found_where_one_is_and_5_times_of_100_where_none_is() -> None:
    rng = np.random.default_rng(0)
    none = [of_gap(np.split(rng.random(60) < 0.3, 4), draws=99).p for _ in range(300)]
    assert 0.02 < np.mean(np.array(none) <= 0.05) < 0.08
    gaps = np.split(rng.normal(size=60), 4)
    gaps[0] += 2
    found = of_gap(gaps)
    assert found.p < 0.01
    assert found.gap == pytest.approx(np.ptp([part.mean() for part in gaps]))
    assert found.gap > found.by_chance


def test_a_gap_by_chance_is_what_shuffling_gives() -> None:
    rng = np.random.default_rng(2)
    groups = [rng.normal(size=30), np.append(rng.normal(size=20), np.nan)]
    scale = np.sqrt(1 / 30 + 1 / 20) * np.nanstd(np.concatenate(groups))
    assert of_gap(groups, draws=4000).by_chance == pytest.approx(1.96 * scale, rel=0.08)
    assert of_gap(groups, 3) == of_gap(groups, 3)


def test_a_gap_needs_two_groups() -> None:
    with pytest.raises(AsyrpError, match="at least 2 groups"):
        of_gap([np.arange(5.0)])


def test_the_p_of_an_interval_is_that_of_the_t_test() -> None:
    values = np.random.default_rng(1).normal(0.5, size=12)
    for bound in (0.0, 0.9, -2.0):
        wanted = stats.ttest_1samp(values, bound).pvalue
        assert p_value(of_mean(values), bound) == pytest.approx(wanted, rel=1e-6)
    rate = of_mean(np.arange(24) < 12)
    assert p_value(rate, rate.high) == pytest.approx(0.05)
    assert p_value(of_mean([2.0, 2.0]), 2.0) == 1
    assert p_value(of_mean([2.0, 2.0]), 3.0) == 0


def test_holm_steps_down() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []
