"""SDEdit and ILVR against what their papers say."""

import math

import pytest
import torch

from asyrp.editing_methods.image_guidance import ilvr, low_pass, noised, sdedit
from asyrp.method.ddim import draw_noise, predict_x0, seeded_generators, sigma
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import linear, paper_grid
from conftest import noise


def test_noised_images_have_the_forward_processs_mean_and_spread() -> None:
    images = torch.full((400, 1, 4, 4), 0.5)
    x = noised(images, 0.36, seeded_generators(400))
    assert x.mean() == pytest.approx(0.3, abs=0.03)
    assert x.std() == pytest.approx(0.8, abs=0.02)


@torch.no_grad()
def test_sdedit_is_ancestral_sampling_from_the_noised_guide(model: HSpaceUNet) -> None:
    guides, grid = noise(2, 3, 16, 16).clamp(-1, 1), paper_grid(6)
    *_, done = sdedit(model, guides, grid, grid[2].t, seeded_generators(2))
    schedule, generators = linear(), seeded_generators(2)
    x = noised(guides, schedule.alpha_bar(grid[2].t), generators)
    for pair in grid[2:]:
        now, then = schedule.alpha_bar(pair.t), schedule.alpha_bar(pair.s)
        eps, z = model(x, pair.t), draw_noise(x, generators)
        beta = 1 - now / then
        mean = (x - beta / math.sqrt(1 - now) * eps) / math.sqrt(1 - beta)  # DDPM, equation 11
        x = mean + sigma(now, then, 1.0) * z
    assert torch.allclose(done.x, x, atol=1e-4)


@torch.no_grad()
def test_a_low_beginning_keeps_the_guide(model: HSpaceUNet) -> None:
    guides, grid = noise(2, 3, 16, 16).clamp(-1, 1), paper_grid(40)
    moved = []
    for t in (grid[-2].t, grid[10].t):
        *_, done = sdedit(model, guides, grid, t, seeded_generators(2))
        moved.append(float((done.x - guides).abs().mean()))
    assert moved[0] < moved[1]


def test_the_low_pass_keeps_slopes_and_loses_grain() -> None:
    slope = torch.linspace(-1, 1, 32).expand(1, 1, 32, 32)
    inner = (..., slice(4, -4), slice(4, -4))
    assert torch.allclose(low_pass(slope, 4)[inner], slope[inner], atol=0.03)
    grain = noise(1, 1, 32, 32)
    assert low_pass(grain, 4).std() < 0.5 * grain.std()
    assert torch.equal(low_pass(grain, 1), grain)


@torch.no_grad()
def test_ilvr_takes_low_frequencies_from_the_reference_down_to_its_end(model: HSpaceUNet) -> None:
    x, y, grid = noise(2, 3, 16, 16), noise(2, 3, 16, 16, seed=4).clamp(-1, 1), paper_grid(5)
    steps = list(ilvr(model, x, y, grid, 1, 0, seeded_generators(2)))
    generators = seeded_generators(2)
    draw_noise(x, generators)
    first = noised(y, linear().alpha_bar(grid[0].s), generators)
    assert torch.allclose(steps[0].x, first, atol=1e-5)
    free = list(ilvr(model, x, y, grid, 1, 1000, seeded_generators(2)))
    eps = model(x, grid[0].t)
    assert torch.equal(free[0].x0, predict_x0(x, eps, linear().alpha_bar(grid[0].t)))
    half = list(ilvr(model, x, y, grid, 4, 0, seeded_generators(2)))
    low = low_pass(half[0].x, 4) - low_pass(first, 4)
    assert low.abs().mean() < 0.2 * (half[0].x - first).abs().mean()
