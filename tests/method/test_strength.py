"""The strength that counts as 1."""

from typing import Any

import pytest
import torch

from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.directions import GlobalDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.strength import BATCH, SHARE, STRENGTHS, response, saturation
from asyrp.method.unedited_trajectory import editing_window, joined, prepare
from conftest import noise
from doubles import tiny_guide


def test_the_strength_lies_where_progress_crosses_the_share() -> None:
    progress = [0.2, 0.6, 1.0, 1.0, 1.0, 1.0]
    found = saturation(STRENGTHS, progress)
    low, high = STRENGTHS[1:3]
    assert found == pytest.approx(low + (high - low) * (SHARE - 0.6) / 0.4, abs=0.006)
    assert saturation(STRENGTHS, progress, share=0.6) == low


def test_the_first_strength_is_enough_where_it_already_saturates() -> None:
    assert saturation(STRENGTHS, [1.0, 0.99, 0.98, 0.9, 0.8, 0.7]) == STRENGTHS[0]


def test_progress_that_falls_again_counts_from_its_peak() -> None:
    rising = saturation(STRENGTHS, [0.1, 0.5, 1.0, 1.0, 1.0, 1.0])
    assert saturation(STRENGTHS, [0.1, 0.5, 1.0, 0.4, 0.2, 0.0]) == rising


@pytest.mark.parametrize("progress", [[0.0] * 6, [-0.5, -0.4, -0.3, -0.2, -0.1, -0.05]])
def test_without_progress_the_strength_stays_1(progress: list[float]) -> None:
    assert saturation(STRENGTHS, progress) == 1.0


def test_the_response_is_the_progress_of_the_last_edited_x0(model: HSpaceUNet) -> None:
    guide, x = tiny_guide(), noise(3, 3, 16, 16)
    window = editing_window(999, 500, 8, model.schedule.length)
    sources = joined(list(prepare(model, guide, x, window, 3)))
    dh = GlobalDirection(noise(*model.h_shape)).requires_grad_(False)
    found = response(model, dh, 2.0, guide, sources, window.grid)
    act = Attribute(dh, window.grid[-1].t, 2.0, trained_steps=window.grid.full)
    with torch.no_grad():
        *_, edited = reverse_process(model, sources.latents, window.grid, [act])
        *_, plain = reverse_process(model, sources.latents, window.grid)
        moved = guide.encoder.image_features(edited.x0) - guide.encoder.image_features(plain.x0)
    assert found == pytest.approx((moved @ guide.direction).mean().item(), rel=1e-4)
    assert response(model, dh, 0.0, guide, sources, window.grid) == pytest.approx(0.0, abs=1e-5)


def test_the_response_walks_few_images_at_a_time(
    model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide, x = tiny_guide(), noise(21, 3, 16, 16)
    window = editing_window(999, 500, 4, model.schedule.length)
    sources = joined(list(prepare(model, guide, x, window, 21)))
    dh = GlobalDirection(noise(*model.h_shape)).requires_grad_(False)
    own, rows = HSpaceUNet.encode, list[int]()

    def encode(self: HSpaceUNet, x: torch.Tensor, *rest: Any) -> Any:
        rows.append(len(x))
        return own(self, x, *rest)

    monkeypatch.setattr(HSpaceUNet, "encode", encode)
    found = response(model, dh, 2.0, guide, sources, window.grid)
    assert max(rows) == BATCH
    parts = [sources.take(torch.arange(i, min(i + 7, 21))) for i in (0, 7, 14)]
    means = [response(model, dh, 2.0, guide, part, window.grid) for part in parts]
    assert found == pytest.approx(sum(means) / 3, rel=1e-4)
