"""Commands whose network is on a device that the pictures are not on."""

from pathlib import Path

import pytest
import torch

from asyrp.cli import main
from asyrp.method.direction_file import DirectionCard, save_direction
from asyrp.method.directions import ImplicitDirection
from asyrp.networks import load_model
from asyrp.storage.images import write_png
from conftest import noise
from far_device import FAR, FarDevice

FEW = ["--steps", "4", "--device", FAR]


def faces(folder: Path, count: int) -> str:
    folder.mkdir()
    for index in range(count):
        write_png(folder / f"{index:02d}.png", 0.3 * noise(3, 64, 64, seed=index))
    return str(folder)


@pytest.fixture
def direction(tmp_path: Path) -> str:
    model, path = load_model("avatars-64"), tmp_path / "odd.safetensors"
    card = DirectionCard("face", "odd face", 400, 200, 4, "", "none")
    save_direction(path, ImplicitDirection(model.h_channels, model.emb_channels), card)
    return str(path)


def far(*line: str) -> int:
    with FarDevice():
        return main(list(line))


def test_the_double_refuses_what_a_gpu_refuses() -> None:
    near, away = torch.ones(2, 3), torch.ones(2, 3, device=FAR)
    row = torch.tensor([1])
    with FarDevice():
        for mixed in (
            lambda: near + away,
            lambda: near @ away.T,
            lambda: torch.cat([near, away]),
            lambda: near[row.to(FAR)],
        ):
            with pytest.raises(RuntimeError, match="mixes"):
                mixed()
        with pytest.raises((RuntimeError, TypeError, NotImplementedError)):
            away.numpy()
        assert (away[row] * 2.0).is_meta
        assert away.cpu().shape == near.shape
        assert not away.to("cpu", torch.float64).is_meta
        assert away.to(near).device == near.device
        assert near.to(away).is_meta
        assert isinstance(away.sum().item(), float)


def test_pictures_are_inverted_and_edited(tmp_path: Path, direction: str) -> None:
    images, store = faces(tmp_path / "in", 3), ["--store", str(tmp_path / "store")]
    assert far("invert", "--images", images, "--out", str(tmp_path / "a"), *FEW) == 0
    assert far("invert", "--images", images, "--out", str(tmp_path / "b"), *store, *FEW) == 0
    edit = ["edit", "--images", images, "--direction", direction, "--out"]
    assert far(*edit, str(tmp_path / "c"), *FEW) == 0
    assert far(*edit, str(tmp_path / "d"), "--strengths", "0", "1", *store, *FEW) == 0
    assert len(list((tmp_path / "d").glob("*.png"))) == 6


def test_a_direction_is_diagnosed(tmp_path: Path, direction: str) -> None:
    images = faces(tmp_path / "in", 2)
    line = ["study", "diagnose", "--images", images, "--direction", direction, "--faces", "2"]
    assert far(*line, "--out", str(tmp_path / "out"), *FEW) == 0


OWN = """
[model]
name = "avatars-64"
[guides]
encoder = "avatars-64-clip"
distance = "st-lpips-alex"
[images]
train = "train"
test = "test"
[judge]
encoder = "avatars-64-clip"
[judge.questions]
mouth = ["sad face", "smiling face"]
hair = ["bald person", "blonde person"]
[[tasks]]
name = "smiling"
source = "face"
target = "smiling face"
attribute = "mouth"
value = "smiling face"
t_start = 450
t_edit = 300
t_boost = 100
"""


def test_methods_are_compared(tmp_path: Path) -> None:
    faces(tmp_path / "test", 16)
    faces(tmp_path / "train", 12)
    (tmp_path / "own.toml").write_text(OWN)
    line = ["compare", "--domain", str(tmp_path / "own.toml"), "--device", FAR]
    line += [
        "--methods",
        "mean",
        "--validation-faces",
        "2",
        "--test-faces",
        "16",
        "--train.steps",
        "6",
        "--workers",
        "1",
    ]
    assert far(*line, "--train.epochs", "1", "--out", str(tmp_path / "out")) == 0


def test_edits_are_measured(tmp_path: Path) -> None:
    line = ["evaluate", "--images", faces(tmp_path / "in", 16)]
    line += [
        "--edits",
        faces(tmp_path / "edits", 16),
        "--source",
        "face",
        "--target",
        "smiling face",
        "--features",
        "encoder",
    ]
    assert far(*line, "--device", FAR, "--out", str(tmp_path / "out")) == 0
