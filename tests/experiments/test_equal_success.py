"""Leakage is read where all methods succeed as often."""

import pytest

from asyrp.domains.base import Task
from asyrp.experiments.equal_success import Trial, equal_success_rows, leakage_at

TASK = Task("smiling", "face", "smiling face")
NOTHING = Trial(0.0, 0.0)


def cell(*tried: tuple[float, float]) -> dict[str, object]:
    return {
        "trials": [{"success": success, "leakage": leak} for success, leak in tried],
        "values": {"success_before": [0.0, None], "leakage_reconstruction": [0.02, 0.0]},
        "tuned_on": [4, 7, 9],
    }


def test_leakage_is_read_on_a_line_between_settings() -> None:
    tried = [NOTHING, Trial(0.5, 0.02), Trial(1.0, 0.10)]
    assert leakage_at(tried, 0.25) == pytest.approx(0.01)  # from no edit to the first
    assert leakage_at(tried, 0.75) == pytest.approx(0.06)
    assert leakage_at([Trial(0.0, 0.1), Trial(0.5, 0.02)], 0.25) == pytest.approx(0.06)
    down = [NOTHING, Trial(0.6, 0.1), Trial(0.4, 0.2), Trial(0.8, 0.3)]
    assert leakage_at(down, 0.5) == pytest.approx(0.5 / 0.6 * 0.1)


def test_methods_are_compared_where_the_weakest_still_comes() -> None:
    cells = {
        ("asyrp", "smiling"): cell((0.5, 0.05), (1.0, 0.11)),
        ("keep", "smiling"): cell((0.25, 0.02), (0.5, 0.03)),
    }
    (row,) = equal_success_rows(cells, ("asyrp", "keep"), [TASK])
    assert (row["success, %"], row["images"]) == ("49", 3)
    assert row["Asyrp, f_t"] == "4.9 (100 %)"
    assert row["f_t, texts to keep"] == "3.0 (60 %)"


def test_where_a_method_never_succeeds_there_is_nothing_to_compare() -> None:
    cells = {
        ("asyrp", "smiling"): cell((0.5, 0.05)),
        ("keep", "smiling"): cell((0.0, 0.3), (0.1, 0.4)),
    }
    (row,) = equal_success_rows(cells, ("asyrp", "keep"), [TASK])
    assert row["Asyrp, f_t"] is None
    assert row["f_t, texts to keep"] is None
