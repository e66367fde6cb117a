"""--inversion of invert, edit, train and intervals."""

import json
from pathlib import Path

import numpy as np
import pytest

from asyrp.method.latent_file import load_latents
from places import FEW, QUICK, Place, call, edit_of, picture, train_of

EXACT = ["belm", "bdia", "edict", "ddpm"]


@pytest.mark.parametrize("name", EXACT)
def test_faces_come_back_to_the_last_bit_and_edits_differ(place: Place, name: str) -> None:
    how = [*FEW, "--inversion", name]
    assert call("invert", "--images", place.faces, "--out", place.root / "plain", *how) == 0
    assert load_latents(place.root / "plain" / "latents.safetensors").inversion == name
    told = json.loads((place.root / "plain" / "run.json").read_text())
    assert max(told["reconstruction_mse"].values()) < 1e-9
    still = ["--inversion", name, "--strength", 0, "--t-boost", 0]
    assert call(*edit_of(place, *still)) == 0
    strip = ["--inversion", name, "--t-boost", 0, "--strengths", 0, 1]
    assert call(*edit_of(place, *strip, "--out", place.root / "strip")) == 0
    for i in range(2):
        face = picture(place.faces / f"face{i}.png")
        assert np.array_equal(picture(place.root / "plain" / f"face{i}.png"), face)
        assert np.array_equal(picture(place.out / f"face{i}.png"), face)
        assert np.array_equal(picture(place.root / "strip" / f"face{i}_+0.png"), face)
        edited = picture(place.root / "strip" / f"face{i}_+1.png").astype(int)
        assert abs(edited - face).max() > 20


def test_a_store_keeps_exact_latents_for_the_next_edit(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ["--inversion", "belm", "--store", place.root / "store"]
    words = ["--images", place.faces, "--out", place.root / "plain", *FEW]
    assert call("invert", *words, *how) == 0
    assert "(MSE in [-1, 1]): mean 0.00000, worst 0.00000" in capsys.readouterr().err
    assert call(*edit_of(place, *how, "--strength", 0, "--t-boost", 0)) == 0
    assert "0 of 2 images inverted; the store had the others" in capsys.readouterr().err
    face = picture(place.faces / "face1.png")
    assert np.array_equal(picture(place.out / "face1.png"), face)


@pytest.mark.parametrize("name", ["belm"])
def test_training_begins_where_an_inversion_leads(place: Place, shared: Path, name: str) -> None:
    how = ["--images", shared / "four", "--inversion", name, "--previews", place.root / "seen"]
    words = [*QUICK, *how, "--validation", 1, "--train.validate-every", 1]
    assert call(*train_of(place, *words)) == 0
    assert (place.root / "new.safetensors").exists()
    assert (place.root / "seen" / "latest.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--solver", "second-order"], "are led back by it alone; leave --solver out"),
        (["--inversion", "null-text"], "null-text"),
    ],
)
def test_what_cannot_be_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert call(*edit_of(place, "--inversion", "belm", *words)) == 2
    assert said in capsys.readouterr().err
    assert not place.out.exists()


@pytest.mark.parametrize("more", [["--random", 4], ["--store", "store"]])
def test_training_on_samples_or_from_a_store_is_of_ddim(
    place: Place, capsys: pytest.CaptureFixture[str], more: list[object]
) -> None:
    words = train_of(place, *QUICK, "--inversion", "belm", *more)
    if "--random" in more:
        words = [word for word in words if word not in ("--images", place.faces)]
    assert call(*words) == 2
    assert "--inversion is for --images without --store" in capsys.readouterr().err
