"""Every command, end to end on avatars-64, with few faces and steps."""

import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from asyrp.domains.avatars.avatars import FACTORS, draw, sample_face
from asyrp.method.direction_file import read_card
from asyrp.method.latent_file import load_latents
from asyrp.storage.outputs import WRITTEN
from places import (
    FEW,
    Place,
    call,
    edit_of,
    picture,
    results,
    tree,
)


def test_invert_writes_latents_reconstructions_and_the_record(place: Place) -> None:
    assert call("invert", "--images", place.faces, "--out", place.out, *FEW) == 0
    names = ["face0.png", "face1.png"]
    written = results(place.out)
    assert written == [*names, "latents.safetensors", "run.json"]
    latents = load_latents(place.out / "latents.safetensors")
    assert latents.x.shape == (2, 3, 64, 64)
    assert (latents.names, latents.steps) == (tuple(names), 4)
    run = json.loads((place.out / "run.json").read_text())
    assert run["reconstruction_mse"] == dict(zip(names, latents.errors, strict=True))
    assert run["network"]["fingerprint"] == latents.fingerprint
    assert torch.__version__.startswith(run["versions"]["torch"])  # a build may add its own
    worst = max(latents.errors)
    for name, error in zip(names, latents.errors, strict=True):
        before = picture(place.faces / name).astype(float)
        after = picture(place.out / name).astype(float)
        mse = ((before - after) ** 2).mean() / 127.5**2
        assert mse == pytest.approx(error, abs=0.02 * worst)  # clipped to 0..255


def test_edit_writes_a_picture_an_input(place: Place) -> None:
    assert call(*edit_of(place)) == 0
    assert sorted(p.name for p in place.out.glob("*.png")) == ["face0.png", "face1.png"]
    run = json.loads((place.out / "run.json").read_text())
    assert run["directions"] == [asdict(read_card(place.direction)) | {"region": []}]
    assert run["t_boost"] == 200
    with Image.open(place.out / "face0.png") as edited:
        assert "face -> odd face" in edited.text["Edit"]
        assert "asyrp" in edited.text["Software"]
        assert edited.size == (64, 64)


def test_several_directions_add_up(place: Place) -> None:
    words = ["edit", "--images", place.faces, *FEW]
    twice = ["--direction", f"{place.direction}:0.3", "--direction", f"{place.direction}:0.2"]
    assert call(*words, *twice, "--out", place.out) == 0
    assert call(*words, "--direction", f"{place.direction}:0.5", "--out", place.root / "b") == 0
    ours, theirs = (picture(f / "face0.png").astype(int) for f in (place.out, place.root / "b"))
    assert abs(ours - theirs).max() <= 1


def test_strength_zero_is_the_reconstruction_and_batches_do_not_matter(place: Place) -> None:
    still = ["--strength", 0, "--t-boost", 0]
    assert call("invert", "--images", place.faces, "--out", place.root / "plain", *FEW) == 0
    assert call(*edit_of(place, *still)) == 0
    assert call(*edit_of(place, "--out", place.root / "one", "--batch-size", 1, *still)) == 0
    assert call(*edit_of(place, "--out", place.root / "more")) == 0
    for i in range(2):
        plain = picture(place.root / "plain" / f"face{i}.png")
        assert np.array_equal(picture(place.out / f"face{i}.png"), plain)
        one = picture(place.root / "one" / f"face{i}.png").astype(int)
        assert abs(one - plain).max() <= 1
        assert abs(picture(place.root / "more" / f"face{i}.png").astype(int) - plain).max() > 20


def test_strengths_multiply(place: Place) -> None:
    words = ["edit", "--images", place.faces, *FEW, "--direction"]
    once = [f"{place.direction}:-0.5", "--strength", 0.5, "--out", place.out]
    assert call(*words, *once) == 0
    assert call(*words, place.direction, "--strength", -0.25, "--out", place.root / "b") == 0
    for i in range(2):
        ours, theirs = (picture(f / f"face{i}.png") for f in (place.out, place.root / "b"))
        assert np.array_equal(ours, theirs)


def argv_of(options: Mapping[str, Any]) -> list[str]:
    """The command line that gives the options of a run.json."""
    words = []
    for key, value in options.items():
        name = f"--{key.replace('_', '-')}"
        if isinstance(value, dict):
            words += argv_of(value)
        elif isinstance(value, bool):
            words.append(name if value else name.replace("--", "--no-"))
        elif isinstance(value, list):
            words += [word for item in value for word in (name, str(item))]
        elif value is not None:
            words += [name, str(value)]
    return words


@pytest.mark.parametrize("command", ["edit", "sample", "invert"])
def test_the_record_repeats_the_run(place: Place, command: str) -> None:
    words = {
        "edit": edit_of(place, "--seed", 5, "--strength", 0.7, "--t-boost", 350),
        "sample": ["sample", "--out", place.out, "--count", 2, *FEW, "--direction",
                   f"{place.direction}:0.5", "--seed", 9],
        "invert": ["invert", "--images", place.faces, "--out", place.out, *FEW, "--convention",
                   "target", "--refinements", 0],
    }  # fmt: skip
    assert call(*words[command]) == 0
    first = tree(place.out)
    run = json.loads((place.out / "run.json").read_text())
    assert run["command"] == command
    shutil.rmtree(place.out)
    assert call(command, *argv_of(run["options"])) == 0
    second = tree(place.out)
    latents = place.out / "latents.safetensors"
    if latents in first:  # the order of a safetensors header is not fixed
        assert len(first.pop(latents)) == len(second.pop(latents))
        del first[place.out / WRITTEN], second[place.out / WRITTEN]
    assert first == second


def test_sample_writes_samples_and_a_sheet(place: Place) -> None:
    for _ in range(2):  # into an empty folder, and over what is there
        assert call("sample", "--out", place.out, "--count", 3, *FEW, "--seed", 1) == 0
    names = ["0000.png", "0001.png", "0002.png", "run.json", "sheet"]
    assert results(place.out) == names
    assert picture(place.out / "sheet" / "sheet.png").shape == (68, 3 * 68, 3)
    assert call("sample", "--out", place.root / "b", "--count", 2, *FEW, "--seed", 1) == 0
    first = (picture(folder / "0001.png").astype(int) for folder in (place.out, place.root / "b"))
    assert abs(np.subtract(*first)).max() <= 1


@pytest.mark.parametrize("command", ["edit", "strengths", "sample", "invert", "gather", "world"])
def test_pictures_of_an_earlier_run_stay_and_are_told(
    place: Place, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    read = ["--images", place.faces, "--out", place.out]
    words = {
        "edit": edit_of(place),
        "strengths": edit_of(place, "--strengths", 0.5, 1),
        "sample": ["sample", "--out", place.out, "--count", 2, *FEW],
        "invert": ["invert", *read, *FEW],
        "gather": ["gather", *read],
        "world": ["world", "draw", "--out", place.out, "--count", 2],
    }[command]
    told = []
    for name in ("", "", "old.JPG", "more.png"):
        if name:
            (place.out / name).write_bytes(b"mine")
        assert call(*words) == 0
        told.append([line for line in capsys.readouterr().err.splitlines() if "other" in line])
    assert told[:2] == [[], []]  # an empty folder; and the same pictures again
    assert [len(lines) for lines in told[2:]] == [1, 1]
    assert "held other pictures before: 1, such as 'old.JPG'" in told[2][0]
    assert "held other pictures before: 2, such as 'more.png'" in told[3][0]
    assert (place.out / "old.JPG").read_bytes() == b"mine"


def test_samples_are_read_as_they_are_and_edited_ones_say_so(place: Place) -> None:
    words, edited = ["sample", "--count", 3, *FEW], place.root / "edited"
    assert call(*words, "--out", place.out) == 0
    assert call(*words, "--direction", f"{place.direction}:0.5", "--out", edited) == 0
    with Image.open(place.out / "0000.png") as plain:
        assert plain.text == {}
    with Image.open(edited / "0000.png") as one:
        assert one.text == {"Software": "edited with asyrp", "Edit": "['face -> odd face']"}
    measure = ["evaluate", "--images", place.out, "--edits", edited, "--out", place.root / "table"]
    assert call(*measure, "--leave-out", "fid") == 0
    assert json.loads((place.root / "table" / "table.json").read_text())["images"] == 3


def test_the_sheet_holds_every_sample(place: Place) -> None:
    assert call("sample", "--out", place.out, "--count", 10, *FEW) == 0
    sheet, last = picture(place.out / "sheet" / "sheet.png"), picture(place.out / "0009.png")
    assert sheet.shape == (2 * 68, 8 * 68, 3)
    assert np.array_equal(sheet[70:134, 70:134], last)
    assert (sheet[68:, 2 * 68 :] == 255).all()


def test_inspect_says_what_a_thing_is(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("invert", "--images", place.faces, "--out", place.out, *FEW) == 0
    capsys.readouterr()
    facts = {}
    for what in (place.direction, place.out / "latents.safetensors", "avatars-64"):
        assert call("inspect", what) == 0
        said = capsys.readouterr()
        assert said.err == ""
        facts[str(what)] = dict(line.split(None, 1) for line in said.out.splitlines() if line)
    direction, latents, network = facts.values()
    assert direction["target"] == "odd face"
    assert direction["t_edit"] == "400"
    assert latents["latents"] == "2 of shape (3, 64, 64)"
    assert network["h"] == "(128, 8, 8)"
    assert direction["fingerprint"] == latents["fingerprint"] == network["fingerprint"]


def test_intervals_writes_the_curves(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["--source", "face", "--target", "smiling face"]
    limits = ["--threshold-edit", 0.05, "--threshold-boost", 0.3]
    words = ["intervals", "--images", place.faces, *texts, "--out", place.out, "--steps", 6]
    assert call(*words, *limits) == 0
    found = json.loads((place.out / "intervals.json").read_text())
    assert found["times"] == [0, 199, 399, 599, 799, 999]
    assert found["t_start"] >= found["t_edit"]["t"] >= found["t_boost"]["t"]
    assert found["t_edit"]["t"] in found["times"]
    assert found["thresholds"]["edit"] == 0.05
    assert len(found["x0"]) == len(found["xt"]) == 6
    assert found["distance"] == "st-lpips-alex"
    assert picture(place.out / "curves.png").shape[2] in (3, 4)
    assert f"t_edit {found['t_edit']['t']} " in capsys.readouterr().err


def test_a_threshold_that_is_never_reached_says_what_to_do(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["intervals", "--images", place.faces, "--source", "face", "--target", "sad face"]
    assert call(*words, "--out", place.out, "--steps", 4, "--threshold-edit", 9) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("asyrp: no t_edit: the threshold ")
    assert "is never reached" in last
    assert not place.out.exists()


def test_unknown_words_are_named_in_a_warning_of_one_line(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["intervals", "--images", place.faces, "--source", "face", "--target"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert call(*words, "smilling wizard", "--out", place.out, "--steps", 1) == 2
        assert call(*words, "smiling wizard", "--out", place.out, "--steps", 1) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("asyrp: avatars-64-clip knows no word of 'smilling wizard'")
    assert "smiling" in lines[0]
    warned = [line for line in lines if line.startswith("asyrp: warning: ")]
    assert len(warned) == 1
    assert "of 'smiling wizard' out: wizard; words it knows include" in warned[0]


def test_bfloat16_edits_with_a_direction_of_float32(place: Place) -> None:
    low = ["--dtype", "bfloat16", "--t-boost", 0]
    assert call(*edit_of(place, *low)) == 0
    assert call(*edit_of(place, "--t-boost", 0, "--out", place.root / "float32")) == 0
    still = ["--strength", 0, "--out", place.root / "plain"]
    assert call(*edit_of(place, "--t-boost", 0, *still)) == 0
    for i in range(2):
        rounded, exact, plain = (
            picture(folder / f"face{i}.png").astype(float)
            for folder in (place.out, place.root / "float32", place.root / "plain")
        )
        assert abs(rounded - exact).mean() < 0.25 * abs(exact - plain).mean()
    for command in (["invert", "--images", place.faces], ["sample", "--count", 1]):
        out = ["--out", place.root / command[0], "--dtype", "bfloat16"]
        assert call(*command, *out, *FEW) == 0


def test_world_draws_faces_with_labels(place: Place) -> None:
    assert call("world", "draw", "--out", place.out, "--count", 2, "--split", "test") == 0
    labels = json.loads((place.out / "labels.json").read_text())
    for index in range(2):
        face = sample_face("test", index)
        assert np.array_equal(picture(place.out / f"0000{index}.png"), draw(face))
        assert labels[f"0000{index}"] == {factor: face.label(factor) for factor in FACTORS}
