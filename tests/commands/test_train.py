"""asyrp train, end to end on avatars-64, with few faces and steps."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import asyrp.commands.train as commands_train
from asyrp.finders.training_run import TrainingRun
from asyrp.method.direction_file import load_direction, read_card
from conftest import tiny_model
from places import (
    FEW,
    QUICK,
    Place,
    cached_model,
    call,
    picture,
    train_of,
)


def test_train_on_samples(place: Place) -> None:
    out = place.root / "new.safetensors"
    words = ["train", "--source", "face", "--target", "smiling face", "--out", out]
    assert call(*words, "--random", 2, *QUICK) == 0
    assert list(place.root.iterdir()) == [out]
    saved = load_direction(out, cached_model("avatars-64"))
    card = saved.card
    assert (card.source, card.target, card.trained_steps) == ("face", "smiling face", 6)
    assert (card.t_start, card.t_edit, card.t_boost) == (999, 700, 100)
    assert card.encoder == "avatars-64-clip"
    assert card.training["images"] == 2
    assert card.training["learning_rate"] > 0
    assert float(saved.direction.conv_out.weight.abs().max()) > 0
    assert call("edit", "--images", place.faces, "--direction", out, "--out", place.out, *FEW) == 0


def test_train_on_images_finds_the_phases_and_shows_previews(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    previews = ["--previews", place.root / "previews", "--train.validate-every", 1]
    quick = ["--train.epochs", 1, "--train.batch-size", 3, "--train.steps", 20]
    quick += ["--images", place.faces.with_name("four"), "--refinements", 0]
    assert call(*train_of(place, *quick, *previews)) == 0
    card = read_card(place.root / "new.safetensors")
    assert (card.training["images"], card.training["held_out"]) == (3, 1)
    assert 999 >= (card.t_start or 999) >= card.t_edit >= card.t_boost > 0
    assert f"t_edit {card.t_edit} " in capsys.readouterr().err
    assert picture(place.root / "previews" / "latest.png").ndim == 3
    assert not list(place.root.glob("*checkpoint*"))


def test_a_training_that_was_stopped_continues(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = train_of(place, *QUICK)
    whole = place.root / "whole.safetensors"
    assert call(*words, "--out", whole) == 0
    train_batch = TrainingRun.train_batch

    def stopping(self: TrainingRun, sources: Any, order: Any, at: Any) -> Any:
        if at.batch == 1:
            raise KeyboardInterrupt
        return train_batch(self, sources, order, at)

    monkeypatch.setattr(TrainingRun, "train_batch", stopping)
    assert call(*words) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "asyrp: stopped; run the same command again to continue"
    names = {path.name for path in place.root.iterdir()}
    assert names == {"whole.safetensors", "new.checkpoint.safetensors"}
    monkeypatch.undo()
    assert call(*words) == 0
    assert "continuing from" in capsys.readouterr().err
    assert {p.name for p in place.root.iterdir()} == {"whole.safetensors", "new.safetensors"}
    ours, theirs = load_file(place.root / "new.safetensors"), load_file(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_several_targets_are_learnt_at_once(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--source", "face", "--random", 2, "--out", place.out, *QUICK]
    words += ["--target", "Smiling face", "--target", "person with glasses"]
    previews = place.root / "previews"
    assert call(*words, "--previews", previews) == 0
    names = {path.name for path in place.out.iterdir()}
    assert names == {"smiling-face.safetensors", "person-with-glasses.safetensors"}
    cards = {name: read_card(place.out / name) for name in names}
    assert {card.target for card in cards.values()} == {"Smiling face", "person with glasses"}
    smiling, glasses = (load_file(place.out / name) for name in sorted(names, reverse=True))
    assert not torch.equal(smiling["conv_out.weight"], glasses["conv_out.weight"])
    capsys.readouterr()


def test_what_cannot_be_written_for_several_targets_is_told(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--source", "face", "--random", 2]
    assert call(*words, "--out", place.root / "x.safetensors") == 2
    assert "needed --target TEXT" in capsys.readouterr().err
    words += ["--target", "a smile"]
    assert call(*words, "--target", "a frown", "--out", place.root / "x.safetensors") == 2
    assert "a folder for several targets; got" in capsys.readouterr().err
    assert call(*words, "--target", "A smile!", "--out", place.out) == 2
    assert "two targets would both be written to 'a-smile.safetensors'" in capsys.readouterr().err
    assert call(*words, "--out", place.out) == 2
    assert "--out must be a .safetensors file" in capsys.readouterr().err
    assert not place.out.exists()


def test_bfloat16_trains(place: Place) -> None:
    words = ["train", "--source", "face", "--target", "smiling face", "--random", 2]
    out = place.root / "new.safetensors"
    assert call(*words, "--out", out, "--dtype", "bfloat16", *QUICK) == 0
    saved = load_direction(out, cached_model("avatars-64"))  # and serves the network in float32
    assert {p.dtype for p in saved.direction.parameters()} == {torch.float32}


def test_another_process_of_a_team_needs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one may not have written it yet, or may have deleted it already."""
    monkeypatch.setattr(commands_train, "is_first", lambda: False)
    job: Any = SimpleNamespace(steps=iter(()), goals=[1, 2])
    material: Any = SimpleNamespace(train=[1, 2], validation=[3])
    options: Any = SimpleNamespace(source="a", target=("b", "c"), out=tmp_path / "x")
    found = commands_train._followed(tiny_model(), job, material, options)
    assert found == [{"images": 2, "held_out": 1}] * 2
