"""`asyrp edit` with several strengths at once, and with the second-order walk."""

import numpy as np
import pytest

from asyrp.commands.common import network
from asyrp.method.cost import counted
from asyrp.options import Network
from places import Place, call, edit_of, picture


def test_several_strengths_are_the_single_edits_for_less(place: Place) -> None:
    store = ["--store", place.root / "store", "--t-start", 700, "--batch-size", 1]
    single = {}
    assert call(*edit_of(place, *store, "--strength", 9, "--out", place.root / "fill")) == 0
    with counted(network(Network())) as apart:
        for strength in (-1, 0.5):
            out = place.root / f"by{strength}"
            assert call(*edit_of(place, *store, "--strength", strength, "--out", out)) == 0
            single[strength] = [picture(out / f"face{i}.png") for i in range(2)]
    with counted(network(Network())) as together:
        assert call(*edit_of(place, *store, "--strengths", -1, 0.5)) == 0
    names = sorted(path.name for path in place.out.glob("*.png"))
    assert names == [f"face{i}_{ending}.png" for i in range(2) for ending in ("+0.5", "-1")]
    for i in range(2):
        for strength, ending in ((-1, "-1"), (0.5, "+0.5")):
            found = picture(place.out / f"face{i}_{ending}.png").astype(int)
            assert np.abs(found - single[strength][i]).max() <= 1
        assert not np.array_equal(single[-1][i], single[0.5][i])
    sheet = picture(place.out / "sheet" / "sheet.png")  # a face a row, a strength a column
    assert sheet.shape == (2 * 68, 2 * 68, 3)
    assert np.array_equal(sheet[70:134, 2:66], picture(place.out / "face1_-1.png"))
    assert together.encodes < apart.encodes
    assert together.decodes < apart.decodes


def test_the_second_order_walk_is_another_edit_of_the_same_face(place: Place) -> None:
    assert call(*edit_of(place)) == 0
    assert call(*edit_of(place, "--solver", "second-order", "--out", place.root / "second")) == 0
    for i in range(2):
        first = picture(place.out / f"face{i}.png").astype(int)
        second = picture(place.root / "second" / f"face{i}.png").astype(int)
        assert 0 < np.abs(first - second).mean() < 40


def test_an_edit_shows_in_its_region_most(place: Place) -> None:
    left = ("--region", 0, 0, 0.5, 0, 0.5, 1, 0, 1)
    everywhere = ("--region", 0, 0, 1, 0, 1, 1, 0, 1)
    found = {}
    for name, words in {"plain": (), "left": left, "all": everywhere, "none": None}.items():
        more = ("--strength", 0) if words is None else ("--strength", 4, *words)
        assert call(*edit_of(place, *more, "--out", place.root / name)) == 0
        found[name] = picture(place.root / name / "face0.png").astype(int)
    assert np.abs(found["all"] - found["plain"]).max() <= 1
    far = {name: np.abs(found[name] - found["none"]).mean((0, 2)) for name in ("plain", "left")}
    assert far["plain"][40:].mean() > 1
    assert far["left"][40:].mean() < far["plain"][40:].mean() / 4
    assert far["left"][:24].mean() > far["plain"][:24].mean() / 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--region", "0", "0", "1", "1"], "three corners or more"),
        (["--region", "0", "0", "0.5", "0.5", "1", "1"], "covers nothing"),
        (["--region", "0", "0", "2", "0", "1", "1"], "lie in 0..1"),
        (["--strengths", "1", "1"], "must differ"),
        (["--strengths", "0.1234567", "0.1234568"], "must differ"),
        (["--strengths", "1", "2", "--solver", "second-order"], "by ddim only"),
    ],
)
def test_ways_that_cannot_be_are_refused(
    place: Place, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    assert call(*edit_of(place, *words)) == 2
    assert named in capsys.readouterr().err
    assert not place.out.exists()
