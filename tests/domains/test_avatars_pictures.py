"""The faces of the built-in world: drawn alike every time, and never the same in two splits."""

import functools
import itertools
from pathlib import Path

import numpy as np
import pytest

from asyrp.domains.avatars import avatars, train_diffusion
from asyrp.domains.avatars.avatars import FACTORS, SPLITS, UNSEEN, Face, draw, sample_face, visible
from asyrp.domains.avatars.pictures import HIDDEN, labels, pictures
from asyrp.errors import MissingExtra

MANY = 1000


@pytest.fixture(scope="module", autouse=True)
def _artwork() -> None:
    pytest.importorskip("resvg_py")
    pytest.importorskip("python_avatars")


@functools.cache
def faces(split: str, count: int, unseen: float = 0.0) -> list[Face]:
    return [sample_face(split, index, unseen) for index in range(count)]


# sampling


def test_a_face_is_the_same_every_time() -> None:
    assert sample_face("train", 19) == sample_face("train", 19)
    assert sample_face("train", 19) == faces("train", 20)[19]


def test_every_split_has_seeds_of_its_own() -> None:
    assert len(set(SPLITS.values())) == len(SPLITS)
    for a, b in itertools.combinations(SPLITS, 2):
        assert faces(a, 20) != faces(b, 20)
        alike = sum(x.parts == y.parts for x in faces(a, 20) for y in faces(b, 20))
        assert alike == 0, f"{a} and {b} share a face"


def test_unseen_values_are_never_in_the_data_of_the_diffusion_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert set(UNSEEN) == {"hair_color", "skin"}
    for face in faces("train", MANY):
        assert all(face.values[factor] != value for factor, value in UNSEEN.items())
    asked: list[tuple[str, float]] = []

    def remember(
        split: str, count: int, cache: Path | None = None, unseen: float = 0.0, workers: int = 2
    ) -> np.ndarray:
        asked.append((split, unseen))
        raise InterruptedError

    monkeypatch.setattr(train_diffusion, "pictures", remember)
    with pytest.raises(InterruptedError):
        list(train_diffusion.run(tmp_path, tmp_path / "out", 1))
    assert asked == [("train", 0.0)]


def test_unseen_values_come_as_often_as_asked_and_move_nothing_else() -> None:
    plain, mixed = faces("encoder", MANY), faces("encoder", MANY, 0.1)
    for factor, value in UNSEEN.items():
        share = np.mean([face.values[factor] == value for face in mixed])
        assert share == pytest.approx(0.1, abs=0.04)  # the standard error is 0.01
    for a, b in zip(plain, mixed, strict=True):
        kept = [f for f in FACTORS if f not in UNSEEN]
        assert [a.values[f] for f in kept] == [b.values[f] for f in kept]
        assert [a.parts[f] for f in kept] == [b.parts[f] for f in kept]


def test_factors_are_drawn_independently() -> None:
    """No factor tells another: their joint shares are the products of their own, within noise."""
    rows = np.array([[face.values[f] for f in FACTORS] for face in faces("train", MANY)])
    for i, j in itertools.combinations(range(len(FACTORS)), 2):
        for a, b in itertools.product(np.unique(rows[:, i]), np.unique(rows[:, j])):
            joint = np.mean((rows[:, i] == a) & (rows[:, j] == b))
            apart = np.mean(rows[:, i] == a) * np.mean(rows[:, j] == b)
            assert abs(joint - apart) < 0.05  # the standard error is below 0.01


def test_every_value_and_every_part_is_drawn() -> None:
    seen = {(f, face.parts[f]) for face in faces("train", MANY, 0.1) for f in FACTORS}
    assert seen == {(f, p) for f, table in FACTORS.items() for ps in table.values() for p in ps}


# labels


def test_what_does_not_show_has_no_label() -> None:
    rows, kinds = labels("test", 150), list(FACTORS)
    assert rows.shape == (150, len(FACTORS))
    assert rows.dtype == np.int8
    for face, row in zip(faces("test", 150), rows, strict=True):
        hidden = set()
        if face.values["eyewear"] == "sunglasses":
            hidden.add("eyes")
        if face.values["hair"] == "bald" and face.values["facial_hair"] == "none":
            hidden.add("hair_color")
        for factor, label in zip(kinds, row, strict=True):
            assert (label == HIDDEN) == (factor in hidden) == (face.label(factor) is None)
            if factor not in hidden:
                assert list(FACTORS[factor])[label] == face.values[factor]
    assert (rows == HIDDEN).any(0).sum() == 2


def test_a_replaced_value_is_shown_and_the_rest_stays() -> None:
    face = sample_face("test", 0)
    for factor, table in FACTORS.items():
        for value, parts in table.items():
            other = face.replaced(factor, value)
            assert other.values[factor] == value
            assert other.parts[factor] == parts[0]
            assert {k: v for k, v in other.parts.items() if k != factor} == {
                k: v for k, v in face.parts.items() if k != factor
            }
    assert face == sample_face("test", 0)


# drawing


def test_a_drawing_is_the_same_every_time() -> None:
    face = sample_face("test", 3)
    first = draw(face)
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, draw(face))
    assert draw(face, 100).shape == (100, 100, 3)


def test_every_part_can_be_drawn_and_every_value_looks_different() -> None:
    face = sample_face("test", 0)
    for factor, value in (("eyewear", "none"), ("facial_hair", "none"), ("hair", "short")):
        face = face.replaced(factor, value)
    for factor, table in FACTORS.items():
        looks = {}
        for value, parts in table.items():
            for part in parts:
                look = draw(Face({**face.values, factor: value}, {**face.parts, factor: part}))
                assert 5 < look.std() < 120, f"{factor} {part} is blank"
                looks[part] = look.tobytes()
        assert len(set(looks.values())) == len(looks), factor


def test_what_is_hidden_cannot_be_seen() -> None:
    """Hair colour on a bald, shaven head leaves every pixel but the brows' as it is."""
    bald = sample_face("test", 0).replaced("hair", "bald").replaced("facial_hair", "none")
    assert not visible(bald.values, "hair_color")
    black, blonde = (draw(bald.replaced("hair_color", c)) for c in ("black", "blonde"))
    assert np.array_equal(black, blonde)
    bearded = bald.replaced("facial_hair", "beard")
    assert visible(bearded.values, "hair_color")
    black, blonde = (draw(bearded.replaced("hair_color", c)) for c in ("black", "blonde"))
    assert not np.array_equal(black, blonde)


def test_without_the_artwork_the_pip_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str, extra: str) -> None:
        raise MissingExtra(f"{module}: pip install 'asyrp[{extra}]'")

    monkeypatch.setattr(avatars, "need", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'asyrp\[world\]'"):
        draw(sample_face("test", 0))


# pictures


def test_pictures_are_the_drawings_in_order() -> None:
    found = pictures("test", 4, workers=1)
    assert np.array_equal(found, np.stack([draw(sample_face("test", i)) for i in range(4)]))
    assert np.array_equal(pictures("test", 2, workers=1), found[:2])
    assert pictures("test", 3, unseen=1.0, workers=1).shape == found[:3].shape
    assert not np.array_equal(pictures("test", 3, unseen=1.0, workers=1), found[:3])


def test_several_workers_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from asyrp.domains.avatars import pictures as module

    monkeypatch.setattr(module, "FEW", 2)
    assert np.array_equal(pictures("test", 5, workers=2), pictures("test", 5, workers=1))


def test_a_cache_is_filled_once_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pictures("test", 3, tmp_path / "cache", workers=1)
    kept = list((tmp_path / "cache").iterdir())
    assert len(kept) == 1

    def never(*_: object) -> np.ndarray:
        raise AssertionError("drawn again")

    monkeypatch.setattr("asyrp.domains.avatars.pictures.draw", never)
    assert np.array_equal(pictures("test", 3, tmp_path / "cache", workers=1), first)
    for other in (("test", 2, 0.0), ("train", 3, 0.0), ("test", 3, 0.5)):
        split, count, unseen = other
        with pytest.raises(AssertionError, match="drawn again"):
            pictures(split, count, tmp_path / "cache", unseen, 1)
    assert list((tmp_path / "cache").iterdir()) == kept
