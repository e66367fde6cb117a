"""The probe finds what is planted in images, and only where the noise leaves it."""

import numpy as np
import torch

from asyrp.method.hspace import HSpaceUNet
from asyrp.metrics.probe import area_under_curve, noised_h, probe, probed
from conftest import noise


def test_area_under_curve_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    yes, no = rng.normal(0.7, 1, 40), rng.normal(0, 1, 60)
    assert area_under_curve(yes, no) == np.mean([[y > n for n in no] for y in yes])
    assert area_under_curve(yes, yes[:0]) == 0.5


def test_a_planted_direction_is_read_and_a_coin_is_not() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random((800, 2)) < 0.4
    h = torch.from_numpy(rng.normal(size=(800, 200))).float()
    h[:, 7] += 4 * torch.from_numpy(labels[:, 0]).float()
    planted, coin = probed(h, labels)
    assert planted > 0.8
    assert abs(coin - 0.5) < 0.12


def test_noise_hides_brightness_at_high_timesteps(model: HSpaceUNet) -> None:
    bright = torch.arange(120) % 2 == 0
    images = (noise(120, *model.image_shape, seed=3) * 0.2 + bright.view(-1, 1, 1, 1) * 0.3).clamp(
        -1, 1
    )
    found = probe(model, images, {"bright": bright.numpy()}, (10, 990))["bright"]
    assert found[10] > 0.95
    assert found[990] < 0.75


def test_h_is_that_of_the_noised_image(model: HSpaceUNet) -> None:
    images = noise(3, *model.image_shape, seed=4)
    again = noised_h(model, images, 200)
    assert torch.equal(again, noised_h(model, images, 200))
    assert not torch.equal(again, noised_h(model, images, 200, seed=1))
