"""The detector on three photographs: eyes and mouth come to lie where the datasets have them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asyrp.errors import MissingExtra
from asyrp.scorers import face_detector
from asyrp.scorers.face_detector import DlibFaces, Face, face_of, load_face_detector
from asyrp.storage.face_alignment import CELEBA, Square, cut, similarity, square_like
from asyrp.storage.images import read_upright

PHOTOGRAPHS = Path(__file__).parents[2] / "docs" / "images" / "photographs"
NAMES = ["astronaut", "obama", "biden"]
CORNERS = np.array([0, 1, 1j, 1 + 1j])


@pytest.fixture(scope="module")
def detect() -> DlibFaces:
    pytest.importorskip("dlib")
    pytest.importorskip("face_recognition_models")
    return load_face_detector()


def photograph(name: str) -> Image.Image:
    return read_upright(PHOTOGRAPHS / f"{name}.jpg")


def only(faces: list[Face]) -> Face:
    (face,) = faces
    return face


def framed(photo: Image.Image, points: np.ndarray) -> Image.Image:
    """CelebA's aligned picture of a face in twice its size, 356 x 436."""
    a, b = similarity(CELEBA, points)
    return cut(photo, Square(b, a * 218), 436).crop((0, 0, 356, 436))


@pytest.mark.parametrize("name", NAMES)
def test_eyes_and_mouth_of_an_aligned_photograph_lie_where_celebas_do(
    name: str, detect: DlibFaces
) -> None:
    photo = photograph(name)
    aligned = framed(photo, only(detect(photo)).points)
    again = only(detect(aligned)).points / 2
    assert abs(again - CELEBA).max() < 6  # of 178 x 218: people differ from the mean
    assert abs((again - CELEBA).mean()) < 1
    eyes = again[:2].mean()
    assert abs(eyes - CELEBA[:2].mean()) < 4


@pytest.mark.parametrize("name", NAMES)
def test_aligning_what_is_aligned_changes_it_by_a_pixel_at_most(
    name: str, detect: DlibFaces
) -> None:
    photo = photograph(name)
    aligned = framed(photo, only(detect(photo)).points)
    square = square_like("celeba", only(detect(aligned)).points / 2)
    wanted = square_like("celeba", CELEBA)
    assert abs(square.at(CORNERS) - wanted.at(CORNERS)).max() < 1.5  # of 178 x 218


@pytest.mark.parametrize("name", NAMES)
def test_like_ffhq_the_eyes_lie_where_the_rule_puts_them(name: str, detect: DlibFaces) -> None:
    photo = photograph(name)
    points = only(detect(photo)).points
    again = only(detect(cut(photo, square_like("ffhq", points), 256))).points
    eyes, mouth = again[:2].mean(), again[2:].mean()
    assert abs(eyes - (0.5 + 0.5j) * 256 + 0.1 * (mouth - eyes)) < 3
    side = max(4 * abs(again[1] - again[0]), 3.6 * abs(mouth - eyes))
    assert side == pytest.approx(256, rel=0.03)


@pytest.mark.parametrize("degrees", [-30, 20])
def test_a_leaning_head_is_put_upright(degrees: int, detect: DlibFaces) -> None:
    photo = photograph("obama")
    leaning = photo.rotate(degrees, Image.Resampling.BICUBIC)
    upright_one, other = (
        cut(one, square_like("celeba", only(detect(one)).points), 64) for one in (photo, leaning)
    )
    difference = np.asarray(upright_one).astype(float) - np.asarray(other)
    assert np.abs(difference)[12:52, 12:52].mean() < 8


def test_faces_are_counted_from_the_left_and_at_any_size(detect: DlibFaces) -> None:
    both = Image.new("RGB", (1000, 520), "grey")
    both.paste(photograph("biden"), (0, 0))
    both.paste(photograph("astronaut").resize((256, 256)), (600, 100))
    first, second = detect(both)
    assert first.box[2] < second.box[0]
    alone = only(detect(photograph("biden"))).points
    assert abs(first.points - alone).max() < 4
    assert abs(second.points[1] - second.points[0]) < 0.7 * abs(alone[1] - alone[0])
    large = both.resize((4000, 2080), Image.Resampling.LANCZOS)
    assert abs(detect(large)[0].points / 4 - alone).max() < 4


def test_where_nobody_is_nobody_is_found(detect: DlibFaces) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    for photo in (Image.new("RGB", (300, 200), "grey"), Image.fromarray(noise)):
        assert detect(photo) == []
    assert detect(Image.new("RGB", (9, 2000))) == []


# without dlib


class Part:
    def __init__(self, at: complex):
        self.x, self.y = at.real, at.imag


class Box:
    def __init__(self, *edges: int):
        self.edges = edges

    def left(self) -> int:
        return self.edges[0]

    def top(self) -> int:
        return self.edges[1]

    def right(self) -> int:
        return self.edges[2]

    def bottom(self) -> int:
        return self.edges[3]


class Shape:
    """68 points, as dlib counts them."""

    rect = Box(10, 20, 89, 99)

    def __init__(self, nose: complex):
        at = [0j] * 36 + [30 + 40j] * 6 + [70 + 44j] * 6 + [0j] * 20
        at[30], at[48], at[54] = nose, 35 + 80j, 66 + 82j
        self._parts = [Part(one) for one in at]

    def parts(self) -> list[Part]:
        return self._parts


def test_the_points_of_a_face_and_its_turn() -> None:
    face = face_of(Shape(50 + 60j), 1.5, zoom=2.0)
    half = 0.5 + 0.5j  # dlib counts from the centres of pixels
    wanted = np.array([30 + 40j, 70 + 44j, 35 + 80j, 66 + 82j])
    assert np.allclose(face.points, (wanted + half) / 2)
    assert face.box == (5, 10, 45, 50)
    assert abs(face.turn) < 0.1
    assert face_of(Shape(75 + 60j), 1.5, 2.0).turn > 0.6
    assert face_of(Shape(25 + 60j), 1.5, 2.0).turn < -0.5


class Finder:
    def __init__(self, *scores: float):
        self._scores = scores

    def run(self, pixels: np.ndarray, upsample: int, adjust: float) -> tuple[list[Box], ...]:
        boxes = [Box(10 * i, 0, 10 * i + 9, 9) for i in range(len(self._scores))]
        return boxes[::-1], list(self._scores), [0] * len(boxes)  # type: ignore[return-value]


def test_faint_faces_count_only_alone() -> None:
    def place(pixels: np.ndarray, box: Box) -> Shape:
        shape = Shape(50 + 60j)
        shape.rect = box
        return shape

    def scores(*found: float) -> list[float]:
        return [face.score for face in DlibFaces(Finder(*found), place)(Image.new("RGB", (99, 9)))]

    assert scores(1.2, 0.1, 0.9) == [0.9, 1.2]
    assert scores(0.1, 0.2) == [0.2, 0.1]


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_detector, "find_spec", lambda name: None)
    monkeypatch.setattr(face_detector, "need", lambda module, extra: None)
    with pytest.raises(MissingExtra, match=r"pip install 'asyrp\[align\]'"):
        load_face_detector()
