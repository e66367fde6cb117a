"""Every metric against a second implementation."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.method.protocols import Thresholds
from asyrp.method.text_direction import TextDirection
from asyrp.metrics.answers import changed, clean, leaked, succeeded
from asyrp.metrics.directional import directional_similarity
from asyrp.metrics.features import (
    EncoderFeatures,
    features_of,
    identity_similarity,
    strangers,
)
from asyrp.metrics.frechet import fid, fid_of, kid, kid_of
from asyrp.metrics.perceptual import distances, diversity, neighbour_pairs
from asyrp.metrics.structure import mean_iou
from asyrp.metrics.table import summarised
from conftest import noise


class Pixels:
    """An encoder whose features are 8 pixels, of unit norm."""

    name, text_common = "pixels", 0.0

    def image_features(self, images: Tensor) -> Tensor:
        return functional.normalize(images.flatten(1)[:, :8], dim=1)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        return functional.normalize(noise(len(texts), 8), dim=1)


class Mean:
    """The mean absolute difference as a distance."""

    name, thresholds = "mean", Thresholds()

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().flatten(1).mean(1)


def test_s_dir_is_the_cosine_of_two_differences() -> None:
    before, after = noise(5, 3, 4, 4), noise(5, 3, 4, 4, seed=1)
    text = functional.normalize(noise(8, seed=2), dim=0)
    found = directional_similarity(before, after, TextDirection(Pixels(), text, 0.9), batch_size=2)
    a, b = (x.flatten(1)[:, :8].double().numpy() for x in (before, after))
    moved = b / np.linalg.norm(b, axis=1)[:, None] - a / np.linalg.norm(a, axis=1)[:, None]
    wanted = moved @ text.double().numpy() / np.linalg.norm(moved, axis=1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


BEFORE = {"mouth": np.array([0, 1, 0, 2]), "hair": np.array([3, 3, 1, 1]), "eyes": np.zeros(4)}
AFTER = {"mouth": np.array([1, 1, 1, 2]), "hair": np.array([3, 0, 1, 1]), "eyes": np.ones(4)}
SHOWN = {"hair": np.array([True, True, True, False]), "eyes": np.array([True, False, True, False])}


def test_success_and_leakage_counted_by_hand() -> None:
    changes = changed(BEFORE, AFTER, SHOWN)
    assert changes["hair"].tolist()[:3] == [0, 1, 0]
    assert np.isnan(changes["hair"][3])
    leaks = leaked(changes, "mouth")
    np.testing.assert_array_equal(leaks, [0.5, 1.0, 0.5, np.nan])
    success = succeeded(AFTER, "mouth", 1)
    assert success.tolist() == [1, 1, 1, 0]
    calm = leaked(changed(BEFORE, BEFORE, SHOWN), "mouth")
    assert clean(success, leaks).tolist() == [0, 0, 0, 0]
    assert clean(success, calm).tolist() == [1, 1, 1, 0]


def test_the_matrix_leaves_out_what_shows_too_rarely() -> None:
    rows = changed(BEFORE, AFTER, {**SHOWN, "eyes": np.array([True] + [False] * 3)})
    found = summarised(rows)
    assert list(found) == ["hair"]
    assert found["hair"].value == pytest.approx(1 / 3)
    assert found["hair"].images == 3


def test_mean_iou_counted_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.integers(4, size=(2, 6, 5, 5))
    before[0], after[0] = 1, 1
    after[1] = 9
    for row, found in enumerate(mean_iou(before, after)):
        ious = []
        for part in set(before[row].ravel()) | set(after[row].ravel()):
            a, b = before[row].ravel() == part, after[row].ravel() == part
            inside = sum(bool(x and y) for x, y in zip(a, b, strict=True))
            ious.append(inside / sum(bool(x or y) for x, y in zip(a, b, strict=True)))
        assert found == pytest.approx(np.mean(ious))
    assert mean_iou(before, after)[:2].tolist() == [1.0, 0.0]


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(AsyrpError, match=r"\(2, 3, 3\) and \(2, 3, 4\)"):
        mean_iou(np.zeros((2, 3, 3)), np.zeros((2, 3, 4)))


def spread_features(count: int = 60, width: int = 7, seed: int = 0) -> Tensor:
    mixing = noise(width, width, seed=99, dtype=torch.float64)
    return noise(count, width, seed=seed, dtype=torch.float64) @ mixing + 0.3 * seed


def scipy_frechet(real: np.ndarray, other: np.ndarray) -> float:
    means = real.mean(0) - other.mean(0)
    covariances = np.cov(real.T), np.cov(other.T)
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    return float(means @ means + np.trace(sum(covariances) - 2 * np.real(root)))


def test_fid_is_scipys() -> None:
    real, other = spread_features(), spread_features(seed=1)
    wanted = scipy_frechet(real.numpy(), other.numpy())
    assert fid_of(real, other) == pytest.approx(wanted, rel=1e-6)
    found = fid(real, other, draws=20)
    assert found.value == pytest.approx(wanted, rel=1e-6)
    assert found.low < found.value < found.high
    assert fid(real, real, draws=5).value == pytest.approx(0, abs=1e-5)


def test_kid_is_the_double_sum() -> None:
    real, other = spread_features(9, 4).numpy(), spread_features(7, 4, seed=1).numpy()

    def mean_kernel(a: np.ndarray, b: np.ndarray, same: bool) -> float:
        rows, columns = range(len(a)), range(len(b))
        pairs = [(a[i] @ b[j] / 4 + 1) ** 3 for i in rows for j in columns if not (same and i == j)]
        return sum(pairs) / len(pairs)

    wanted = mean_kernel(real, real, True) + mean_kernel(other, other, True)
    wanted -= 2 * mean_kernel(real, other, False)
    assert kid_of(torch.tensor(real), torch.tensor(other)) == pytest.approx(wanted)
    found = kid(torch.tensor(real), torch.tensor(other), False, draws=9)
    assert found.value == pytest.approx(wanted)


def test_sets_too_small_or_unequal_are_refused() -> None:
    with pytest.raises(AsyrpError, match="at least 16 images; got 9"):
        fid(spread_features(9), spread_features(9))
    with pytest.raises(AsyrpError, match="at least 4 images; got 3"):
        kid(spread_features(3), spread_features(3))
    with pytest.raises(AsyrpError, match="one size"):
        fid(spread_features(20), spread_features(21))
    assert fid(spread_features(20), spread_features(21), False, draws=5).images == 21
    with pytest.raises(AsyrpError, match="at least 16 images; got 9"):
        fid(spread_features(9), spread_features(21), False)


def test_distances_do_not_depend_on_the_batch() -> None:
    a, b = noise(5, 3, 4, 4), noise(5, 3, 4, 4, seed=1)
    np.testing.assert_allclose(distances(Mean(), a, b, 2), (a - b).abs().mean((1, 2, 3)).numpy())


def test_diversity_compares_each_image_with_its_neighbours() -> None:
    images = noise(5, 3, 4, 4)
    pairs = neighbour_pairs(5)
    assert {tuple(pair) for pair in pairs.tolist()} == {(i, (i + 1) % 5) for i in range(5)}
    found = diversity(Mean(), images, pairs)
    for (a, b), value in zip(pairs.tolist(), found, strict=True):
        assert value == pytest.approx(float((images[a] - images[b]).abs().mean()))
    with pytest.raises(AsyrpError, match="at least 3"):
        neighbour_pairs(2)


def test_identity_is_a_cosine_and_strangers_are_the_next_ones() -> None:
    images, moved = noise(6, 3, 4, 4), noise(6, 3, 4, 4, seed=1)
    a, b = (features_of(EncoderFeatures(Pixels()), x, 4) for x in (images, moved))
    np.testing.assert_allclose(identity_similarity(a, b), (a * b).sum(1).numpy(), atol=1e-6)
    np.testing.assert_allclose(identity_similarity(a, a), 1, atol=1e-6)
    assert strangers(a)[-1] == pytest.approx(float(a[-1] @ a[0]), abs=1e-6)


def test_what_goes_with_the_edit_is_no_leakage() -> None:
    changes = {
        "smile": np.array([1.0, 1.0]),
        "cheeks": np.array([1.0, 0.0]),
        "hat": np.array([0.0, 1.0]),
    }
    assert leaked(changes, "smile").tolist() == [0.5, 0.5]
    assert leaked(changes, "smile", "cheeks").tolist() == [0.0, 1.0]
