"""How benchmarks/keeping.py compares what keeps the rest of a picture."""

from typing import Any

from keeping import TENFOLD, halves, page, row_of


def told(keep: float, both: float, success: float = 0.9) -> dict[str, Any]:
    return {
        "texts": "face → smiling face",
        "images": 32,
        "back": [0.0, 0.0],
        "mirrored": 0.04,
        "neither": [[0.1, 0.5, 0.06, 0.2], [0.2, 1.0, 0.12, 0.4]],
        "texts to keep": [[0.3, success, keep, 0.1]],
        "both": [[0.2, 0.9, both, 0.2]],
        TENFOLD: [[3.0, 1.0, 0.1, 0.1]],
    }


def test_leakage_is_compared_where_all_ways_succeed_as_often() -> None:
    row = row_of(told(0.05, 0.025))
    assert row["success"] == "88%"  # 0.98 of what the weaker ways reach
    assert row["neither"] == "10.6"  # on the line from 6.0 at 50 % to 12.0 at 100 %
    assert row["texts to keep"] == "4.9 (46%)"
    assert row["both"] == "2.5 (23%)"
    assert row["moved, texts to keep"] == "28%"  # 0.098 of 0.353
    assert row["mirrored"] == "4.0"


def test_edits_that_one_way_hardly_makes_are_not_compared() -> None:
    row = row_of(told(0.05, 0.025, success=0.1))
    assert row["success"] == "10%"
    assert row["neither"] is None
    assert not halves(told(0.05, 0.025, success=0.1))


def test_the_page_counts_what_halves() -> None:
    found = page("shapes", {"a": told(0.05, 0.04), "b": told(0.1, 0.1)}, "a")
    assert "moves 25% as far along the texts to keep, and leaks 9.8%" in found
    assert "halves in 1 of 2 edits" in found
