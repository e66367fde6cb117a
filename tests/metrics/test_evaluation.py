"""The table of an edit: what is in it, subgroups, gaps, and the command on folders."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from asyrp.cli import main
from asyrp.commands.evaluate import wish_of
from asyrp.errors import AsyrpError
from asyrp.method.protocols import Thresholds
from asyrp.metrics.table import (
    Pictures,
    Scorers,
    Wish,
    features_in,
    gaps,
    grouped,
    labels_of,
    leakage_matrix,
    of_groups,
    of_sets,
    over_runs,
    per_image,
    summarised,
    too_small,
)
from asyrp.options.evaluate import Evaluate
from asyrp.reporting.statistics import Estimate, of_mean
from asyrp.storage.images import from_uint8, read_folder, write_png
from conftest import noise
from places import results


class Mean:
    """The mean absolute difference."""

    name, thresholds = "mean", Thresholds()

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().flatten(1).mean(1)


class Signs:
    """A judge that reads three attributes off the signs of three pixels."""

    name, audited = "signs", ("hair",)
    values: Mapping[str, Sequence[str]] = dict.fromkeys(("mouth", "hair", "eyes"), ("off", "on"))

    def logits(self, images: Tensor) -> dict[str, Tensor]:
        levels = {name: images[:, 0, 0, i] for i, name in enumerate(self.values)}
        return {name: torch.stack([0 * level, level], 1) for name, level in levels.items()}

    def visible(self, values: Mapping[str, str], attribute: str) -> bool:
        return True


class Halves:
    """Two parts: bright and dark."""

    name = "halves"

    def masks(self, images: Tensor) -> np.ndarray:
        return (images[:, 0] > 0).long().numpy()


class Corner:
    """Features: the first pixels."""

    name = "corner"

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :5]


COUNT = 24


def sets(shown: Pictures, scorers: Scorers, seed: int = 0) -> dict[str, Estimate]:
    return of_sets([shown], scorers, features_in([shown], scorers), seed)


def pictures() -> Pictures:
    sources = noise(COUNT, 3, 8, 8)
    edits = sources.clone()
    edits[:, 0, 0, 0] = 1.0
    edits[::3, 0, 0, 1] *= -1
    back = sources.clone()
    back[::6, 0, 0, 2] *= -1
    return Pictures(sources, edits, back)


TOOLS = Scorers(None, Mean(), Mean(), Signs(), Halves(), Corner(), Corner())
WISH = Wish("mouth", "on")


def test_every_metric_of_single_images_by_hand() -> None:
    shown = pictures()
    found = per_image(shown, TOOLS, WISH)
    assert found["success"].tolist() == [1.0] * COUNT
    np.testing.assert_array_equal(found["leakage"], np.where(np.arange(COUNT) % 3 == 0, 0.5, 0))
    own = np.where(np.arange(COUNT) % 6 == 0, 0.5, 0)
    np.testing.assert_array_equal(found["leakage_reconstruction"], own)
    np.testing.assert_array_equal(found["leakage_beyond"], found["leakage"] - own)
    np.testing.assert_array_equal(found["clean"], found["leakage"] == 0)
    np.testing.assert_array_equal(found["success_before"], shown.sources[:, 0, 0, 0] > 0)
    np.testing.assert_allclose(found["lpips"], Mean()(shown.sources, shown.edits).numpy())
    masks = [x[:, 0] > 0 for x in shown[:2]]
    for row in range(COUNT):
        a, b = (m[row] for m in masks)
        ious = [float((p & q).sum() / (p | q).sum()) for p, q in ((a, b), (~a, ~b))]
        assert found["sc"][row] == pytest.approx(np.mean(ious))
    assert found["identity"].mean() > found["identity_strangers"].mean() + 0.3


def test_without_tools_there_is_nothing() -> None:
    assert per_image(pictures(), Scorers()) == {}
    assert sets(pictures(), Scorers()) == {}


def test_sets_are_those_of_sources_and_edits() -> None:
    shown = pictures()
    found = sets(shown, TOOLS, seed=3)
    assert list(found) == ["fid", "kid", "diversity", "diversity_sources"]
    assert all(one.low <= one.value <= one.high for one in found.values())
    same = sets(Pictures(shown.sources, shown.sources), TOOLS)
    assert same["fid"].value == pytest.approx(0, abs=1e-6)
    pairs = Mean()(shown.sources, shown.sources.roll(-1, 0))
    assert same["diversity"].value == pytest.approx(float(pairs.mean()), rel=1e-5)


def test_too_few_images_for_a_metric_are_refused() -> None:
    few = Pictures(*(part[:9] for part in pictures()[:3]))
    with pytest.raises(AsyrpError, match="FID needs at least 16 images; got 9"):
        sets(few, TOOLS)


def test_the_matrix_has_the_reconstruction_beside_the_edit() -> None:
    found = leakage_matrix([pictures()], Signs(), WISH)
    assert found["edit"]["hair"].value == pytest.approx(1 / 3)
    assert found["edit"]["eyes"].value == 0
    assert found["reconstruction"]["eyes"].value == pytest.approx(1 / 6)


def test_subgroups_are_the_judges_and_large_enough() -> None:
    sources = pictures().sources
    found = grouped(labels_of(Signs(), sources, ["hair"])["hair"])
    assert set(found) == {"on", "off"}
    assert (sources[found["on"], 0, 0, 1] > 0).all()
    labels = ["c"] * 2 + ["a"] * 8 + ["b"] * 7 + [""] * 7
    assert {label: rows.tolist() for label, rows in grouped(labels).items()} == {
        "a": list(range(2, 10))
    }
    assert list(too_small(labels).items()) == [("b", 7), ("c", 2)]
    with pytest.raises(AsyrpError, match="'nose'"):
        labels_of(Signs(), sources, ["nose"])


def test_several_runs_are_averaged_and_widen_the_interval() -> None:
    first = pictures()
    second = first._replace(edits=first.sources)  # a run in which nothing happened
    values = over_runs([first, second], TOOLS, WISH)
    assert values["success"].shape == (2, COUNT)
    both, one = (summarised(v) for v in (values, {k: v[0] for k, v in values.items()}))
    before = float((first.sources[:, 0, 0, 0] > 0).double().mean())
    assert both["success"].value == pytest.approx((1 + before) / 2)
    assert both["success"].high - both["success"].low > 0.4  # between the runs, 1 and about 0.5
    assert (one["success"].low, one["success"].high) == pytest.approx((0.862, 1), abs=1e-3)
    assert one["lpips"] == of_mean(values["lpips"][0])
    matrix = leakage_matrix([first, second], Signs(), WISH)
    assert matrix["edit"]["hair"].value == pytest.approx(1 / 6)
    wide, alone = (
        of_sets(runs, TOOLS, features_in(runs, TOOLS))["kid"].value
        for runs in ([first, second], [first])
    )
    none = sets(second, TOOLS)["kid"].value
    assert wide == pytest.approx((alone + none) / 2, rel=1e-6)


def test_subgroups_have_the_same_table_and_fid_at_equal_counts() -> None:
    runs = [pictures(), pictures()]
    values, features = over_runs(runs, TOOLS, WISH), features_in(runs, TOOLS)
    assert features is not None
    groups = {"hair": {"long": np.arange(8), "short": np.arange(8, 24)}}
    found = of_groups(values, groups, features)["hair"]
    assert set(found["short"]) - set(found["long"]) == {"fid"}
    assert set(found["long"]) == {*values, "kid"}
    assert found["short"]["fid"].images == 16
    wanted = of_mean(values["lpips"][0, 8:])
    assert found["short"]["lpips"].value == pytest.approx(wanted.value)
    large = {"hair": {"long": np.arange(16), "short": np.arange(24)}}
    assert of_groups(values, large, features)["hair"]["short"]["fid"].images == 16


def test_the_largest_gap_comes_first() -> None:
    rng = np.random.default_rng(0)
    groups = {"skin": {"a": np.arange(0, 20), "b": np.arange(20, 40)}}
    noisy, apart = rng.normal(size=40), rng.normal(size=40)
    apart[20:] += 3
    found = gaps({"noisy": noisy, "apart": 100 * apart}, groups)
    assert [gap.metric for gap in found] == ["apart", "noisy"]
    assert (found[0].lowest, found[0].highest) == ("a", "b")
    assert found[0].gap > found[0].by_chance
    assert found[0].p < 0.05 < found[1].p


def test_gaps_where_there_are_none_are_no_findings() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, size=(5, 64))
    groups = {
        f"a{k}": {str(v): np.flatnonzero(row == v) for v in range(4)}
        for k, row in enumerate(labels)
    }
    values = {f"m{k}": (rng.random(64) < 0.5).astype(float) for k in range(6)}
    found = gaps(values, groups)
    assert np.mean([gap.gap for gap in found]) > 0.2  # so large by chance alone
    assert min(gap.p for gap in found) > 0.05


def test_distances_are_to_pictures_that_show_the_value_where_there_are_some() -> None:
    sources, showing = noise(20, 3, 8, 8), noise(30, 3, 8, 8, seed=5) + 2
    perfect = Pictures(sources, sources + 2, None, showing)
    idle = perfect._replace(edits=sources)
    good, none = sets(perfect, TOOLS), sets(idle, TOOLS)
    assert good["fid"].value < none["fid"].value
    assert good["kid"].high < none["kid"].low
    before = sets(perfect._replace(showing=None), TOOLS)  # success counts as distance
    assert before["fid"].value > sets(idle._replace(showing=None), TOOLS)["fid"].value
    groups = {"hair": {"long": np.arange(8), "short": np.arange(8, 20)}}
    features = features_in([perfect], TOOLS)
    assert features is not None
    assert features.rows(range(8)).reference.shape == (30, 5)
    of_groups({}, groups, features)


def test_summaries_leave_out_what_has_no_values() -> None:
    found = summarised({"a": np.array([1.0, 2.0, np.nan]), "b": np.full(3, np.nan)})
    assert list(found) == ["a"]
    assert found["a"].value == 1.5


def folders(root: Path, count: int = 18, names: Sequence[str] = ("images", "edits")) -> list[str]:
    pytest.importorskip("resvg_py")
    from asyrp.domains.avatars.avatars import draw, sample_face

    paths = [root / name for name in names]
    for place, path in enumerate(paths):
        path.mkdir()
        for index in range(count):
            face = sample_face("test", index)
            shown = face.replaced("mouth", "smiling") if place == 1 else face
            write_png(path / f"{index:03d}.png", from_uint8(draw(shown)[None])[0])
    return [str(path) for path in paths]


WANTED = ["--source", "face", "--target", "smiling face"]
WANTED += ["--attribute", "mouth", "--value", "smiling"]


def test_the_command_measures_a_perfect_edit_and_repeats_itself(tmp_path: Path) -> None:
    images, edits, back = folders(tmp_path, names=("images", "edits", "back"))
    line = ["evaluate", "--images", images, "--edits", edits, "--reconstructions", back, *WANTED]
    line += ["--leave-out", "lpips"]
    for out in ("a", "b"):
        assert main([*line, "--out", str(tmp_path / out)]) == 0
    for name in ("table.json", "table.md", "table.csv"):
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()
    kept = json.loads((tmp_path / "a" / "table.json").read_text())
    table = kept["table"]
    assert table["success"]["value"] == table["clean"]["value"] == 1
    assert table["leakage"]["value"] == table["leakage_reconstruction"]["value"] == 0
    assert table["s_dir"]["value"] > 0.4
    assert table["sc"]["value"] > 0.85
    assert table["identity"]["low"] > table["identity_strangers"]["high"]
    assert "lpips" not in table
    assert kept["seeds"] == {"bootstrap": 0, "noise": [None]}
    assert kept["S_dir"]["encoder"] == "avatars-64-clip"
    assert {row["images"] for row in table.values()} == {18}
    page = (tmp_path / "a" / "table.md").read_text()
    assert "## Answers that changed" in page
    assert (tmp_path / "a" / "leakage.png").stat().st_size > 5000


def test_what_a_domain_says_goes_along_is_no_leakage() -> None:
    asked = Evaluate("images", (Path("edits"),), Path("out"), attribute="Smiling", value="yes")
    assert wish_of(asked) == Wish("Smiling", "yes")
    own = wish_of(replace(asked, domain="photographs-64"))
    assert own == Wish("Smiling", "yes", ("High_Cheekbones", "Mouth_Slightly_Open"))
    assert wish_of(replace(asked, attribute="", value="", domain="photographs-64")) is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("stem", "same stems"),
        ("size", "001.png of --edits is 32 x 40"),
        ("back", "000.png of --reconstructions is 32 x 40"),
        ("few", "FID needs at least 16"),
        ("attribute", "no question about 'nose'"),
        ("value", "mouth has no value"),
        ("judge", "needs a judge"),
        ("text", "both --source and --target"),
        ("seed", "--seed must be 0 or more; got -1"),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: str, message: str
) -> None:
    images, edits = folders(tmp_path, 4 if spoil == "few" else 2)
    line = ["evaluate", "--images", images, "--edits", edits, "--out", str(tmp_path / "out")]
    extra = {
        "attribute": ["--attribute", "nose", "--value", "big"],
        "value": ["--attribute", "mouth", "--value", "angry"],
        "judge": ["--attribute", "mouth", "--value", "sad", "--judge", "none"],
        "text": ["--source", "face"],
        "back": ["--reconstructions", str(tmp_path / "back")],
        "seed": ["--seed", "-1"],
    }.get(spoil, [])
    if spoil == "stem":
        (tmp_path / "edits" / "000.png").rename(tmp_path / "edits" / "x.png")
    if spoil == "size":
        write_png(tmp_path / "edits" / "001.png", torch.zeros(3, 40, 32))
    if spoil == "back":
        (tmp_path / "back").mkdir()
        write_png(tmp_path / "back" / "000.png", torch.zeros(3, 40, 32))
    assert main([*line, *extra]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert message in told[-1]
    assert not (tmp_path / "out" / "table.md").exists()


def test_photographs_are_fitted_as_edit_fits_its_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("photos", "fitted", "edits"):
        (tmp_path / name).mkdir()
    for index in range(3):
        photo, name = tmp_path / "photos" / f"{index}.png", f"{index}.png"
        write_png(photo, noise(3, 90, 40 + 24 * index, seed=index).clamp(-1, 1))
        write_png(tmp_path / "fitted" / name, read_folder(photo, (90, 64))[0].image)
        write_png(tmp_path / "edits" / name, noise(3, 90, 64, seed=9 + index).clamp(-1, 1))
    line = ["evaluate", "--edits", str(tmp_path / "edits"), "--judge", "none"]
    line += ["--leave-out", "fid", "--leave-out", "diversity"]
    told, tables = [], []
    for name in ("photos", "fitted"):
        out = tmp_path / f"of-{name}"
        assert main([*line, "--images", str(tmp_path / name), "--out", str(out)]) == 0
        told.append("another size than the edits" in capsys.readouterr().err)
        tables.append(json.loads((out / "table.json").read_text()))
    assert told == [True, False]
    assert tables[0]["table"] == tables[1]["table"]
    assert [one["sources fitted to the size of the edits"] for one in tables] == [2, 0]
    assert "2 sources had another size" in (tmp_path / "of-photos" / "table.md").read_text()


SETS = "FID needs at least 16 images"
SPREAD = "diversity needs at least 3 images"


@pytest.mark.parametrize(
    ("count", "left", "told"),
    [
        (15, [], f"{SETS}; got 15; give more, or --leave-out fid"),
        (2, [], f"{SETS}, {SPREAD}; got 2; give more, or --leave-out fid --leave-out diversity"),
        (2, ["--leave-out", "fid"], f"{SPREAD}; got 2; give more, or --leave-out diversity"),
    ],
)
def test_too_few_pictures_are_refused_before_any_network_looks_at_them(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    left: Sequence[str],
    told: str,
) -> None:
    monkeypatch.setattr("asyrp.commands.evaluate.measure", None)
    images, edits = folders(tmp_path, count)
    line = ["evaluate", "--images", images, "--edits", edits, "--out", str(tmp_path / "out")]
    assert main([*line, *left]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"asyrp: {told}"
    assert not (tmp_path / "out").exists()


def test_two_pictures_of_one_stem_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, edits = folders(tmp_path, 2)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "000.png").write_bytes((tmp_path / "images" / "001.png").read_bytes())
    table = tmp_path / "table.csv"
    table.write_text("file_name\nimages/000.png\nimages/001.png\nmore/000.png\n")
    line = ["evaluate", "--images", str(table), "--edits", edits, "--out", str(tmp_path / "out")]
    assert main(line) == 2
    assert "--images has two pictures of the stem '000'" in capsys.readouterr().err


def test_unreadable_pictures_are_counted_and_listed(tmp_path: Path) -> None:
    images, edits = folders(tmp_path)
    (tmp_path / "images" / "003.png").write_bytes(b"nothing")
    line = ["evaluate", "--images", images, "--edits", edits, "--out", str(tmp_path / "out")]
    line += [item for name in ("lpips", "diversity", "sc") for item in ("--leave-out", name)]
    assert main(line) == 0
    kept = json.loads((tmp_path / "out" / "table.json").read_text())
    assert kept["images"] == 17
    assert len(kept["skipped"]) == 1
    assert "003.png" in kept["skipped"][0]


def test_seeds_and_runs_are_stated(tmp_path: Path) -> None:
    images, one, two = folders(tmp_path, names=("images", "one", "two"))
    told = {"options": {"applying": {"seed": 7}}}
    (tmp_path / "two" / "run.json").write_text(json.dumps(told))
    line = ["evaluate", "--images", images, "--edits", one, two, *WANTED]
    line += ["--leave-out", "lpips", "--leave-out", "diversity", "--leave-out", "sc"]
    assert main([*line, "--out", str(tmp_path / "out")]) == 0
    kept = json.loads((tmp_path / "out" / "table.json").read_text())
    assert kept["seeds"] == {"bootstrap": 0, "noise": [None, 7]}
    assert 0.5 <= kept["table"]["success"]["value"] < 1  # `two` are the sources
    assert "2 runs with the seeds unknown, 7" in (tmp_path / "out" / "table.md").read_text()


def test_subgroups_from_the_labels_of_the_world(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    faces, out = tmp_path / "faces", tmp_path / "out"
    draw = ["world", "draw", "--split", "test", "--count", "40", "--out", str(faces)]
    assert main(draw) == 0
    line = ["evaluate", "--images", str(faces / "labels.csv"), "--edits", str(faces), "--judge"]
    line += ["none", "--subgroups", "skin", "mouth", "--out", str(out)]
    assert main([*line, "--leave-out", "fid"]) == 0
    groups = json.loads((out / "table.json").read_text())["groups"]
    labels = json.loads((faces / "labels.json").read_text())
    for factor in ("skin", "mouth"):
        known = [row[factor] for row in labels.values()]
        wanted = {v: known.count(v) for v in known if v and known.count(v) >= 8}
        assert {v: row["lpips"]["images"] for v, row in groups[factor].items()} == wanted


@pytest.mark.parametrize("column", [True, False])
def test_subgroups_that_are_too_small_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: bool
) -> None:
    """Of a column of the CSV, and of what the judge sees."""
    images, edits = folders(tmp_path, 12)
    names = results(tmp_path / "images")
    ages = ["young"] * 8 + ["old"] * 3 + [""]
    rows = [f"{name},{age},p{name}" for name, age in zip(names, ages, strict=True)]
    rows[-1] = names[-1]  # a line that ends early has no labels
    table = tmp_path / "images" / "labels.csv"
    table.write_text("\n".join(["file_name,age,person", *rows]))
    line = ["evaluate", "--images", str(table) if column else images, "--edits", edits]
    line += ["--leave-out", "fid", "--leave-out", "sc", "--out", str(tmp_path / "out")]
    assert main([*line, "--subgroups", *(["age", "person"] if column else ["skin"])]) == 0
    kept = json.loads((tmp_path / "out" / "table.json").read_text())
    (told,) = (line for line in capsys.readouterr().err.splitlines() if "too small" in line)
    page = (tmp_path / "out" / "table.md").read_text()
    assert f"**Left out:** {told.removeprefix('asyrp: ')}." in page
    if column:
        assert "subgroups need 8 images each; too small are age: old (3); person: p000.png" in told
        assert told.endswith("p005.png (1) and 5 more")
        assert set(kept["groups"]["age"]) == {"young"}
        assert len(kept["too_small"]["person"]) == 11
    else:
        counts = kept["too_small"]["skin"]
        assert counts
        assert all(f"{skin} ({count})" in told for skin, count in counts.items())


def test_the_judge_of_the_world_refuses_pictures_of_another_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("images", "edits"):
        (tmp_path / name).mkdir()
        for index in range(2):
            write_png(tmp_path / name / f"{index}.png", noise(3, 32, 32, seed=index))
    line = ["evaluate", "--images", str(tmp_path / "images"), "--edits", str(tmp_path / "edits")]
    assert main([*line, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "--judge none" in told
    assert "(b, 3, 64, 64)" in told
