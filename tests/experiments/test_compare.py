"""Compare, studies and reproduce from end to end, as small as they go."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asyrp.cli import main
from asyrp.domains.avatars.domain import TASKS as EVERY
from asyrp.editing_methods.catalogue import METHODS
from asyrp.errors import AsyrpError
from asyrp.experiments import compare_table
from asyrp.experiments import compare_words as words
from asyrp.experiments.claims import SECOND
from asyrp.experiments.compare import compare_stages
from asyrp.experiments.distance_to_target import share_of_distance
from asyrp.experiments.plan import Plan, settled
from asyrp.experiments.retrained import luck_of
from asyrp.experiments.tuning import score
from asyrp.metrics.calibration import LINES
from asyrp.reporting.statistics import Part, of_mean
from asyrp.settings import TrainSettings
from asyrp.storage.json_files import plain

pytest.importorskip("resvg_py")

RNG = np.random.default_rng(0)
SMALL = ["--train.epochs", "1", "--train.steps", "8", "--train-faces", "2", "--test-faces", "16"]
SMALL += ["--pool", "32", "--validation-faces", "6", "--workers", "1", "--rates", "1"]


SET = {"value": 2.0, "low": 1.0, "high": 4.0, "images": 4, "seed": 0}


def cell(success: float, numbers: range) -> dict[str, object]:
    hits = (RNG.random(len(numbers)) < success).astype(float)
    values = {
        name: RNG.random(len(numbers)).tolist() for name in ("lpips", "s_dir", "identity", "sc")
    }
    values["lpips"] = [success] * len(numbers)
    values["leakage_beyond"] = RNG.random(len(numbers)).tolist()
    values |= {"success": hits.tolist(), "clean": hits.tolist(), "leakage": [None, *hits[1:]]}
    values |= {"success_2": hits.tolist(), "clean_2": (hits / 2).tolist()}
    spent = {"evaluations": 1000.0, "seconds": 3.0}
    return {
        "setting": {"strength": 1.0},
        "rate": 1e-3,
        "tuned_on": list(range(5)),
        "scores": [[0.0] * 5, [1.0] * 5],
        "tested": {"1": {name: values[name] for name in compare_table.SHARES}},
        "trials": [{"setting": {"strength": s}} for s in (0.7, 1.0)],
        "numbers": list(numbers),
        "values": values,
        "sets": {"fid": SET, "kid": {**SET, "value": 1.5}},
        "changed": {"eyes": [1.0, None, 0.0, 0.0], "hair": [None] * 4},
        "distance_to_target": RNG.random(4).tolist(),
        "stored": 1000,
        "trainings": [],
        "training": spent,
        "tuning": spent,
        "editing": spent,
    }


TASKS = (EVERY["smiling"], EVERY["green"])


@pytest.fixture
def cells() -> compare_table.Cells:
    places = {"smiling": range(4), "green": range(2, 6)}
    rates = {"asyrp": 0.9, "sdedit": 0.3, **dict(zip(LINES, (0.0, 1.0, 0.1), strict=True))}
    return {(m, t): cell(rates[m], places[t]) for m in rates for t in places}


def test_what_f_t_is_ahead_counts_the_luck_of_training(cells: compare_table.Cells) -> None:
    before = compare_table.gain(cells, "sdedit", TASKS, "success")
    lucky = {"trainings": [{"success": [0.9, 0.5, 0.7]}]}
    told = {key: {**one, **lucky} if key[0] == "asyrp" else one for key, one in cells.items()}
    after = compare_table.gain(told, "sdedit", TASKS, "success")
    assert after.value == before.value
    assert after.high - after.low > before.high - before.low
    again = [{"success": [0.9, 0.5, 0.7]}, {"success": [0.5, 0.5, 0.5]}]
    assert luck_of(again, "success", 4) == [Part(pytest.approx(0.005), 4)]
    assert luck_of([{"success": [0.9]}], "success", 4) == luck_of([], "success", 4) == []


def test_what_is_trained_once_for_all_edits_is_lucky_once(cells: compare_table.Cells) -> None:
    trainings = [{"success": [0.9, 0.5]}]
    wide = {}
    for method in ("epsilon", "classifier"):
        told = {**cells}
        for task in TASKS:
            told[method, task.name] = {**cells["sdedit", task.name], "trainings": trainings}
        found = compare_table.gain(told, method, TASKS, "success")
        wide[method] = found.high - found.low
    assert wide["classifier"] > wide["epsilon"]


def test_distances_of_sets_are_of_edits_that_have_a_reference(cells: compare_table.Cells) -> None:
    far = {**cells["asyrp", "green"], "sets": {"fid": {**SET, "value": 9.0}}, "reference": False}
    some = {**cells, ("asyrp", "green"): far}
    found = compare_table.overall(some, ["asyrp"], TASKS)
    assert found["Asyrp, f_t"]["fid"].value == SET["value"]
    none = {("asyrp", task.name): far for task in TASKS}
    assert "fid" not in compare_table.overall(none, ["asyrp"], TASKS)["Asyrp, f_t"]


def test_pooling_averages_tasks_and_resamples_faces(cells: compare_table.Cells) -> None:
    found = compare_table.pooled(cells, "asyrp", TASKS, "success")
    means = [np.mean(cells["asyrp", t.name]["values"]["success"]) for t in TASKS]
    assert found.value == pytest.approx(np.mean(means))
    assert found.images == 6
    gain = compare_table.gain(cells, "sdedit", TASKS, "success")
    theirs = compare_table.pooled(cells, "sdedit", TASKS, "success")
    assert gain.value == pytest.approx(found.value - theirs.value)


def test_the_leakage_matrix_leaves_hidden_factors_empty(cells: compare_table.Cells) -> None:
    rows = [cells["asyrp", task.name]["changed"] for task in TASKS]
    table, factors = compare_table.leaks(rows)
    assert factors == ["eyes", "hair"]
    assert table[:, 0].tolist() == pytest.approx([100 / 3] * 2)
    assert np.isnan(table[:, 1]).all()


def test_tables_have_a_row_a_method(cells: compare_table.Cells) -> None:
    methods = ("asyrp", "sdedit")
    rows = compare_table.overall(cells, methods, TASKS)
    assert list(rows) == [METHODS[m].title for m in methods]
    page = compare_table.scaled(cells, methods, TASKS)
    assert "success | success, second judge" in page.split("No scores")[0]
    assert "| a perfect edit |" in page.split("No scores")[0]
    assert "lpips" in page.split("No scores")[1]  # more of it where the edit is perfect
    costs = compare_table.costs(cells, methods, TASKS)
    assert costs[1]["evaluations an edit"] == "250.0"
    assert costs[1]["what differs"].startswith("strokes of the drawn target")
    assert compare_table.tuning(cells, methods, TASKS)[0]["value: times chosen"] == "0.7: 0, 1: 2"
    assert [row["f_t against"] for row in compare_table.gains(cells, methods, TASKS)] == ["SDEdit"]
    assert "(unseen)" in compare_table.by_task(cells, methods, TASKS, "success")[1]["edit"]
    compare_table.plot_overall(cells, methods, TASKS).canvas.draw()
    compare_table.plot_leaks(cells, "asyrp", TASKS, {"eyes": [0.0, None]}).canvas.draw()


def test_the_share_of_the_distance_is_a_projection() -> None:
    source, answer = np.zeros((4, 4, 3)), np.zeros((4, 4, 3))
    answer[:2] = (0, 0, 200)
    for share in (0.0, 0.25, 1.0):
        assert share_of_distance(source, source + share * (answer - source), answer) == share
    other = np.zeros((4, 4, 3))
    other[...] = (90, 0, 0)  # red is not nearer to blue, and what lies outside does not count
    assert share_of_distance(source, other, answer) == 0
    assert np.isnan(share_of_distance(source, other, source))


def test_words_follow_the_numbers(cells: compare_table.Cells) -> None:
    methods = ("asyrp", "sdedit")
    near = {key: {**one, "distance_to_target": [0.1, 0.3]} for key, one in cells.items()}
    near["sdedit", "green"]["distance_to_target"] = [0.8, 0.9]
    assert "farthest on 'person with green skin' is SDEdit with 85" in words.unseen(
        near, methods, TASKS
    )
    row = {"strength": 1.0, "share": plain(of_mean([0.0, 0.1])), "colour": [255, 0, 16]}
    row["s_dir"] = plain(of_mean([0.2, 0.2]))
    one = {"rows": [{**row, "strength": 0.0}, row], "answer": [0, 255, 0]}
    doses = [(EVERY["green"], one)]
    assert "does not get there at any strength: 5 [-59, 69] %" in words.why_unseen(doses)
    far = {**row, "strength": 8.0, "s_dir": plain(of_mean([0.0, 0.1])), "share": row["share"]}
    ends = [{**each, "lpips": plain(of_mean([0.4, 0.4]))} for each in (row, row, far)]
    longer = [(EVERY["green"], {**one, "rows": ends})]
    assert "From strength 1 to 8 S_dir goes from 0.20 to 0.05" in words.why_unseen(longer)
    rows = words.dose_rows(doses)
    assert [one["mean colour"] for one in rows] == ["#FF0010", "#FF0010", "#00FF00"]
    first, second = words.claims(cells, methods, TASKS)
    assert first.claim == "f_t makes more clean edits than SDEdit"
    clean = "clean edits, f_t minus the method"
    assert first.measures[clean] == compare_table.gain(cells, "sdedit", TASKS, "clean")
    assert first.measures[clean + SECOND] == compare_table.gain(cells, "sdedit", TASKS, "clean_2")
    assert second.claim.startswith("f_t reaches domains")
    back = {"eyes": [0.0, 0.0], "hair": [0.0]}
    assert "eyes by 'smiling face' (33 %)" in words.leaking(cells, TASKS, back)
    edge = "at the largest for Asyrp, f_t (2 of 2), at the largest for SDEdit (2 of 2)"
    told = words.settings_at_the_edge(cells, methods, TASKS)
    assert told == f"Of the values tried, tuning ended {edge}."
    low = {key: {**one, "setting": {"strength": 0.7}} for key, one in cells.items()}
    assert "at the smallest for SDEdit" in words.settings_at_the_edge(low, methods, TASKS)
    middle = {key: {**one, "setting": {"strength": 0.8}} for key, one in cells.items()}
    assert words.settings_at_the_edge(middle, methods, TASKS) == ""


def values_of(clean: float, success: float, lpips: float) -> dict[str, np.ndarray]:
    return {"clean": np.array([clean]), "success": np.array([success]), "lpips": np.array([lpips])}


def test_the_cleanest_setting_wins_then_success_then_the_smaller_change() -> None:
    order = [
        score(values_of(*one)).mean()
        for one in ((0.6, 0.7, 0.2), (0.6, 0.7, 0.3), (0.6, 0.6, 0.1), (0.5, 0.9, 0.2))
    ]
    assert order == sorted(order, reverse=True)
    assert len(set(order)) == 4
    without = {"s_dir": np.array([0.5, 0.1]), "lpips": np.array([0.2, 0.0])}
    assert score(without).tolist() == pytest.approx([0.3, 0.1])  # the guide chooses


def test_a_plan_refuses_what_it_cannot_do() -> None:
    with pytest.raises(AsyrpError, match="unknown task 'x'"):
        settled(Plan(tasks=("x",)))
    with pytest.raises(AsyrpError, match="unknown method 'y'"):
        settled(Plan(methods=("y",)))
    with pytest.raises(AsyrpError, match="'swap' does not run here: avatars-64 gives no condition"):
        settled(Plan(methods=("swap",)))
    with pytest.raises(AsyrpError, match="pool"):
        Plan(test_images=64, pool=30)
    with pytest.raises(AsyrpError, match="train_images must be 2"):
        Plan(train_images=1)


def test_stages_change_with_the_plan_and_only_as_far_as_needed() -> None:
    from asyrp.runtime.resumable import identities

    plan = Plan("shapes.domain", ("square",), ("asyrp", "sdedit", "classifier"))
    marks = identities(compare_stages(plan))
    # two rates, two methods trained again; a scale for the task
    assert len(marks) == 4 + 2 + 2 + 1 + 1 + 1 + 1 + 1 + 3
    more = identities(compare_stages(replace(plan, tasks=("square", "red"))))
    assert marks.items() <= more.items()
    assert {"direction-red", "dose-red", "shown-red", "scale-red"} <= more.keys()
    other = replace(plan, settings=replace(TrainSettings(), seed=1))
    assert not set(marks.values()) & set(identities(compare_stages(other)).values())
    elsewhere = identities(compare_stages(replace(plan, device="cuda:0", domain=plan.domain)))
    assert elsewhere == marks


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
    line += [
        "--tasks",
        "smiling",
        "--methods",
        "asyrp",
        "ilvr",
        "--faces",
        "16",
        "--further",
        "keeping",
    ]
    assert main([*line, "--studies", "theorem1", "diagnose"]) == 0
    docs, kept = tmp_path / "docs", tmp_path / "keep" / "avatars-64"
    page = (docs / "results-avatars-64.md").read_text()
    assert "### Theorem 1" in page
    assert "| ILVR |" in page
    for picture in ("theorem1", "diagnose", "compare", "leakage", "edits-smiling"):
        assert f"(results/avatars-64/{picture}.png)" in page
        assert (docs / "results" / "avatars-64" / f"{picture}.png").exists()
    assert "(results-avatars-64.md)" in (docs / "results.md").read_text()
    stamp = (kept / "cell-asyrp-smiling.json").stat().st_mtime_ns
    assert main([*line, "--studies", "theorem1", "diagnose"]) == 0
    assert (kept / "cell-asyrp-smiling.json").stat().st_mtime_ns == stamp
    assert (docs / "results-avatars-64.md").read_text() == page


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["compare", "--tasks", "x"], "unknown task 'x'"),
        (["compare", "--methods", "x"], "unknown method 'x'"),
        (["compare", "--methods", "swap"], "'swap' does not run here: avatars-64 gives no"),
        (["compare", "--domain", "x-64"], "unknown domain 'x-64'; needed one of: avatars-64"),
        (["compare", "--workers", "0"], "--workers must be 1"),
        (["compare", "--test-faces", "10"], "needs at least 16 test images; got 10"),
        (["compare", "--pool", "70"], "'smiling' needs 64 test images that lack it; among 70 are"),
        (["study", "robustness", "--faces", "9"], "'robustness' needs 16 to 64 images"),
        (["study", "linearity", "--faces", "99"], "'linearity' needs 2 to 64 images"),
        (["study", "nothing"], "unknown study 'nothing'"),
        (["study", "diagnose", "--direction", "d.safetensors"], "diagnose --images FOLDER with"),
        (["study", "linearity", "--images", "x"], "other studies look at a domain's own images"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: list[str], message: str
) -> None:
    assert main([*line, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("**/*.*"))
