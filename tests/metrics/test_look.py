"""evaluate's scale, its page for people, and what they answered beside the judge."""

import json
import re
from pathlib import Path

import pytest

from asyrp.cli import main

pytest.importorskip("resvg_py")

from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.storage.images import from_uint8, write_png

COUNT = 18
CHANGED = {"images": {}, "perfect": {"mouth": "smiling"}, "wrong": {"hair_color": "blue"}}
LINE = ["evaluate", "--attribute", "mouth", "--value", "smiling"]
LINE += [word for name in ("lpips", "diversity", "sc") for word in ("--leave-out", name)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces that do not smile, those that do, others with blue hair; of `edits` the first half."""
    place, numbers = tmp_path_factory.mktemp("faces"), range(200)
    faces = [sample_face("test", number) for number in numbers]
    faces = [f for f in faces if f.label("mouth") != "smiling" and f.label("hair_color")][:COUNT]
    for name, factors in CHANGED.items():
        (place / name).mkdir()
        for row, face in enumerate(faces):
            shown = face
            for factor, value in factors.items():
                shown = shown.replaced(factor, value)
            write_png(place / name / f"{row:02d}.png", from_uint8(draw(shown)[None])[0])
    (place / "edits").mkdir()
    for row in range(COUNT):
        source = place / ("perfect" if row < COUNT // 2 else "images") / f"{row:02d}.png"
        (place / "edits" / source.name).write_bytes(source.read_bytes())
    return place


def evaluated(root: Path, out: Path, *more: object) -> tuple[dict[str, object], str]:
    words = [*LINE, "--images", root / "images", "--edits", root / "edits", "--out", out, *more]
    assert main([str(word) for word in words]) == 0
    return json.loads((out / "table.json").read_text()), (out / "table.md").read_text()


def test_every_measure_has_its_scale_and_no_change_is_no_score(root: Path, tmp_path: Path) -> None:
    ends = ["--perfect", root / "perfect", "--wrong", root / "wrong"]
    kept, page = evaluated(root, tmp_path / "out", *ends)
    lines = kept["lines"]
    assert lines["a perfect edit"]["success"]["value"] == 1  # type: ignore[index]
    assert lines["no edit"]["success"]["value"] == 0  # type: ignore[index]
    assert lines["a wrong edit"]["leakage"]["value"] > 0  # type: ignore[index]
    scored, unscored = page.split("No scores, since a perfect edit is not the best by them:")
    assert "| success | " in scored
    assert "| identity | " in unscored  # no change at all keeps it best
    assert "| fid | " in scored  # taken to the perfect edits, it does not punish success
    assert "Wilson" in page
    assert "bootstrap" not in page
    _, alone = evaluated(root, tmp_path / "alone")
    assert "| metric | mean [95 % interval] | no edit | images |" in alone
    assert "No scores" not in alone


def test_answers_of_people_are_compared_with_the_judge(root: Path, tmp_path: Path) -> None:
    evaluated(root, tmp_path / "first")
    page = (tmp_path / "first" / "look.html").read_text()
    assert page.count("<li ") == COUNT
    assert "data-vote" in page
    assert "MutationObserver" in page  # its script is with it
    order = [int(face) for face in re.findall(r'data-face="(\d+)"', page)]
    assert sorted(order) == list(range(COUNT))
    assert order != sorted(order)
    answers = [{"face": f, "answer": "good" if f < COUNT // 2 else "bad"} for f in range(COUNT)]
    answers[0]["answer"] = "unsure"
    answers[1]["answer"] = "bad"  # the only one on which the judge differs
    file = tmp_path / "answers.json"
    file.write_text(json.dumps({"answers": answers}))
    kept, told = evaluated(root, tmp_path / "second", "--answers", file)
    people = kept["people"]
    assert people["answered"] == COUNT - 1  # type: ignore[index]
    assert people["agreement"]["value"] == pytest.approx(16 / 17)  # type: ignore[index]
    assert people["kappa"] == pytest.approx(1 - (1 / 17) / (1 - (8 * 7 + 9 * 10) / 17**2))  # type: ignore[index]
    assert "Cohen's kappa 0.88" in told


def test_two_methods_are_judged_blind(root: Path, tmp_path: Path) -> None:
    other = ["--against", root / "images"]
    evaluated(root, tmp_path / "first", *other)
    page = (tmp_path / "first" / "look.html").read_text()
    lefts = re.findall(r'data-left="([AB])"', page)
    assert len(lefts) == COUNT
    assert set(lefts) == {"A", "B"}  # sides at random
    answers = [{"face": f, "answer": "A" if f < COUNT // 2 else "neither"} for f in range(COUNT)]
    file = tmp_path / "answers.json"
    file.write_text(json.dumps({"answers": answers}))
    kept, _ = evaluated(root, tmp_path / "second", *other, "--answers", file)
    people = kept["people"]
    assert people["of_people"]["A"]["value"] == 0.5  # type: ignore[index]
    assert people["agreement"]["value"] > 0.8  # type: ignore[index]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"answers": [{"face": 99, "answer": "good"}]}, "about faces 0 to 17"),
        ({"answers": [{"face": 1, "answer": "A"}, {"face": 2, "answer": "B"}]}, "has 1: A"),
        ({"answers": [{"face": 1, "answer": "unsure"}]}, "has fewer"),
        ({}, "holds no answers of a look.html"),
    ],
)
def test_answers_of_other_edits_are_refused(
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: dict[str, object],
    message: str,
) -> None:
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(content))
    words = ["--images", root / "images", "--edits", root / "edits", "--out", tmp_path / "out"]
    assert main([*LINE, *map(str, words), "--answers", str(file)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "table.md").exists()
