import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from asyrp.method.clip_loss import (
    directional_loss,
    image_direction,
    log_form,
    mean_form,
    reconstruction_loss,
)
from asyrp.method.text_direction import text_cosine, text_direction
from conftest import noise


def unit(*shape: int, seed: int = 0) -> Tensor:
    return functional.normalize(noise(*shape, seed=seed, dtype=torch.float64), dim=-1)


def test_directional_loss_equals_numpy() -> None:
    edited, source, text = unit(5, 9), unit(5, 9, seed=1), unit(9, seed=2)
    moved = (edited - source).numpy()
    cosines = moved @ text.numpy() / np.linalg.norm(moved, axis=1)
    np.testing.assert_allclose(directional_loss(edited, source, text), 1 - cosines, atol=1e-6)


def test_directional_loss_of_a_match_a_right_angle_and_the_opposite() -> None:
    text = torch.tensor([1.0, 0.0])
    source = torch.zeros(3, 2)
    edited = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    assert directional_loss(edited, source, text).tolist() == pytest.approx([0, 1, 2], abs=1e-6)


def test_an_unmoved_image_has_a_finite_loss_and_gradient() -> None:
    source, text = unit(2, 9), unit(9, seed=2)
    edited = source.clone().requires_grad_()
    loss = directional_loss(edited, source, text).sum()
    loss.backward()
    assert float(loss.detach()) == pytest.approx(2.0)
    assert torch.isfinite(edited.grad).all()


def test_image_directions_have_unit_norm() -> None:
    norms = image_direction(unit(4, 9), unit(4, 9, seed=1)).norm(dim=1)
    assert torch.allclose(norms, torch.ones(4, dtype=torch.float64), atol=1e-6)


@given(st.lists(st.floats(0.0, 1.9), min_size=1, max_size=8))
def test_the_log_form_is_minus_log_of_half_one_plus_mean_cosine(losses: list[float]) -> None:
    directional = torch.tensor(losses, dtype=torch.float64)
    wanted = -math.log((1 + (1 - directional).mean().item()) / 2)
    assert float(log_form(directional)) == pytest.approx(wanted, abs=1e-12)
    assert float(mean_form(directional)) == pytest.approx(float(np.mean(losses)), abs=1e-12)


def test_the_log_form_takes_the_mean_before_the_logarithm() -> None:
    directional = torch.tensor([0.0, 1.5], dtype=torch.float64)
    assert float(log_form(directional)) == pytest.approx(-math.log(1.25 / 2))
    assert float(log_form(torch.zeros(3))) == 0.0


def test_reconstruction_loss_is_the_mean_absolute_difference() -> None:
    a, b = noise(2, 3, 4, 4), noise(2, 3, 4, 4, seed=1)
    wanted = np.abs(a.numpy() - b.numpy()).mean()
    assert float(reconstruction_loss(a, b)) == pytest.approx(wanted, rel=1e-6)
    assert float(reconstruction_loss(a, b)) == float(reconstruction_loss(b, a))


class Letters:
    """Texts as normalised counts of letters."""

    name = "letters"

    def __init__(self, text_common: float = 0.0):
        self.text_common = text_common

    def text_features(self, texts: Sequence[str]) -> Tensor:
        rows = [[float(text.count(letter)) + 0.1 for letter in "abcdefgh"] for text in texts]
        return functional.normalize(torch.tensor(rows, dtype=torch.float64), dim=1)

    def image_features(self, images: Tensor) -> Tensor:
        raise NotImplementedError


def test_text_direction_averages_over_templates_before_it_normalises() -> None:
    templates, letters = ("{}", "a bag of {}", "hhh {}"), Letters()
    moves = [
        letters.text_features([t.format("fade")])[0] - letters.text_features([t.format("cab")])[0]
        for t in templates
    ]
    wanted = np.mean([move.numpy() for move in moves], axis=0)
    found = text_direction(letters, "cab", "fade", templates)
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted), atol=1e-12)
    assert float(found @ text_direction(letters, "fade", "cab", templates)) == pytest.approx(-1)


def test_text_cosine_is_that_of_the_raw_texts() -> None:
    a, b = Letters().text_features(["cab", "fade"])
    assert text_cosine(Letters(), "cab", "fade") == pytest.approx(float(a @ b))
    assert text_cosine(Letters(), "cab", "cab") == pytest.approx(1.0)


def test_text_cosine_of_an_encoder_without_clips_cone() -> None:
    spread, narrow = text_cosine(Letters(), "cab", "fade"), text_cosine(Letters(0.8), "cab", "fade")
    assert narrow == pytest.approx(0.8 + 0.2 * spread)
