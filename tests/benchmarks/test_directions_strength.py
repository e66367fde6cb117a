"""How benchmarks/directions.py chooses strengths."""

import numpy as np
import pytest
import torch

from directions_strength import Look, least_reading, means_at, strength_of, up_to_enough


def look(strength: float, readings: list[float], success: list[int], leakage: list[float]) -> Look:
    values = {"success": np.array(success, float), "leakage": np.array(leakage)}
    return Look(strength, torch.tensor(readings), values)


# two images: the second needs twice the strength, which changes more of the first
LOOKS = [
    look(1.0, [0.2, 0.0], [1, 0], [0.0, 0.0]),
    look(2.0, [0.4, 0.2], [1, 1], [0.5, 0.1]),
    look(3.0, [0.6, 0.4], [1, 1], [0.9, 0.3]),
]


def test_one_strength_lies_on_a_line_between_two() -> None:
    assert strength_of(LOOKS) == pytest.approx(1.8)  # 50 % at 1, 100 % at 2
    assert strength_of(LOOKS[1:]) == 2.0
    assert strength_of(LOOKS[:1]) == 1.0  # never enough: the most


def test_no_more_is_tried_than_what_is_enough() -> None:
    looks = iter(LOOKS)
    assert [look.strength for look in up_to_enough(looks)] == [1.0, 2.0]
    assert next(looks).strength == 3.0


def test_each_image_takes_what_it_needs() -> None:
    assert means_at(LOOKS, 0.1) == pytest.approx((1.0, 0.05))  # strengths 1 and 2
    assert means_at(LOOKS, 0.3) == pytest.approx((1.0, 0.4))  # strengths 2 and 3
    least = least_reading(LOOKS, 0.06)
    assert least is not None
    assert 0.0 < least <= 0.2
    assert least_reading(LOOKS[:1], 1.0) is None


def test_a_budget_buys_success() -> None:
    few = [look(1.0, [0.1] * 10, [1] * 9 + [0], [0.0] * 10)]
    few.append(look(2.0, [0.3] * 10, [1] * 10, [0.05] * 10))
    cautious, sure = (least_reading(few, budget) for budget in (0.01, 0.06))
    assert means_at(few, cautious or 0) == pytest.approx((0.9, 0.0))
    assert means_at(few, sure or 0) == pytest.approx((1.0, 0.05))
