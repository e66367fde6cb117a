"""Classifier guidance: gradients, the guided step, and training."""

import math

import numpy as np
import pytest
import torch

from asyrp.editing_methods.classifier_guidance import (
    HIDDEN,
    NoisyClassifier,
    guided,
    noisy_loss,
    pull,
)
from asyrp.method.ddim import generate, predict_x0
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import linear, paper_grid
from conftest import noise

SIZES = {"mouth": 3, "hair": 2}


@pytest.fixture
def classifier() -> NoisyClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return NoisyClassifier(SIZES).double().requires_grad_(False)


def test_logits_depend_on_the_image_and_on_t(classifier: NoisyClassifier) -> None:
    x = noise(2, 3, 16, 16).double()
    early, late = (classifier(x, torch.full((2,), t).double()) for t in (10, 900))
    assert {name: tuple(v.shape) for name, v in early.items()} == {"mouth": (2, 3), "hair": (2, 2)}
    assert not torch.allclose(early["mouth"], late["mouth"])


def test_the_pull_is_the_gradient_of_log_p(classifier: NoisyClassifier) -> None:
    x, classifier = noise(1, 3, 16, 16), classifier.float()
    found = pull(classifier, x, 300, "mouth", 2)
    wanted = torch.zeros_like(x)
    double, t = classifier.double(), torch.full((1,), 300.0).double()
    for place in [(0, 0, 3, 4), (0, 2, 8, 8), (0, 1, 15, 0)]:
        ends = []
        for sign in (-1, 1):
            moved = x.double().clone()
            moved[place] += sign * 1e-4
            ends.append(double(moved, t)["mouth"].log_softmax(1)[0, 2])
        wanted[place] = (ends[1] - ends[0]) / 2e-4
        assert float(found[place]) == pytest.approx(float(wanted[place]), rel=0.02, abs=1e-6)


@torch.no_grad()
def test_one_guided_step_is_algorithm_2(model: HSpaceUNet, classifier: NoisyClassifier) -> None:
    x, grid, classifier = noise(2, 3, 16, 16), paper_grid(4), classifier.float()
    done = next(iter(guided(model, classifier, x, grid, ("mouth", 1), 3.0)))
    alpha_bar = linear().alpha_bar(grid[0].t)
    gradient = pull(classifier, x, grid[0].t, "mouth", 1)
    eps = model(x, grid[0].t) - math.sqrt(1 - alpha_bar) * 3.0 * gradient
    assert torch.allclose(done.x0, predict_x0(x, eps, alpha_bar), atol=1e-4)


@torch.no_grad()
def test_guidance_without_scale_is_plain_ddim(
    model: HSpaceUNet, classifier: NoisyClassifier
) -> None:
    x, grid, classifier = noise(2, 3, 16, 16), paper_grid(4), classifier.float()
    *_, plain = generate(model, model.schedule, x, grid)
    *_, done = guided(model, classifier, x, grid, ("mouth", 1), 0.0)
    assert torch.equal(done.x, plain.x)


def test_training_learns_what_shows_and_repeats_itself() -> None:
    images = torch.cat([torch.full((16, 3, 16, 16), v) for v in (-0.8, 0.0, 0.8)])
    labels = np.stack([np.repeat([0, 1, 2], 16), np.full(48, HIDDEN)], axis=1)
    losses = []
    for _ in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            classifier = NoisyClassifier(SIZES)
        loss_at = noisy_loss(classifier, images, labels, linear(), 24)
        optimiser = torch.optim.Adam(classifier.parameters(), 3e-3)
        seen = []
        for step in range(25):
            loss = loss_at(step)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            seen.append(loss.item())
        losses.append(seen)
        assert classifier.out.bias.grad[3:].abs().max() == 0
    assert losses[0] == losses[1]
    assert np.mean(losses[0][-5:]) < 0.8 * np.mean(losses[0][:3])
