"""The judge: what it answers, how it is trained, and how well the shipped one reads faces."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from asyrp.domains.avatars import train_judge
from asyrp.domains.avatars.avatars import FACTORS
from asyrp.domains.avatars.judge import JudgeNetwork, load_judge
from asyrp.domains.avatars.pictures import HIDDEN, labels, pictures
from asyrp.domains.avatars.train_judge import (
    blurred,
    gaussian_rows,
    judge_loss,
    quality,
    run,
    save_judge,
    spoilt,
    train,
)  # fmt: skip
from asyrp.errors import AsyrpError
from asyrp.storage.images import from_uint8
from conftest import noise

COUNT = 150


@pytest.fixture(scope="module")
def judge() -> JudgeNetwork:
    return load_judge()


@pytest.fixture(scope="module")
def faces() -> tuple[Tensor, np.ndarray]:
    """Faces of the split `test`, and their labels."""
    pytest.importorskip("resvg_py")
    return from_uint8(pictures("test", COUNT, None, 0.1, 1)), labels("test", COUNT, 0.1)


def test_gives_logits_of_every_value_of_every_factor(judge: JudgeNetwork) -> None:
    logits = judge(noise(2, 3, 64, 64))
    assert list(logits) == list(FACTORS)
    for factor, values in FACTORS.items():
        assert logits[factor].shape == (2, len(values))


def test_decisions_are_the_likeliest_values(judge: JudgeNetwork) -> None:
    images = noise(3, 3, 64, 64)
    decided, likely = judge.decide(images), judge.probabilities(images)
    assert decided.shape == (3, len(FACTORS))
    assert decided.dtype == torch.int64
    for column, factor in enumerate(FACTORS):
        torch.testing.assert_close(likely[factor].sum(1), torch.ones(3))
        assert torch.equal(likely[factor].argmax(1), decided[:, column])


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (1, 1, 64, 64), (3, 64, 64)])
def test_refuses_other_shapes(judge: JudgeNetwork, shape: tuple[int, ...]) -> None:
    with pytest.raises(AsyrpError, match="64"):
        judge(torch.zeros(shape))


def test_the_shipped_judge_is_frozen_and_float32(judge: JudgeNetwork) -> None:
    assert not judge.training
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in judge.parameters())


def test_the_shipped_judge_reads_faces(
    judge: JudgeNetwork, faces: tuple[Tensor, np.ndarray]
) -> None:
    images, known = faces
    for shown in (images, blurred(images, 0.6)):
        for factor, measured in quality(judge.decide(shown).numpy(), known).items():
            assert measured.right > 0.96, factor


def test_the_same_picture_gets_the_same_answer_in_any_batch(judge: JudgeNetwork) -> None:
    images = noise(4, 3, 64, 64)
    alone = torch.cat([judge(images[i : i + 1])["hair"] for i in range(4)])
    torch.testing.assert_close(judge(images)["hair"], alone, rtol=1e-4, atol=1e-4)


def test_saved_weights_come_back(tmp_path: Path, judge: JudgeNetwork) -> None:
    save_judge(judge, tmp_path / "judge.safetensors")
    again = load_judge(tmp_path / "judge.safetensors")
    for name, value in judge.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_refuses_other_weights(tmp_path: Path) -> None:
    save_file({"conv": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(AsyrpError, match="asyrp world judge"):
        load_judge(tmp_path / "other.safetensors")


def test_quality_counts_visible_factors_only() -> None:
    known = np.zeros((4, len(FACTORS)), np.int8)
    eyes = list(FACTORS).index("eyes")
    known[:, eyes] = [0, 1, 1, HIDDEN]
    decided = np.zeros((4, len(FACTORS)), np.int64)
    decided[:, eyes] = [0, 1, 3, 2]
    measured = quality(decided, known)
    assert measured["eyes"] == (pytest.approx(2 / 3), "closed", 0.5)
    assert measured["mouth"] == (1.0, "smiling", 1.0)


def test_gaussian_rows_shift_and_repeat_the_border() -> None:
    rows = gaussian_rows(torch.tensor([0.05, 0.05]), torch.tensor([1.0, -1.0]), 4)
    line = torch.tensor([1.0, 2.0, 3.0, 4.0])
    torch.testing.assert_close(rows[0] @ line, torch.tensor([2.0, 3.0, 4.0, 4.0]))
    torch.testing.assert_close(rows[1] @ line, torch.tensor([1.0, 1.0, 2.0, 3.0]))


def test_blur_keeps_plain_pictures_and_calms_noise() -> None:
    plain = torch.full((1, 3, 64, 64), 0.3)
    torch.testing.assert_close(blurred(plain, 0.8), plain)
    grain = noise(1, 3, 64, 64)
    assert blurred(grain, 0.6).std() < 0.7 * grain.std()


def test_spoiling_is_mild_and_drawn_from_its_generator() -> None:
    images = torch.zeros(5, 3, 64, 64)
    first, again = (spoilt(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    other = spoilt(images, torch.Generator().manual_seed(4))
    assert not torch.equal(first, other)
    assert first.mean((1, 2, 3)).abs().max() < 0.04
    assert first.std((1, 2, 3)).max() < 0.1


def synthetic(count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [len(values) for values in FACTORS.values()]
    return (
        rng.integers(256, size=(count, 64, 64, 3), dtype=np.uint8),
        rng.integers(sizes, size=(count, len(sizes))).astype(np.int8),
    )


def test_hidden_labels_teach_nothing() -> None:
    data, known = synthetic()
    known[:, 1:] = HIDDEN
    judge = JudgeNetwork()
    loss = judge_loss(judge, data, known, 1)(0)
    loss.backward()
    last = judge.net[-1].bias.grad
    mouths = len(FACTORS["mouth"])
    assert torch.isfinite(loss)
    assert last[:mouths].abs().min() > 0
    assert last[mouths:].abs().max() == 0


def test_training_repeats_itself_and_a_finished_one_stays(tmp_path: Path) -> None:
    data, known = synthetic()
    checkpoint = tmp_path / "judge.checkpoint.safetensors"
    whole = [(step.step, step.loss) for step in train(data, known, 3)]
    kept = [(step.step, step.loss) for step in train(data, known, 3, checkpoint)]
    assert [step for step, _ in whole] == [1, 2, 3]
    assert whole == kept
    assert list(train(data, known, 3, checkpoint)) == []


def test_run_writes_weights_and_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("resvg_py")
    monkeypatch.setattr(train_judge, "FACES", 40)
    monkeypatch.setattr(train_judge, "TEST_FACES", 30)
    monkeypatch.setattr(train_judge, "BATCH", 16)
    steps = [done.step for done in run(tmp_path, tmp_path, 2)]
    assert steps == [1, 2]
    assert isinstance(load_judge(tmp_path / "judge.safetensors"), JudgeNetwork)
    card = (tmp_path / "judge.md").read_text()
    assert all(f"| {factor} |" in card for factor in FACTORS)
    assert "MIT" in card
    assert not list(tmp_path.glob("*.checkpoint.safetensors"))


def test_run_refuses_a_checkpoint_without_steps_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("resvg_py")
    monkeypatch.setattr(train_judge, "FACES", 20)
    monkeypatch.setattr(train_judge, "BATCH", 8)
    data, known = synthetic()
    list(train(data, known, 1, tmp_path / "judge.checkpoint.safetensors"))
    with pytest.raises(AsyrpError, match="delete"):
        list(run(tmp_path, tmp_path, 1))
