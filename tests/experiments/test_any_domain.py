"""compare, studies, evaluate and demo on domains that are not built in: the same code."""

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from asyrp.experiments.studies.catalogue import Study
from asyrp.experiments.studies.common import Numbers, StudyContext, Verdict
from asyrp.metrics.calibration import LINES
from asyrp.reporting.figures import new_figure
from own_domain import FILE, write_own
from places import call

SOURCE = Path(__file__).parents[2] / "src" / "asyrp"
FEW = ["--test-faces", "16", "--pool", "24", "--train-faces", "3", "--validation-faces", "4"]
FEW += ["--steps", "4", "--train.steps", "4", "--train.epochs", "1", "--train.batch-size", "2"]
FEW += ["--rates", "1"]
ALONE = ["--workers", "1"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own(tmp_path_factory.mktemp("domain"))


def compare(domain: object, out: Path, *more: str) -> int:
    return call("compare", "--domain", str(domain), "--out", str(out), *FEW, *more)


def _measure(context: StudyContext) -> dict[str, Any]:
    return {"images": len(context.test_images().numbers), "interval": context.first.interval.t_edit}


def _plot(numbers: Numbers) -> Figure:
    figure, (axes,) = new_figure()
    axes.plot([numbers["images"]])
    return figure


def _verdict(numbers: Numbers) -> Verdict:
    return Verdict("Images can be counted", numbers["images"] == 2, f"{numbers['images']} images.")


toy = Study("Counting", _measure, _plot, _verdict)


def test_methods_are_compared_on_a_file(own: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    chosen = ["--methods", "asyrp", "diffusionclip"]
    assert compare(own, out, *chosen, "--workers", "2") == 0
    page, table = (out / "table.md").read_text(), json.loads((out / "table.json").read_text())
    assert set(table) >= {"asyrp sad", "diffusionclip sad"}  # and the lines of a scale, by chance
    assert len(table["asyrp sad"]["numbers"]) == 16
    assert {"success", "leakage", "s_dir", "lpips"} <= table["asyrp sad"]["values"].keys()
    assert "Left out: classifier guidance (own gives no labels)" in page
    assert (out / "edits-sad.png").stat().st_size > 2000
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "stages").glob("*.json")}
    assert compare(own, out, *chosen, *ALONE) == 0  # nothing is worked again
    again = {path.name: path.stat().st_mtime_ns for path in (out / "stages").glob("*.json")}
    assert again == kept


def test_without_a_judge_the_guide_tunes(own: Path, tmp_path: Path) -> None:
    text = FILE.partition("[judge]")[0] + FILE[FILE.index("[[tasks]]") :]
    text = text.replace('attribute = "mouth"\nvalue = "sad face"\n', "")
    bare = own.parent / "bare.toml"
    bare.write_text(text)
    assert compare(bare, tmp_path / "out", "--methods", "asyrp", *ALONE) == 0
    page = (tmp_path / "out" / "table.md").read_text()
    assert "Without a judge success and leakage are not measured" in page
    assert "highest S_dir minus LPIPS wins" in page
    assert call("study", "linearity", "--domain", str(bare), "--out", str(tmp_path), *FEW) == 2


@pytest.mark.parametrize("name", ["linearity", "consistency", f"{__name__}:toy"])
def test_a_study_on_a_file(own: Path, tmp_path: Path, name: str) -> None:
    words = ["study", name, "--domain", str(own), "--out", str(tmp_path), "--faces", "2"]
    assert call(*words, *FEW, *ALONE) == 0
    kept = json.loads((tmp_path / f"{name.replace(':', '.')}.json").read_text())
    assert kept["numbers"]["domain"] == "own"
    assert kept["numbers"]["judge"].startswith("zero-shot")
    assert kept["verdict"]["claim"]


def test_every_method_runs_on_shapes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = ["--methods", "asyrp", "sdedit", "swap", "--tasks", "red"]
    words = ["--pool", "40", "--validation-faces", "24"]
    assert compare("shapes.domain", out, *more, *words, *ALONE) == 0
    table = json.loads((out / "table.json").read_text())
    lines = {f"{line} red" for line in LINES}
    assert set(table) == {"asyrp red", "sdedit red", "swap red"} | lines
    assert np.mean(table["a perfect edit red"]["values"]["clean"]) == 1
    assert np.mean(table["a perfect edit red"]["values"]["clean_2"]) == 1
    assert np.mean(table["no edit red"]["values"]["success_2"]) == 0
    (trainings,) = table["asyrp red"]["trainings"]
    assert trainings["success"][0] == np.mean(table["asyrp red"]["values"]["success"])
    assert len(trainings["success"]) == 2
    assert len(set(trainings["lpips"])) == 2  # another seed, another edit
    assert table["sdedit red"]["trainings"] == []
    scores = np.array(table["asyrp red"]["scores"])
    assert scores.shape == (4, len(table["asyrp red"]["tuned_on"]))
    assert scores.shape[1] > 12  # all validation images that lack it
    shares = table["sdedit red"]["distance_to_target"]
    assert len(shares) == 8
    assert np.isfinite(shares).all()
    page = (out / "table.md").read_text()
    assert "Share of the distance to the target" in page
    assert "brightness" in page  # a metric of the domain's own
    assert "| adversarial to the guide |" in page
    assert "| with noise | 0 [0," in page
    assert "Wilson" in page
    assert np.isfinite(table["asyrp red"]["values"]["brightness"]).all()


def test_a_domain_is_evaluated(own: Path, tmp_path: Path) -> None:
    words = ["evaluate", "--domain", str(own), "--images", str(own.parent / "test")]
    words += ["--edits", str(own.parent / "test"), "--out", str(tmp_path / "out")]
    words += ["--attribute", "mouth", "--value", "sad face", "--leave-out", "diversity"]
    assert call(*words) == 0
    found = json.loads((tmp_path / "out" / "table.json").read_text())["table"]
    assert found["leakage"]["value"] == 0
    assert found["lpips"]["value"] == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_the_demo_of_a_file(own: Path, tmp_path: Path) -> None:
    words = ["demo", "--domain", str(own), "--out", str(tmp_path), "--train-faces", "3"]
    words += ["--validation-faces", "1", "--test-faces", "2", "--train.steps", "4"]
    assert call(*words, "--train.epochs", "1") == 0
    content = json.loads((tmp_path / "report.json").read_text())
    assert (content["domain"], content["attribute"]) == ("own", "mouth")


def test_what_a_file_lacks_is_told(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("domain", "check", str(own)) == 0
    told = capsys.readouterr().out
    assert "images: train 6, validation 2, test 24" in told
    assert "method sdedit does not run: own gives no rendered_target" in told
    assert "segmenter: missing; no SC" in told
    assert "studies that run: theorem1, homogeneity, linearity" in told


def test_init_writes_a_file_that_reads(tmp_path: Path) -> None:
    from asyrp.domains.own_file import read_own

    path = tmp_path / "mine.toml"
    assert call("domain", "init", str(path)) == 0
    found = read_own(path)
    assert (found.name, list(found.tasks)) == ("mine", ["smiling"])
    assert found.questions is not None
    assert call("domain", "init", str(path)) == 2  # what is there is not written over


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name = "network"', "name = 3", "'name' of \\[model\\] must be of kind str"),
        ('train = "train"\n', "", "\\[images\\] lacks 'train'"),
        ("t_boost = 5\n", "", "t_start, t_edit and t_boost go together"),
        ("t_start = 40", "t_start = 10", "t_start 10 < t_edit 20"),
        ('value = "sad face"', 'value = "glad"', "for which the judge has no question"),
        ("[model]", "[modle]", "has 'modle'; it may have: name"),
        ("[[tasks]]", "[tasks", "does not read"),
        ('hair = ["bald person", "person with blonde hair"]\n', "", "two attributes or more"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_a_line(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    from asyrp.domains.own_file import read_own
    from asyrp.errors import AsyrpError

    path = tmp_path / "own.toml"
    assert old in FILE
    path.write_text(FILE.replace(old, new))
    with pytest.raises(AsyrpError, match=told) as error:
        read_own(path)
    assert "\n" not in str(error.value).strip()


def names_a_domain(node: ast.AST) -> bool:
    """Whether an expression holds the name of a built-in domain."""
    texts = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
    return any(isinstance(text, str) and text in ("avatars-64", "photographs-64") for text in texts)


def test_no_code_asks_which_domain_it_is() -> None:
    for path in SOURCE.rglob("*.py"):
        if path.is_relative_to(SOURCE / "domains") and path.parent != SOURCE / "domains":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                assert not names_a_domain(node), f"{path}:{node.lineno}"
            if isinstance(node, ast.If | ast.IfExp):
                assert not names_a_domain(node.test), f"{path}:{node.lineno}"


def test_the_page_of_a_domain_begins_with_its_images(own: Path, tmp_path: Path) -> None:
    from asyrp.commands.app import new_studio
    from asyrp.options import App, Network

    options = App(directions=tmp_path / "directions", network=Network(domain=str(own)))
    studio = new_studio(options)
    assert [picture.name for picture in studio.examples][:2] == ["Image 1", "Image 2"]
    assert tuple(studio.examples[0].image.shape) == studio.model.image_shape
    assert studio.tools.encoder.name == "avatars-64-clip"


def test_a_domain_stands_for_short_flags(own: Path) -> None:
    from asyrp.commands.outputs import on_domain
    from asyrp.options import Edit, Network, Train

    network = Network(domain=str(own), class_label=7)
    train = on_domain(Train("face", ("sad face",), Path("sad.safetensors"), network=network))
    assert (train.network.model, train.images) == (
        str(own.parent / "network"),
        own.parent / "train",
    )
    assert (train.guides.encoder, train.network.class_label) == ("avatars-64-clip", None)
    edit = Edit(Path("mine"), Path("out"), network=network)
    assert on_domain(edit).images == Path("mine")
    assert on_domain(Edit(Path("mine"), Path("out"))) == Edit(Path("mine"), Path("out"))
