"""asyrp find, end to end on avatars-64, with few faces and steps."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import asyrp.commands.find as commands_find
from asyrp.commands.find import files_of
from asyrp.domains.avatars.avatars import sample_face
from asyrp.finders.base import FoundDirection
from asyrp.method.direction_file import load_direction, read_card
from asyrp.method.directions import GlobalDirection
from asyrp.options.finding import finder_first
from places import FEW, Place, cached_model, call, picture, place_in, results, tree

INTERVAL = ["--t-start", 999, "--t-edit", 700, "--t-boost", 100, "--steps", 4, "--refinements", 0]


@pytest.fixture
def place(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("asyrp.commands.find.EDIT_STEPS", 4)
    monkeypatch.setattr("asyrp.commands.find_data.EDIT_STEPS", 4)
    return place_in(shared, tmp_path, monkeypatch)


def found(place: Place, name: str, *more: object) -> dict[str, Any]:
    """The cards of a search, whose files are all there and usable."""
    assert call("find", "--by", name, "--out", place.out, *INTERVAL, *more) == 0
    cards: dict[str, Any] = json.loads((place.out / "find.json").read_text())["directions"]
    files = {f"{stem}.{kind}" for stem in cards for kind in ("safetensors", "png")}
    assert {*results(place.out)} == files | {"find.json"}
    assert [path.name for path in place.root.iterdir()] == ["out"]  # no unfinished work
    for stem in cards:
        saved = load_direction(place.out / f"{stem}.safetensors", cached_model("avatars-64"))
        assert saved.card.training["finder"] == name
        assert (saved.card.t_start, saved.card.t_edit, saved.card.trained_steps) == (999, 700, 4)
        assert picture(place.out / f"{stem}.png").shape[1] == 5 * 68
    return cards


def test_pca_of_samples_gets_names(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    cards = found(place, "pca", "--random", 3, "--components", 2)
    assert list(cards) == ["pca-1", "pca-2"]
    told = cards["pca-1"]["training"]
    assert told["settings"] == {"components": 2, "over": "joint"}
    assert told["data"] == {"images": 3, "left_out": 0, "samples": 3}
    assert 0 < told["explains"]["variance"] < 1
    assert told["name"]["images"] == 3
    for near in told["name"]["plus"]:
        assert near["low"] <= near["high"]
    assert "pca-1: " in capsys.readouterr().err
    one = place.out / "pca-1.safetensors"
    again = place.root / "edits"
    assert call("edit", "--images", place.faces, "--direction", one, "--out", again, *FEW) == 0


def test_labels_of_a_csv(place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faces = place.faces.with_name("ten")
    if not faces.is_dir():
        import shutil

        faces.mkdir()
        for i in range(10):
            shutil.copy(place.faces / f"face{i % 2}.png", faces / f"face{i}.png")
    rows = [f"face{i}.png,{'yes' if i % 2 else 'no'}\n" for i in range(9)]
    table = faces.with_suffix(".csv")
    table.write_text("file_name,smile\n" + "".join(rows))
    words = ("--images", faces, "--labels", table, "--attribute", "smile", "--value")
    cards = found(place, "labels", *words, "yes")
    (card,) = cards.values()
    assert (card["source"], card["target"]) == ("not yes", "yes")
    assert card["training"]["explains"]["images"] == {"without": 5, "with": 4}
    assert card["training"]["data"]["left_out"] == 1
    assert card["training"]["settings"]["labels"] == "ten.csv"
    assert "1 images have no label, such as 'face9.png'" in capsys.readouterr().err
    base = ["find", "--by", "labels", "--out", place.root / "x", *INTERVAL]
    assert call(*base, *words, "perhaps") == 2
    assert "no image has the value 'perhaps' of smile; there are: 'no', 'yes'" in (
        capsys.readouterr().err
    )


def test_labels_of_the_judge(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["find", "--by", "labels", "--images", place.faces, "--labels", "avatars-64"]
    words += ["--out", place.out, *INTERVAL, "--attribute", "mouth", "--value"]
    assert call(*words, "smiling") == 2
    said = capsys.readouterr().err
    faces = [sample_face("test", i).label("mouth") == "smiling" for i in range(2)]
    assert f"got {sum(faces)} with it and {2 - sum(faces)} without it" in said
    assert call(*words, "purple") == 2
    assert not place.out.exists()


def test_jacobian_of_one_image_with_a_mask(place: Place) -> None:
    mask = place.faces / "face0.png"
    words = ("--components", 1, "--timesteps", 1, "--iterations", 1, "--mask", mask)
    cards = found(place, "jacobian", "--images", place.faces / "face1.png", *words)
    told = cards["jacobian-1"]["training"]
    assert told["explains"]["singular_values"]["999"] > 0
    assert told["settings"]["mask"] == "face0.png"
    assert "name" not in told  # one image has no interval


def test_pairs_and_compose(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    cards = found(place, "pairs", "--images", place.faces, "--after", place.faces.with_name("four"))
    told = cards["pairs"]["training"]["explains"]
    assert told["pairs"] == 2
    assert max(told["alike"].values()) == 0  # the same two faces twice
    pairs = place.out / "pairs.safetensors"
    composed = place.root / "composed"
    words = ["--directions", f"{place.direction}:0.5", f"{pairs}:-1", "--without", pairs]
    words += ["--polygon", 0, 0, 1, 0, 1, 0.5, 0, 0.5, "--out", composed, "--refinements", 0]
    assert call("find", "--by", "compose", "--random", 2, "--steps", 4, *words) == 0
    card = read_card(composed / "composed.safetensors")
    assert (card.t_start, card.t_edit, card.t_boost) == (999, 400, 100)
    assert card.training["explains"]["masked"]
    saved = load_direction(composed / "composed.safetensors", cached_model("avatars-64"))
    half = next(iter(saved.direction.table.values()))
    assert half[:, :4].abs().max() > 0
    assert half[:, 5:].abs().max() < 1e-6
    capsys.readouterr()
    words = ["--out", place.root / "y", "--directions", place.direction, "--steps", 4]
    assert call("find", "--by", "compose", *words) == 2
    assert "an f_t depends on the image" in capsys.readouterr().err


def test_clip_and_amortised(place: Place) -> None:
    quick = ["--images", place.faces, "--train.epochs", 1, "--train.batch-size", 2]
    words = ["--source", "face", "--target", "smiling face", "--train.validate-every", 0]
    words += ["--train.region", 0, 0, 1, 0, 1, 1]
    card = found(place, "clip", *quick, *words)["clip"]
    assert (card["source"], card["target"]) == ("face", "smiling face")
    assert card["encoder"] == "avatars-64-clip"
    assert card["region"] == [0, 0, 1, 0, 1, 1]
    assert 0 < card["text_cosine"] < 1
    for path in place.out.iterdir():
        path.unlink()
    place.out.rmdir()
    texts = place.faces.with_name("texts.csv")
    texts.write_text("source,target\nface,sad face\nperson,bald person\n")
    ask = ["--ask", "face:smiling face", "face:sad face"]
    cards = found(place, "amortised", *quick, "--texts", texts, *ask)
    assert list(cards) == ["smiling-face", "sad-face"]
    told = [one["training"]["explains"]["trained_on"] for one in cards.values()]
    assert told == [False, True]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "pca"], "--by pca needs --images DIR or --random N"),
        (["--by", "pca", "--random", 2, "--images", "x"], "needed one of them"),
        (["--by", "pairs", "--random", 2, "--after", "x"], "--by pairs needs --images DIR"),
        (["--by", "compose", "--directions"], "needs --directions FILE"),
        (["--by", "pca", "--random", 2, "--t-edit", 50, "--t-boost", 90], "t_boost 90 > t_edit 50"),
        (["--by", "clip", "--random", 2, "--source", "a", "--target", "b", "--train.steps", 9],
         "leave --train.steps out"),
    ],
)  # fmt: skip
def test_what_cannot_be_found_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str], words: list[object], said: str
) -> None:
    assert call("find", *words, "--out", place.out) == 2
    assert said in capsys.readouterr().err
    assert tree(place.root) == {}


def test_a_search_that_was_stopped_goes_on(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["find", "--by", "pca", "--random", 3, "--components", 1, *INTERVAL]
    assert call(*words, "--out", place.root / "whole") == 0
    write = commands_find.write

    def stopping(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands_find, "write", stopping)
    assert call(*words, "--out", place.out) == 2
    assert (place.root / "out.unfinished").is_dir()
    monkeypatch.setattr(commands_find, "write", write)
    assert call(*words, "--out", place.out) == 0
    assert "continuing with what" in capsys.readouterr().err
    assert not (place.root / "out.unfinished").exists()
    files = [place.root / name / "pca-1.safetensors" for name in ("out", "whole")]
    ours, theirs = map(load_file, files)
    assert all(torch.equal(ours[t], theirs[t]) for t in theirs)
    assert read_card(files[0]) == read_card(files[1])


def test_by_may_stand_anywhere() -> None:
    wanted = ["find", "pca", "--out", "x", "--components", "2"]
    for argv in (
        ["find", "--by", "pca", "--out", "x", "--components", "2"],
        ["find", "--out", "x", "--by=pca", "--components", "2"],
        ["find", "--out", "x", "--components", "2", "--by", "pca"],
        wanted,
    ):
        assert finder_first(argv) == wanted
    assert finder_first(["edit", "--by", "pca"]) == ["edit", "--by", "pca"]
    assert finder_first(["find", "--by"]) == ["find", "--by"]


def test_files_are_named_after_directions_and_numbered() -> None:
    blank = GlobalDirection(torch.zeros(1, 1, 1))
    names = ["a/b", "a b", "../..", "a-b", "pca-1"]
    found = [FoundDirection(name, blank, {}) for name in names]
    assert files_of(found) == ["a-b", "a-b--2", "direction", "a-b--3", "pca-1"]
