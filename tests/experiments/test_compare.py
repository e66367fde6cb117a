"""Compare, studies and reproduce from end to end, as small as they go."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asyrp.cli import main
from asyrp.domains.avatars import way
from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.domains.avatars.way import share_of_way, tiles, way_of
from asyrp.domains.tasks import task_of
from asyrp.editing_methods.trained import RIVALS
from asyrp.errors import AsyrpError
from asyrp.experiments import compare_table
from asyrp.experiments import compare_words as words
from asyrp.experiments.compare import Trial, compare_stages
from asyrp.experiments.plan import Plan
from asyrp.reporting.statistics import of_mean
from asyrp.settings import TrainSettings
from asyrp.storage.images import contact_sheet, from_uint8, write_png
from asyrp.storage.json_files import plain

pytest.importorskip("resvg_py")

RNG = np.random.default_rng(0)
SMALL = ["--train.epochs", "1", "--train.steps", "8", "--train-faces", "2", "--test-faces", "16"]
SMALL += ["--pool", "32", "--validation-faces", "2", "--workers", "1"]


SET = {"value": 2.0, "low": 1.0, "high": 4.0, "images": 4, "seed": 0}


def cell(success: float, numbers: range) -> dict[str, object]:
    hits = (RNG.random(len(numbers)) < success).astype(float)
    values = {
        name: RNG.random(len(numbers)).tolist() for name in ("lpips", "s_dir", "identity", "sc")
    }
    values["leakage_beyond"] = RNG.random(len(numbers)).tolist()
    values |= {"success": hits.tolist(), "clean": hits.tolist(), "leakage": [None, *hits[1:]]}
    spent = {"evaluations": 1000.0, "seconds": 3.0}
    return {
        "setting": {"strength": 1.0},
        "trials": [{"setting": {"strength": s}} for s in (0.7, 1.0)],
        "numbers": list(numbers),
        "values": values,
        "sets": {"fid": SET, "kid": {**SET, "value": 1.5}},
        "changed": {"eyes": [1.0, None, 0.0, 0.0], "hair": [None] * 4},
        "stored": 1000,
        "training": spent,
        "tuning": spent,
        "editing": spent,
    }


TASKS = ("smiling", "green")


@pytest.fixture
def cells() -> compare_table.Cells:
    places = {"smiling": range(4), "green": range(2, 6)}
    rates = {"asyrp": 0.9, "sdedit": 0.3}
    return {(r, t): cell(rates[r], places[t]) for r in rates for t in TASKS}


def test_pooling_averages_tasks_and_resamples_faces(cells: compare_table.Cells) -> None:
    found = compare_table.pooled(cells, "asyrp", TASKS, "success")
    means = [np.mean(cells["asyrp", t]["values"]["success"]) for t in TASKS]
    assert found.value == pytest.approx(np.mean(means))
    assert found.images == 6
    gain = compare_table.gain(cells, "sdedit", TASKS, "success")
    theirs = compare_table.pooled(cells, "sdedit", TASKS, "success")
    assert gain.value == pytest.approx(found.value - theirs.value)


def test_the_leakage_matrix_leaves_hidden_factors_empty(cells: compare_table.Cells) -> None:
    rows = [cells["asyrp", task]["changed"] for task in TASKS]
    table, factors = compare_table.leaks(rows)
    assert factors == ["eyes", "hair"]
    assert table[:, 0].tolist() == pytest.approx([100 / 3] * 2)
    assert np.isnan(table[:, 1]).all()


def test_tables_have_a_row_a_method(cells: compare_table.Cells) -> None:
    rivals = ("asyrp", "sdedit")
    rows = compare_table.overall(cells, rivals, TASKS)
    assert [row["method"] for row in rows] == [RIVALS[r].title for r in rivals]
    assert compare_table.costs(cells, rivals, TASKS)[1]["evaluations an edit"] == "250.0"
    assert compare_table.tuning(cells, rivals, TASKS)[0]["value: times chosen"] == "0.7: 0, 1: 2"
    assert [row["f_t against"] for row in compare_table.gains(cells, rivals, TASKS)] == ["SDEdit"]
    assert "(unseen)" in compare_table.by_task(cells, rivals, TASKS, "success")[1]["edit"]
    compare_table.plot_overall(cells, rivals, TASKS).canvas.draw()
    compare_table.plot_leaks(cells, "asyrp", TASKS, {"eyes": [0.0, None]}).canvas.draw()


def test_the_share_of_the_way_is_a_projection() -> None:
    source, answer = np.zeros((4, 4, 3)), np.zeros((4, 4, 3))
    answer[:2] = (0, 0, 200)
    for share in (0.0, 0.25, 1.0):
        assert share_of_way(source, source + share * (answer - source), answer) == share
    other = np.zeros((4, 4, 3))
    other[...] = (90, 0, 0)  # red is no way to blue, and what lies outside does not count
    assert share_of_way(source, other, answer) == 0
    assert np.isnan(share_of_way(source, other, source))


def test_the_way_is_read_off_a_strip(tmp_path: Path) -> None:
    task = task_of("blue")
    faces = [sample_face("test", number) for number in (3, 5)]
    answers = np.stack([draw(face.replaced(task.factor, task.value)) for face in faces])
    write_png(tmp_path / "strip.png", contact_sheet([from_uint8(answers)]))
    assert np.array_equal(tiles(tmp_path / "strip.png"), answers)
    found = way_of(tmp_path / "strip.png", task, [3, 5, 8])
    assert (found.value, found.images) == (pytest.approx(1), 2)


def test_every_part_of_a_value_is_the_answer() -> None:
    told = []
    for name in ("smiling", "glasses", "beard"):
        task = task_of(name)
        faces = [sample_face("test", number) for number in range(12)]
        (face, *_) = (one for one in faces if one.label(task.factor) not in (None, task.value))
        shown = way.answers(face, task)
        assert len(shown) > 1
        assert [way.best_share(face, task, edit) for edit in shown] == [1.0] * len(shown)
        source = draw(face).astype(np.float64)
        assert way.best_share(face, task, source) == 0
        assert way.best_share(face, task, (source + shown[1]) / 2) == pytest.approx(0.5, abs=0.06)
        told.append([way.share_of_way(source, edit, shown[0]) for edit in shown])
    assert min(map(min, told)) < 0.8  # as equally valid edits were told before


def test_words_follow_the_numbers(cells: compare_table.Cells) -> None:
    rivals = ("asyrp", "sdedit")
    ways = {key: of_mean([0.1, 0.3]) for key in cells} | {("sdedit", "green"): of_mean([0.8, 0.9])}
    assert "farthest on 'person with green skin' is SDEdit" in words.unseen(
        cells, rivals, TASKS, ways
    )
    row = {"strength": 1.0, "way": plain(of_mean([0.05, 0.05])), "colour": [255, 0, 16]}
    row["s_dir"] = plain(of_mean([0.2, 0.2]))
    reached = {"green": {"rows": [{**row, "strength": 0.0}, row], "answer": [0, 255, 0]}}
    assert "does not get there at any strength: 5 [5, 5] %" in words.why_unseen(reached)
    far = {**row, "strength": 8.0, "s_dir": plain(of_mean([0.0, 0.1])), "way": row["way"]}
    ends = [{**one, "lpips": plain(of_mean([0.4, 0.4]))} for one in (row, row, far)]
    longer = {"green": {**reached["green"], "rows": ends}}
    assert "From strength 1 to 8 S_dir goes from 0.20 to 0.05" in words.why_unseen(longer)
    rows = words.reach_rows(reached)
    assert [one["mean colour"] for one in rows] == ["#FF0010", "#FF0010", "#00FF00"]
    found = {claim.claim: claim.holds for claim in words.claims(cells, rivals, TASKS)}
    assert found["f_t makes more clean edits than SDEdit"] in (True, None)
    assert len(found) == 2
    back = {"eyes": [0.0, 0.0], "hair": [0.0]}
    assert "eyes by 'smiling face' (33 %)" in words.leaking(cells, TASKS, back)
    edge = "at the largest for Asyrp, f_t (2 of 2), at the largest for SDEdit (2 of 2)"
    told = words.settings_at_the_edge(cells, rivals, TASKS)
    assert told == f"Of the values tried, tuning ended {edge}."
    low = {key: {**one, "setting": {"strength": 0.7}} for key, one in cells.items()}
    assert "at the smallest for SDEdit" in words.settings_at_the_edge(low, rivals, TASKS)
    middle = {key: {**one, "setting": {"strength": 0.8}} for key, one in cells.items()}
    assert words.settings_at_the_edge(middle, rivals, TASKS) == ""


def test_the_cleanest_setting_wins_then_success_then_the_smaller_change() -> None:
    trials = [
        Trial({"s": 1}, 0.5, 0.9, 0.1, 0.2),
        Trial({"s": 2}, 0.6, 0.7, 0.0, 0.3),
        Trial({"s": 3}, 0.6, 0.7, 0.0, 0.2),
    ]
    assert max(trials, key=lambda trial: trial.rank).setting == {"s": 3}


def test_a_plan_refuses_what_it_cannot_do() -> None:
    with pytest.raises(AsyrpError, match="unknown task 'x'"):
        Plan(tasks=("x",))
    with pytest.raises(AsyrpError, match="unknown method 'y'"):
        Plan(rivals=("y",))
    with pytest.raises(AsyrpError, match="pool"):
        Plan(test_faces=64, pool=30)
    with pytest.raises(AsyrpError, match="train_faces must be 2"):
        Plan(train_faces=1)


def test_stages_change_with_the_plan_and_only_as_far_as_needed() -> None:
    from asyrp.runtime.resumable import identities

    plan = Plan(tasks=("smiling", "sad"))
    marks = identities(compare_stages(plan))
    assert len(marks) == 4 + 1 + 1 + 2 + 2 * len(RIVALS)
    more = identities(compare_stages(Plan(tasks=("smiling", "sad", "angry"))))
    assert marks.items() <= more.items()
    other = replace(plan, settings=replace(TrainSettings(), seed=1))
    assert not set(marks.values()) & set(identities(compare_stages(other)).values())


@pytest.mark.slow
def test_compare_writes_its_tables_twice_alike(tmp_path: Path) -> None:
    kept = {}
    for name in ("a", "b"):
        line = ["compare", "--out", str(tmp_path / name), "--tasks", "smiling", *SMALL]
        assert main([*line, "--methods", "asyrp", "epsilon", "sdedit"]) == 0
        cells = json.loads((tmp_path / name / "table.json").read_text())
        kept[name] = {
            key: [one[k] for k in ("setting", "values", "sets")] for key, one in cells.items()
        }
    assert kept["a"] == kept["b"]
    page = (tmp_path / "a" / "table.md").read_text()
    assert "| SDEdit |" in page
    assert (tmp_path / "a" / "edits-smiling.png").exists()


@pytest.mark.slow
def test_reproduce_writes_a_page_and_goes_on_where_it_was(tmp_path: Path) -> None:
    line = ["reproduce", "--docs", str(tmp_path / "docs"), "--keep", str(tmp_path / "keep"), *SMALL]
    line += ["--tasks", "smiling", "--methods", "asyrp", "ilvr", "--faces", "16"]
    assert main([*line, "--studies", "theorem1", "diagnose"]) == 0
    page = (tmp_path / "docs" / "results.md").read_text()
    assert "### Theorem 1" in page
    assert "| ILVR |" in page
    for picture in ("theorem1", "diagnose", "compare", "leakage", "edits-smiling"):
        assert (tmp_path / "docs" / "results" / f"{picture}.png").exists()
    stamp = (tmp_path / "keep" / "cell-asyrp-smiling.json").stat().st_mtime_ns
    assert main([*line, "--studies", "theorem1", "diagnose"]) == 0
    assert (tmp_path / "keep" / "cell-asyrp-smiling.json").stat().st_mtime_ns == stamp
    assert (tmp_path / "docs" / "results.md").read_text() == page


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["compare", "--tasks", "x"], "unknown task 'x'"),
        (["compare", "--methods", "x"], "unknown method 'x'"),
        (["compare", "--workers", "0"], "--workers must be 1"),
        (["compare", "--test-faces", "10"], "needs at least 16 test faces; got 10"),
        (["compare", "--pool", "70"], "'smiling' needs 64 test faces that lack it; among 70 are"),
        (["study", "robustness", "--faces", "9"], "'robustness' needs 16 to 64 faces"),
        (["study", "linearity", "--faces", "99"], "'linearity' needs 2 to 64 faces"),
        (["study", "linearity", "--model", "google/x"], "'linearity' on a network of your own"),
        (["study", "diagnose", "--direction", "d.safetensors"], "needs --images"),
        (["compare", "--device", "cuda"], "--device is for a network of your own"),
        (["compare", "--encoder", "clip"], "--encoder is for a network of your own"),
        (["compare", "--labels", "1", "2"], "--labels is for a network of your own"),
        (["study", "theorem1", "--dtype", "bfloat16"], "--dtype is for a network of your own"),
        (["compare", "--compile"], "--compile is for a network of your own"),
        (["study", "linearity", "--refinements", "2"], "--refinements is for a network of your"),
        (["study", "linearity", "--steps", "10"], "--steps is for a network of your own"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: list[str], message: str
) -> None:
    assert main([*line, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("**/*.*"))
