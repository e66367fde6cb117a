"""The segmenter: shapes, training, and how well the shipped one names parts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from asyrp.domains.avatars import train_segmenter
from asyrp.domains.avatars.masks import PARTS
from asyrp.domains.avatars.segmenter import Segmenter, load_segmenter
from asyrp.domains.avatars.train_segmenter import drawn, run, segmenter_loss, spoilt, train
from asyrp.errors import AsyrpError
from asyrp.metrics.structure import mean_iou
from asyrp.storage.images import from_uint8
from conftest import noise


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return load_segmenter()


def test_a_logit_a_part_and_pixel(segmenter: Segmenter) -> None:
    assert segmenter(noise(2, 3, 64, 64)).shape == (2, len(PARTS), 64, 64)
    with pytest.raises(AsyrpError, match="64"):
        segmenter(torch.zeros(1, 3, 32, 32))


def test_masks_do_not_depend_on_the_batch(segmenter: Segmenter) -> None:
    images = noise(3, 3, 64, 64)
    assert np.array_equal(segmenter.masks(images), segmenter.masks(images, 1))
    assert segmenter.masks(images).dtype == np.uint8


def test_the_shipped_segmenter_names_the_parts_of_new_faces(segmenter: Segmenter) -> None:
    pytest.importorskip("resvg_py")
    data = drawn("test", 6)
    found = segmenter.masks(from_uint8(data[..., :3]))
    assert mean_iou(data[..., 3], found).mean() > 0.88


def test_spoiling_moves_no_pixel() -> None:
    images = torch.zeros(2, 3, 64, 64)
    images[:, :, 20:40, 20:40] = 1
    first, again = (spoilt(images, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, again)
    rows = torch.arange(64.0)
    for axis in (2, 3):
        weights = first.clamp(0).sum((1, 5 - axis))
        centre = (weights * rows).sum(1) / weights.sum(1)
        assert (centre - 29.5).abs().max() < 0.3


def synthetic() -> np.ndarray:
    rng = np.random.default_rng(0)
    data = np.zeros((20, 64, 64, 4), np.uint8)
    data[..., :3] = rng.integers(256, size=(20, 1, 1, 3))
    data[:, 16:48, 16:48, :3] = 255 - data[:, 16:48, 16:48, :3]
    data[:, 16:48, 16:48, 3] = 2
    return data


def test_training_lowers_the_loss_and_repeats_itself() -> None:
    losses = [[step.loss for step in train(synthetic(), 8)] for _ in range(2)]
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]


def test_half_of_the_pictures_are_mirrored_with_their_masks() -> None:
    data = synthetic()
    data[..., 3] = 0
    data[:, :, :8, 3] = 1
    data[:, :, :8, :3] = 255
    seen = {}

    class Spy(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen["images"] = images
            return torch.zeros(len(images), len(PARTS), 64, 64, requires_grad=True)

    segmenter_loss(Spy(), data, 1)(0)
    left, right = seen["images"][..., :6].mean((1, 2, 3)), seen["images"][..., -6:].mean((1, 2, 3))
    assert (left > 0.8).sum() >= 8
    assert (right > 0.8).sum() >= 8


def test_run_writes_weights_and_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("resvg_py")
    monkeypatch.setattr(train_segmenter, "FACES", 16)
    monkeypatch.setattr(train_segmenter, "TEST_FACES", 2)
    assert [step.step for step in run(tmp_path, tmp_path, 1)] == [1]
    assert isinstance(load_segmenter(tmp_path / "segmenter.safetensors"), Segmenter)
    card = (tmp_path / "segmenter.md").read_text()
    assert all(f"| {part} |" in card for part in PARTS)


def test_refuses_other_weights(tmp_path: Path) -> None:
    save_file({"conv": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(AsyrpError, match="asyrp world segmenter"):
        load_segmenter(tmp_path / "other.safetensors")
