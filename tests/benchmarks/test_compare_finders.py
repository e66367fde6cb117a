"""Finders measured side by side, where the right answer is known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from asyrp.finders.base import FinderData
from asyrp.finders.catalogue import Compose, Jacobian, Labels, Pca
from asyrp.finders.prepare import Pictures
from asyrp.method.editing import invert
from asyrp.method.editing_interval import EditInterval
from asyrp.method.unedited_trajectory import editing_window
from compare_finders import Trial, compare_finders
from conftest import noise
from doubles import TinyDistance
from planted import PLANTED, SPREADS, planted

NETWORK, MODEL = planted()
STEPS = 20


def judge(images: Tensor) -> dict[str, np.ndarray]:
    """Whether each factor is above 0.5."""
    shown = NETWORK.factors_of(images) > 0.5
    return {f"factor {k}": shown[:, k].numpy().astype(int) for k in range(len(SPREADS))}


def pictures(z: Tensor) -> Pictures:
    done = invert(MODEL, NETWORK.images_of(z), STEPS, refinements=1)
    return Pictures(done.reconstructions, done.latents)


@pytest.fixture(scope="module")
def trial() -> Trial:
    z = noise(24, len(SPREADS), seed=30)
    z[:, PLANTED] = -z[:, PLANTED].abs()
    parts = (pictures(z[:12]), pictures(z[12:]))
    return Trial(f"factor {PLANTED}", 1, *parts, EditInterval(999, 500, 0), judge, TinyDistance(),
                 steps=STEPS)  # fmt: skip


@pytest.fixture(scope="module")
def data() -> FinderData:
    z = noise(60, len(SPREADS), seed=31)
    labels = (z[:, PLANTED] > 0.5).long()
    x = pictures(z).latents
    return FinderData(x, editing_window(999, 500, STEPS), labels=labels, steps=STEPS)


def test_the_planted_factor_is_found_by_each_and_measured(trial: Trial, data: FinderData) -> None:
    finders: dict[str, Any] = {
        "means": Labels("", "a", "b"),
        "pca": Pca(3),
        "jacobian": Jacobian(components=2, timesteps=2, iterations=2, length=1.0),
        "compose": Compose(("x",)),
    }
    rows = list(compare_finders(MODEL, finders, data, trial))
    assert [row.finder for row in rows] == ["means", "pca", "jacobian"]  # no directions to compose
    for row in rows:
        assert row.row.success.value >= 0.9
        assert row.row.leakage.value <= 0.15
        assert row.row.clean.value <= row.row.success.value
        assert row.row.distance.value > 0
        assert row.row.success.images == 12
        assert row.seconds > 0
        assert row.bytes > 48 * 4
    assert rows[1].chosen == "pca-1"
    assert rows[2].chosen == "jacobian-1"


def test_what_counts_as_shown_may_be_told(trial: Trial, data: FinderData) -> None:
    def in_half(before: Any) -> dict[str, np.ndarray]:
        return {name: np.arange(len(row)) < 6 for name, row in before.items()}

    told = replace(trial, shown=in_half, strengths=(1.0,))
    (row,) = compare_finders(MODEL, {"means": Labels("", "a", "b")}, data, told)
    assert row.row.leakage.images == 6
    assert row.row.success.images == 12
