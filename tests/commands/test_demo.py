"""The demo with few faces: it must write what it promises, whatever the numbers are."""

import base64
import io
import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asyrp.cli import main
from asyrp.commands.demo import check, wanted_tasks
from asyrp.commands.demo import test_images as lacking_images
from asyrp.commands.demo_directions import write_training_images as draw_faces
from asyrp.domains.avatars.avatars import FACTORS, sample_face
from asyrp.domains.avatars.domain import TASKS
from asyrp.domains.base import Domain, load_domain
from asyrp.errors import AsyrpError
from asyrp.method.direction_file import read_card
from asyrp.options import Demo
from places import results

PROMISED = {"success_before", "success_after", "leakage", "leakage_reconstruction"}
PROMISED |= {"perceptual_distance"}
FEW = ["--train-images", "8", "--validation-images", "4", "--test-images", "4"]


@pytest.fixture(scope="module")
def domain() -> Domain:
    pytest.importorskip("resvg_py")
    return load_domain("avatars-64")


def test_the_demo_edits_faces_of_the_test_split_that_lack_the_value(domain: Domain) -> None:
    drawn = partial(domain.images, "test")
    found = lacking_images(domain, TASKS["smiling"], 8, drawn)
    assert (found.split, len(found.numbers)) == ("test", 8)
    faces = [sample_face("test", number) for number in found.numbers]
    assert all(face.label("mouth") not in (None, "smiling") for face in faces)
    first = next(i for i in range(100) if sample_face("test", i).values["mouth"] != "smiling")
    assert found.numbers[0] == first
    hidden = lacking_images(domain, TASKS["closed"], 8, drawn)
    shown = [sample_face("test", number).values["eyewear"] for number in hidden.numbers]
    assert "sunglasses" not in shown


def test_an_edit_that_is_no_task_is_asked_for_in_words(domain: Domain) -> None:
    asked = Demo(task=("smiling",), target="person with a beard", factor="mouth", value="sad")
    (task,) = wanted_tasks(domain, asked)
    assert (task.source, task.target) == ("face", "person with a beard")
    assert (task.attribute, task.value) == ("mouth", "sad")
    assert wanted_tasks(domain, Demo(task=("bald", "blue"))) == [TASKS["bald"], TASKS["blue"]]


def test_words_change_one_edit_alone() -> None:
    with pytest.raises(AsyrpError, match="change one --task"):
        check(Demo(task=("bald", "red"), target="old person"))


def test_a_precision_that_trains_nothing_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    line = ["demo", "--domain", "avatars-64", "--task", "smiling", "--out", str(out), "--anew"]
    assert main([*line, "--dtype", "float16"]) == 2
    assert "gradients are too small for float16" in capsys.readouterr().err
    assert not out.exists()


def test_the_demo_replaces_its_own_faces_only(domain: Domain, tmp_path: Path) -> None:
    draw_faces(domain, tmp_path, Demo(train_images=3, validation_images=1))
    assert len(results(tmp_path)) == 4
    draw_faces(domain, tmp_path, Demo(train_images=1, validation_images=1))
    assert results(tmp_path) == ["train-00000.png", "validation-00000.png"]
    (tmp_path / "train-00000.png").write_bytes(b"mine since")
    with pytest.raises(AsyrpError, match="holds pictures that no demo drew"):
        draw_faces(domain, tmp_path, Demo(train_images=1, validation_images=1))
    assert (tmp_path / "train-00000.png").read_bytes() == b"mine since"


def test_the_demo_leaves_pictures_of_others_alone(domain: Domain, tmp_path: Path) -> None:
    photo = tmp_path / "train-00007.png"
    photo.write_bytes(b"a photograph")
    with pytest.raises(AsyrpError, match="holds pictures that no demo drew"):
        draw_faces(domain, tmp_path, Demo(train_images=1, validation_images=1))
    assert list(tmp_path.iterdir()) == [photo]


@pytest.mark.slow
def test_a_demo_that_trains_writes_its_report(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    out = tmp_path / "demo"
    asked = ["--domain", "avatars-64", "--task", "smiling", "--anew", *FEW, "--train.epochs", "1"]
    assert main(["demo", "--out", str(out), *asked]) == 0
    report = json.loads((out / "report.json").read_text())
    (edit,) = report["edits"]
    assert edit.keys() >= PROMISED
    shares = ["success_before", "success_after", "leakage", "leakage_reconstruction"]
    assert all(0 <= edit[name] <= 1 for name in shares)
    assert edit["perceptual_distance"] > 0
    assert edit["reconstruction_mse"] < 0.01
    assert edit["t_edit"] >= edit["t_boost"] >= 0
    assert report["seconds"]["total"] == pytest.approx(
        sum(v for k, v in report["seconds"].items() if k != "total"), abs=0.1
    )
    assert edit["test_images"] == 4
    assert edit["leakage_by_attribute"].keys() == set(FACTORS) - {"mouth"}
    card = read_card(out / "smiling.safetensors")
    assert (card.target, card.t_edit) == ("smiling face", edit["t_edit"])
    assert_page(out, edit["success_after"])


@pytest.mark.slow
def test_a_demo_of_what_ships_edits_samples_and_a_photograph(tmp_path: Path) -> None:
    pytest.importorskip("dlib")
    photo = Path(__file__).parents[2] / "docs/images/photographs/astronaut.jpg"
    asked = ["--task", "serious", "--photo", str(photo), "--test-images", "2"]
    assert main(["demo", "--out", str(tmp_path / "demo"), *asked]) == 0
    with Image.open(tmp_path / "demo/photograph.png") as made, Image.open(photo) as given:
        assert made.size == (2 * given.width, given.height)
        before, after = np.split(np.asarray(made).astype(int), 2, axis=1)
    changed = np.abs(after - before).max(axis=2) > 12
    assert 0.001 < changed.mean() < 0.1  # of the whole photograph: in the face alone


def assert_page(out: Path, success: float) -> None:
    """One page with its pictures inside: faces, strengths and curves."""
    page = (out / "report.html").read_text()
    assert "face → smiling face" in page
    assert f"{100 * success:.1f} % after it" in page
    assert "http" not in page  # it needs nothing beside it
    inside = re.findall(r"data:image/png;base64,([^']+)'", page)
    names = ["faces.png", "strip.png", "curves.png"]
    for data, name in zip(inside, names, strict=True):
        assert base64.b64decode(data) == (out / "smiling" / name).read_bytes()
        with Image.open(io.BytesIO(base64.b64decode(data))) as opened:
            assert np.asarray(opened).std() > 10
    for word in ("Strengths -1.0, -0.5, 0.0, 0.5, 1.0, 1.5.", "LPIPS curves", "t_edit"):
        assert word in page
