"""Leakage is read where all methods succeed as often."""

import pytest

from asyrp.domains.base import Task
from asyrp.experiments.equal_success import equal_success_rows, leakage_at

TASK = Task("smiling", "face", "smiling face")


def cell(*tried: tuple[float, float]) -> dict[str, object]:
    return {"trials": [{"success": success, "leakage": leak} for success, leak in tried]}


def test_leakage_is_read_on_a_line_between_settings() -> None:
    tried = [(0.5, 0.02), (1.0, 0.10)]
    assert leakage_at(tried, 0.25) == pytest.approx(0.01)  # from no edit to the first
    assert leakage_at(tried, 0.75) == pytest.approx(0.06)
    assert leakage_at([(0.0, 0.3), (0.0, 0.4)], 0.0) == 0.0  # nothing has to be edited for it
    assert leakage_at([(0.6, 0.1), (0.4, 0.2), (0.8, 0.3)], 0.5) == pytest.approx(0.5 / 0.6 * 0.1)


def test_methods_are_compared_where_the_weakest_still_comes() -> None:
    cells = {
        ("asyrp", "smiling"): cell((0.5, 0.04), (1.0, 0.10)),
        ("keep", "smiling"): cell((0.25, 0.01), (0.5, 0.02)),
    }
    (row,) = equal_success_rows(cells, ("asyrp", "keep"), [TASK])
    assert row["success, %"] == "49"
    assert row["Asyrp, f_t"] == "3.9 (100 %)"
    assert row["f_t, texts to keep"] == "2.0 (50 %)"
