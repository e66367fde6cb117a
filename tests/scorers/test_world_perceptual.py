"""ST-LPIPS: the numbers of the authors' module, and what a distance must be."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.method.protocols import PerceptualDistance, Thresholds
from asyrp.scorers.st_lpips import ShiftTolerantLPIPS, halve, load_perceptual
from asyrp.storage.images import from_uint8
from conftest import noise

# (seed of a, seed of b, height, width) -> the distance by the authors' module (stlpips-pytorch
# 0.0.2, float32) of `smooth` images.
AUTHORS = {
    (0, 1, 64, 64): 0.45481500029563904,
    (2, 3, 37, 50): 0.3993397355079651,
    (4, 5, 21, 21): 0.07878439873456955,
    (6, 7, 96, 64): 0.4602178633213043,
}
FACES = {(0, 1): 0.3567311465740204, (2, 3): 0.44235044717788696}  # of split test, unseen 0.1
NOISY_FACE = 0.45302289724349976  # face 0 with noise of seed 5 and sigma 0.3


@pytest.fixture(scope="module")
def distance() -> ShiftTolerantLPIPS:
    return load_perceptual()


def smooth(seed: int, height: int = 64, width: int = 64) -> Tensor:
    coarse = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)


def face(index: int) -> Tensor:
    pytest.importorskip("resvg_py")
    from asyrp.domains.avatars.avatars import draw, sample_face

    return from_uint8(np.array(draw(sample_face("test", index, 0.1)))[None])


@pytest.mark.parametrize(("case", "expected"), AUTHORS.items())
def test_equals_the_authors_module(
    distance: ShiftTolerantLPIPS, case: tuple[int, int, int, int], expected: float
) -> None:
    first, second, height, width = case
    value = distance(smooth(first, height, width), smooth(second, height, width))
    assert value.item() == pytest.approx(expected, rel=5e-4)  # the shipped weights are fp16


@pytest.mark.parametrize(("pair", "expected"), FACES.items())
def test_equals_the_authors_module_on_faces(
    distance: ShiftTolerantLPIPS, pair: tuple[int, int], expected: float
) -> None:
    assert distance(face(pair[0]), face(pair[1])).item() == pytest.approx(expected, rel=5e-4)


def test_equals_the_authors_module_on_a_noisy_face(distance: ShiftTolerantLPIPS) -> None:
    generator = torch.Generator().manual_seed(5)
    noisy = face(0) + 0.3 * torch.randn(1, 3, 64, 64, generator=generator)
    assert distance(face(0), noisy).item() == pytest.approx(NOISY_FACE, rel=5e-4)


def test_is_a_perceptual_distance(distance: ShiftTolerantLPIPS) -> None:
    measured: PerceptualDistance = distance
    assert measured.name == "st-lpips-alex"
    assert isinstance(measured.thresholds, Thresholds)
    assert 0 < measured.thresholds.edit < measured.thresholds.boost < 1


def test_equal_images_are_at_zero_and_the_order_is_free(distance: ShiftTolerantLPIPS) -> None:
    a, b = smooth(0), smooth(1)
    assert distance(a, a).item() == 0
    torch.testing.assert_close(distance(a, b), distance(b, a))


def test_each_pair_of_a_batch_is_measured_alone(distance: ShiftTolerantLPIPS) -> None:
    a, b = torch.cat([smooth(i) for i in range(3)]), torch.cat([smooth(i + 3) for i in range(3)])
    alone = torch.cat([distance(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    together = distance(a, b)
    assert together.shape == (3,)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=0)


def test_grows_with_noise_and_hardly_with_a_shift(distance: ShiftTolerantLPIPS) -> None:
    a, grain = smooth(0), noise(1, 3, 64, 64)
    values = [distance(a, a + sigma * grain).item() for sigma in (0.03, 0.1, 0.3, 1.0)]
    assert values == sorted(values)
    assert distance(a, a.roll(1, -1)).item() < values[1]


@pytest.mark.parametrize("level", [-1.0, 0.0, 1.0])
def test_gradient_is_finite_where_nothing_differs(
    distance: ShiftTolerantLPIPS, level: float
) -> None:
    a = torch.full((1, 3, 64, 64), level, requires_grad=True)
    distance(a, torch.full_like(a, level)).sum().backward()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()


def test_descending_its_gradient_brings_images_closer(distance: ShiftTolerantLPIPS) -> None:
    a, b = smooth(0).requires_grad_(), smooth(1)
    before = distance(a, b)
    (slope,) = torch.autograd.grad(before.sum(), a)
    assert distance(a - 0.01 * slope / slope.abs().max(), b) < before


def test_weights_are_frozen_and_float32(distance: ShiftTolerantLPIPS) -> None:
    assert not distance.training
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in distance.parameters())


def test_halve_blurs_with_a_reflected_border() -> None:
    ramp = torch.arange(6.0).view(1, 1, 1, 6).expand(1, 1, 6, 6)
    # reflected: 2 1 0 1 2 3 4 5 4 3, blurred at 1, 3, 5, 7 of it
    torch.testing.assert_close(halve(ramp)[0, 0, 0], torch.tensor([1.0, 1.0, 3.0, 4.5]))
    assert halve(torch.zeros(1, 2, 58, 57)).shape == (1, 2, 30, 30)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((1, 3, 64, 64), (2, 3, 64, 64)),
        ((1, 1, 64, 64), (1, 1, 64, 64)),
        ((3, 64, 64), (3, 64, 64)),
        ((1, 3, 20, 64), (1, 3, 20, 64)),
    ],
)
def test_refuses_other_shapes(
    distance: ShiftTolerantLPIPS, a: tuple[int, ...], b: tuple[int, ...]
) -> None:
    with pytest.raises(AsyrpError, match="got"):
        distance(torch.zeros(a), torch.zeros(b))


def test_refuses_other_weights(tmp_path: Path) -> None:
    save_file({"conv": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(AsyrpError, match="convert_stlpips"):
        load_perceptual(tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    with pytest.raises(AsyrpError, match="convert_stlpips"):
        load_perceptual(tmp_path / "broken.safetensors")
