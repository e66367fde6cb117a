"""asyrp gather: any source becomes a folder, in parts that do not depend on order."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_image_sources import in_celeba, in_csv, in_folder, in_hugging_face, in_lsun, picture

from asyrp.cli import main
from asyrp.commands.gather import safe_stem
from asyrp.storage.image_folders import LONGEST_STEM
from asyrp.storage.image_sources import load, split_of
from asyrp.storage.images import to_uint8


@pytest.mark.parametrize("make", [in_folder, in_csv, in_lsun, in_celeba, in_hugging_face])
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore:passed over"
)
def test_a_gathered_source_has_the_same_pictures_and_labels(
    tmp_path: Path, make: Callable[[Path], str], capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = make(tmp_path), tmp_path / "out"
    assert main(["gather", "--images", source, "--out", str(out)]) == 0
    told = json.loads((out / "gathered.json").read_text())
    files = sorted(out.glob("*.png"))
    assert told["count"] == len(files) == 3
    assert f"{len(told['skipped'])} unreadable" in capsys.readouterr().err
    assert len(told["skipped"]) >= 1
    for index, file in enumerate(files):
        assert np.array_equal(np.asarray(Image.open(file)), np.asarray(picture(index)))
    wanted = load(source).records
    again = load(out / "labels.csv").records if wanted[0].labels else load(out).records
    assert [record.labels for record in again] == [record.labels for record in wanted]


def many(folder: Path, count: int = 30) -> Path:
    folder.mkdir()
    for index in range(count):
        picture(index).save(folder / f"{index:03d}.png")
    return folder


def test_the_splits_are_parts_by_hash_and_cover_the_whole(tmp_path: Path) -> None:
    source, names = many(tmp_path / "in"), []
    for split in ("train", "validation", "test"):
        out = tmp_path / split
        assert main(["gather", "--images", str(source), "--split", split, "--out", str(out)]) == 0
        found = [path.name for path in out.glob("*.png")]
        assert found
        assert all(split_of(name) == split for name in found)
        names += found
    assert sorted(names) == sorted(path.name for path in source.iterdir())


def test_most_and_size(tmp_path: Path) -> None:
    source, out = many(tmp_path / "in", 5), tmp_path / "out"
    line = ["gather", "--images", str(source), "--out", str(out), "--most", "2", "--size", "10"]
    assert main(line) == 0
    assert [record.size for record in load(out).records] == [(10, 10)] * 2
    assert to_uint8(load(out).records[0].image[None]).shape == (1, 10, 10, 3)


def test_a_second_column_of_names_does_not_take_the_place_of_the_first(tmp_path: Path) -> None:
    source, out = many(tmp_path / "in", 1), tmp_path / "out"
    table = source / "labels.csv"
    table.write_text("image_id,file_name,age\n000.png,of/another.png,3\n")
    assert main(["gather", "--images", str(table), "--out", str(out)]) == 0
    (found,) = load(out / "labels.csv").records
    assert (found.name, found.labels) == ("000.png", {"age": "3"})


def test_names_become_files_and_do_not_meet() -> None:
    assert safe_stem("a/b 1.jpg") == "a_b_1"
    assert safe_stem("../../etc/x.png") == "etc_x"
    assert safe_stem("256-00001") == "256-00001"
    assert safe_stem("00000007") == "00000007"
    long = [safe_stem(f"{'ü' * 200}{index}.jpg") for index in range(2)]
    assert long[0] != long[1]
    assert all(len(stem.encode()) <= LONGEST_STEM for stem in long)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--most", "0"], "--most must be 1"),
        (["--size", "100000"], "at most 64,000,000 pixels; got 100000"),
        (["--size", "64", "7"], "of 8 or more"),
        (["--images", "no/such"], "does not exist"),
        (["--images", "{broken}"], "at least one readable image"),
        (["--out", "{in}"], "holds the inputs"),
    ],
)
def test_what_cannot_be_gathered_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], message: str
) -> None:
    source, broken, out = many(tmp_path / "in", 2), tmp_path / "broken", tmp_path / "out"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"nothing")
    places = {"in": str(source), "broken": str(broken)}
    line = ["gather", "--images", str(source), "--out", str(out)]
    assert main([*line, *(word.format(**places) for word in extra)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
    assert not list(tmp_path.glob(".out*"))
