"""A judge of questions to a text-image encoder, and `asyrp evaluate` with it."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from asyrp.cli import main
from asyrp.commands.evaluate_report import Result, notes_of, page
from asyrp.errors import AsyrpError
from asyrp.metrics.features import EncoderFeatures
from asyrp.metrics.table import Pictures, Scorers, Wish, judge_edits
from asyrp.metrics.zero_shot import CLIP_SCALE, Questions, ZeroShotJudge, read_questions
from asyrp.options.evaluate import Evaluate
from asyrp.scorers.judge import answers, log_odds, place_of, probabilities
from asyrp.scorers.judge import shown as shown_in
from asyrp.scorers.judge import wanted as wanted_value
from asyrp.scorers.load import load_encoder, same_encoder
from asyrp.storage.images import read_folder, write_png
from conftest import noise
from tiny_folders import save_clip

VALUES = {"light": ("dark", "bright"), "colour": ("red", "green", "blue")}
WORDS = {
    "dark": (-1.0, -1.0, -1.0),
    "bright": (1.0, 1.0, 1.0),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
}
ASKED = {"mouth": ["sad face", "smiling face"], "hair": ["bald person", "person with blonde hair"]}


class Colours:
    """An encoder whose features are the mean colour; it counts what it is given."""

    name, text_common = "colours", 0.0

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.batches: list[int] = []

    def image_features(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        return functional.normalize(images.mean((2, 3)), dim=1)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        self.texts += texts
        return functional.normalize(torch.tensor([WORDS[text] for text in texts]), dim=1)


def plain(*colours: Sequence[float]) -> Tensor:
    """Pictures of one colour each."""
    return torch.tensor(colours)[:, :, None, None].expand(-1, 3, 4, 4)


def zero_shot(scale: float = CLIP_SCALE) -> ZeroShotJudge:
    return ZeroShotJudge(Colours(), Questions("colours", VALUES, scale))


def test_the_nearest_text_is_the_answer() -> None:
    one = zero_shot()
    found = answers(one, plain((0.9, 0.5, 0.1), (-0.2, -0.1, -0.9), (0.1, 0.2, 0.3)))
    assert found["light"].tolist() == [1, 0, 1]
    assert found["colour"].tolist() == [0, 1, 2]
    assert [one.values["colour"][i] for i in found["colour"]] == ["red", "green", "blue"]
    assert wanted_value(one, "colour", "blue") == 2
    assert one.audited == ("light", "colour")
    assert one.name == "zero-shot colours"
    shown = shown_in(one, found, "light", "bright")
    assert list(shown) == ["colour"]
    assert shown["colour"].all()


@pytest.mark.parametrize("scale", [1.0, CLIP_SCALE])
def test_probabilities_are_a_softmax_of_cosines(scale: float) -> None:
    images, one = 0.3 * noise(3, 3, 4, 4) + plain((0.2, 0.3, -0.1)), zero_shot(scale)
    likely = probabilities(one, images)
    for row, image in enumerate(images.double().numpy()):
        seen = image.mean((1, 2))
        for name, texts in VALUES.items():
            weights = []
            for text in texts:
                word = np.array(WORDS[text])
                cosine = seen @ word / math.sqrt(seen @ seen) / math.sqrt(word @ word)
                weights.append(math.exp(scale * cosine))
            wanted = [weight / sum(weights) for weight in weights]
            assert likely[name][row].tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-12)
            for place, text in enumerate(texts):
                others = [weight for at, weight in enumerate(weights) if at != place]
                odds = math.log(weights[place] / sum(others))
                found = log_odds(one, images, name, text)[row]
                assert found == pytest.approx(odds, rel=1e-3, abs=1e-4)


def test_texts_are_encoded_once_and_images_in_batches() -> None:
    encoder = Colours()
    one = ZeroShotJudge(encoder, Questions("colours", VALUES))
    images = noise(130, 3, 2, 2)
    whole = answers(one, images)
    assert answers(one, images[100:])["colour"].tolist() == whole["colour"][100:].tolist()
    assert encoder.texts == [text for texts in VALUES.values() for text in texts]
    assert encoder.batches == [64, 64, 2, 30]


def test_success_and_leakage_follow_its_answers() -> None:
    before = plain((0.9, -0.9, -0.9), (0.5, -0.9, -0.9), (-0.9, -0.9, 0.5))
    after = plain((0.9, 0.5, 0.5), (0.5, 0.6, 0.5), (-0.9, -0.9, 0.5))
    found = judge_edits(Pictures(before, after), zero_shot(), Wish("light", "bright"))
    assert found["success"].tolist() == [1, 1, 0]
    assert found["success_before"].tolist() == [0, 0, 0]
    assert found["leakage"].tolist() == [0, 1, 0]  # the second went from red to green
    assert found["clean"].tolist() == [1, 0, 0]


def test_one_encoder_by_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    assert same_encoder("clip", "openai/clip-vit-base-patch16")
    assert same_encoder("own", str(tmp_path / "own"))
    assert not same_encoder("clip", "avatars-64-clip")


GOOD = {"encoder": "clip", "questions": {"a": ["x", "y"], "b": ["x", "z"]}}


def test_questions_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "judge.json"
    path.write_text(json.dumps({**GOOD, "scale": 8}))
    assert read_questions(path) == Questions("clip", {"a": ("x", "y"), "b": ("x", "z")}, 8.0)
    path.write_text(json.dumps(GOOD))
    assert read_questions(path).scale == CLIP_SCALE
    with pytest.raises(AsyrpError, match="no question about 'c'; it answers for: a, b"):
        place_of(read_questions(path).values, "c", "x")
    with pytest.raises(AsyrpError, match="a has no value 'z' for the judge; it has: 'x', 'y'"):
        place_of(read_questions(path).values, "a", "z")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "must hold a JSON object"),
        ({**GOOD, "model": 1}, "it has 'model', which says nothing here"),
        ({**GOOD, "encoder": ""}, "its encoder must be a name or a folder, got ''"),
        ({"questions": GOOD["questions"]}, "got None"),
        ({**GOOD, "scale": True}, "its scale must be a number"),
        ({**GOOD, "scale": -1}, "its scale must be a number"),
        ({**GOOD, "scale": float("nan")}, "its scale must be a number"),
        ({**GOOD, "scale": 10**400}, "its scale must be a number"),
        ({**GOOD, "questions": {"a": ["x", "y"]}}, "two attributes or more"),
        ({**GOOD, "questions": ["a", "b"]}, "two attributes or more"),
        ({**GOOD, "questions": {"a": ["x", "y"], "b": ["x"]}}, "'b' needs two different texts"),
        ({**GOOD, "questions": {"a": ["x", "x"], "b": ["x", "y"]}}, "'a' needs two different"),
        ({**GOOD, "questions": {"a": ["x", ["y"]], "b": ["x", "y"]}}, "'a' needs two different"),
        ({**GOOD, "questions": {"": ["x", "y"], "b": ["x", "y"]}}, "'' needs two different"),
    ],
)
def test_what_makes_no_judge_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, message: str
) -> None:
    path = tmp_path / "judge.json"
    path.write_text(json.dumps(content))
    line = ["evaluate", "--images", "none", "--edits", "none", "--judge", str(path)]
    assert main([*line, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("judge", "more", "message"),
    [
        ("other", [], "unknown domain 'other'; needed one of: avatars-64"),
        ("judge.json", ["--attribute", "c", "--value", "x"], "no question about 'c'"),
        ("judge.json", ["--attribute", "a", "--value", "z"], "a has no value 'z'"),
        ("broken.json", [], "is not readable JSON"),
    ],
)
def test_a_judge_that_cannot_be_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], judge: str, more: list[str], message: str
) -> None:
    (tmp_path / "judge.json").write_text(json.dumps(GOOD))
    (tmp_path / "broken.json").write_text("{")
    name = str(tmp_path / judge) if judge.endswith("json") else judge
    line = ["evaluate", "--images", "none", "--edits", "none", "--judge", name, *more]
    assert main([*line, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def drawn(root: Path, count: int = 16) -> list[str]:
    """Folders of pictures and of their edits, of another size than the world's."""
    for name, step in (("images", 0.0), ("edits", 0.6)):
        (root / name).mkdir()
        for index in range(count):
            image = 0.5 * noise(3, 40, 32, seed=index) + step * noise(3, 40, 32, seed=7)
            write_png(root / name / f"{index:02d}.png", image.clamp(-1, 1))
    return ["--images", str(root / "images"), "--edits", str(root / "edits")]


def test_evaluate_with_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, clip = tmp_path / "judge.json", save_clip(tmp_path / "clip")
    path.write_text(json.dumps({"encoder": "avatars-64-clip", "questions": ASKED}))
    line = ["evaluate", *drawn(tmp_path), "--judge", str(path)]
    line += ["--attribute", "mouth", "--value", "smiling face", "--leave-out", "lpips"]
    line += ["--leave-out", "diversity", "--encoder", str(clip), "--out", str(tmp_path / "out")]
    assert main(line) == 0
    kept = json.loads((tmp_path / "out" / "table.json").read_text())
    one = ZeroShotJudge(load_encoder("avatars-64-clip"), Questions("", ASKED))
    before, after = (
        answers(one, torch.stack([p.image for p in read_folder(tmp_path / name, (40, 32))]))
        for name in ("images", "edits")
    )
    table = kept["table"]
    assert table["success"]["value"] == np.mean(after["mouth"] == 1)
    assert table["success_before"]["value"] == np.mean(before["mouth"] == 1)
    assert table["leakage"]["value"] == np.mean(before["hair"] != after["hair"])
    assert {"clean", "fid", "kid"} <= set(table)
    assert kept["networks"]["judge"] == "zero-shot avatars-64-clip"
    assert kept["networks"]["features of FID and KID"] == "avatars-64-clip"
    assert "warning" not in kept
    assert "warning" not in capsys.readouterr().err
    page = (tmp_path / "out" / "table.md").read_text()
    assert "features" not in kept  # --encoder is another than the judge's
    assert "the guide that --encoder names" not in page
    assert "scale 100, texts as they are (mouth: sad face | smiling face; hair:" in page


def test_a_judge_that_is_the_guide_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "judge.json"
    path.write_text(json.dumps({"encoder": "avatars-64-clip", "questions": ASKED}))
    line = ["evaluate", *drawn(tmp_path, 2), "--judge", str(path), "--leave-out", "lpips"]
    line += ["--leave-out", "fid", "--leave-out", "diversity", "--out", str(tmp_path / "out")]
    assert main([*line, "--attribute", "hair", "--value", "bald person"]) == 0
    assert "warning: the judge asks avatars-64-clip" in capsys.readouterr().err
    assert "**Warning:** the judge asks" in (tmp_path / "out" / "table.md").read_text()
    assert "the guide too" in json.loads((tmp_path / "out" / "table.json").read_text())["warning"]


@pytest.mark.parametrize(
    ("features", "judge", "asked", "told"),
    [
        ("judge", "none", None, True),
        ("judge", "avatars-64", None, False),
        ("judge", "FILE.json", "avatars-64-clip", True),
        ("judge", "FILE.json", "other", False),
        ("encoder", "avatars-64", None, True),
        ("encoder", "FILE.json", "other", True),
        ("facebook/dinov2-base", "none", None, False),
    ],
)
def test_features_of_the_guide_are_told(
    features: str, judge: str, asked: str | None, told: bool
) -> None:
    options = Evaluate(
        Path("images"), (Path("edits"),), Path("out"), judge=judge, features=features
    )
    questions = None if asked is None else Questions(asked, ASKED)
    scorers = Scorers(features=EncoderFeatures(load_encoder("avatars-64-clip")))
    material = cast(Any, SimpleNamespace(names=["a"], skipped=[], seeds=[0], fitted=0))
    notes = notes_of(options, material, scorers, questions)
    words = "FID and KID compare features of avatars-64-clip, the guide that --encoder names"
    assert (words in notes.get("features", "")) is told
    assert "features" not in notes_of(options, material, Scorers(), questions)
    assert (words in page(Result({}, {}, [], {}, {}, {}, {}), notes)) is told
