"""Theorem 1: how far a shift De of the noise moves x_s, in units of De."""

import pytest
import torch

from asyrp.method.asymmetric_process import (
    Attribute,
    Change,
    Predictions,
    Shift,
    asymmetric,
    epsilon_space,
    reverse_process,
    symmetric,
)
from asyrp.method.directions import GlobalDirection
from asyrp.method.hspace import Encoded, HSpaceUNet
from asyrp.method.schedule import Pair, linear, paper_grid
from conftest import noise


def analytic(pair: Pair) -> tuple[float, float]:
    """Coefficients of a symmetric and of an asymmetric shift."""
    schedule = linear()
    now, then = schedule.alpha_bar(pair.t), schedule.alpha_bar(pair.s)
    asymmetric_ = -((1 - now) ** 0.5) * (then / now) ** 0.5
    return asymmetric_ + (1 - then) ** 0.5, asymmetric_


@pytest.mark.parametrize(
    ("steps", "low", "high", "middle", "asym"),
    [
        (1000, -0.0102, -0.0032, None, -0.97),
        (40, -0.296, -0.010, -0.146, -1.10),
        (50, -0.234, -0.010, -0.111, -1.07),
    ],
)
def test_ranges_of_theorem_1(
    steps: int, low: float, high: float, middle: float | None, asym: float
) -> None:
    found = {pair.t: analytic(pair) for pair in paper_grid(steps)}
    values = [both[0] for both in found.values()]
    assert min(values) == pytest.approx(low, abs=6e-4 if steps < 1000 else 6e-5)
    assert max(values) == pytest.approx(high, abs=6e-4 if steps < 1000 else 6e-5)
    nearest = found[min(found, key=lambda t: abs(t - 500))]
    assert nearest[1] == pytest.approx(asym, abs=0.008)
    if middle is not None:
        assert nearest[0] == pytest.approx(middle, abs=0.004)


@pytest.mark.parametrize("t", range(1, 1000, 111))
def test_theorem_1_as_the_paper_writes_it(t: int) -> None:
    schedule = linear()
    alpha_bar = schedule.alpha_bar(t)
    beta = 1 - alpha_bar / schedule.alpha_bar(t - 1)
    paper = ((1 - alpha_bar - beta) ** 0.5 - (1 - alpha_bar) ** 0.5) / (1 - beta) ** 0.5
    assert analytic(Pair(t, t - 1))[0] == pytest.approx(paper, rel=1e-9)


def twice(shift: Shift) -> Shift:
    """The shifted prediction of `shift`, used in both halves."""

    def both(model: HSpaceUNet, encoded: Encoded, change: Change) -> Predictions:
        eps, _ = shift(model, encoded, change)
        return eps, eps

    return both


@pytest.mark.parametrize("steps", [40, 1000])
@torch.no_grad()
def test_measured_shifts_are_those_of_theorem_1(model64: HSpaceUNet, steps: int) -> None:
    x = noise(2, 3, 16, 16, seed=20).double()
    in_h = GlobalDirection(noise(*model64.h_shape).double())
    in_eps = GlobalDirection(noise(3, 1, 1).double())
    for pair in paper_grid(steps)[:: steps // 8]:
        for direction, shift in ((in_h, asymmetric), (in_eps, epsilon_space)):
            encoded, attribute = model64.encode(x, pair.t), Attribute(direction, 0, trained_steps=1)
            shifted, plain = shift(model64, encoded, lambda h, d=direction: d(h, h, 0))
            (base,) = reverse_process(model64, x, [pair])
            for used, coefficient in zip((twice(shift), shift), analytic(pair), strict=True):
                (done,) = reverse_process(model64, x, [pair], [attribute], shift=used)
                wanted = coefficient * (shifted - plain)
                assert torch.allclose(done.x - base.x, wanted, atol=1e-9, rtol=1e-6)


@torch.no_grad()
def test_the_symmetric_shift_of_h_is_the_one_the_theorem_speaks_of(model64: HSpaceUNet) -> None:
    x, pair = noise(2, 3, 16, 16, seed=20).double(), paper_grid(10)[4]
    attribute = Attribute(GlobalDirection(noise(*model64.h_shape).double()), 0, trained_steps=1)
    (a,) = reverse_process(model64, x, [pair], [attribute], shift=symmetric)
    (b,) = reverse_process(model64, x, [pair], [attribute], shift=twice(asymmetric))
    assert torch.equal(a.x, b.x)
