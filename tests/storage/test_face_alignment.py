"""Squares of photographs: where datasets put them, cutting out and putting back, to sub-pixels."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asyrp.errors import AsyrpError
from asyrp.storage.alignment_note import AlignmentNote, read_alignment
from asyrp.storage.face_alignment import CELEBA, Square, cut, put_back, similarity, square_like
from asyrp.storage.images import save_png

A, B = 1.7 * np.exp(0.4j), 80 - 35j  # a similarity: scale, turn and shift
TILTED = Square(70 + 40j, 100 * np.exp(0.3j))
PARTLY = Square(-20 + 110j, 90 * np.exp(-0.2j))  # not all of it in a photograph of 240 x 200
POINTS = np.array([100 + 120j, 160 + 110j, 115 + 180j, 160 + 175j])
rng = np.random.default_rng(0)


def noisy(width: int = 240, height: int = 200) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def blob(at: complex, size: tuple[int, int] = (240, 200), radius: float = 4) -> Image.Image:
    """A light spot on black whose centre is known to any fraction of a pixel."""
    x, y = np.arange(size[0]) + 0.5, np.arange(size[1])[:, None] + 0.5
    light = 250 * np.exp(-((x - at.real) ** 2 + (y - at.imag) ** 2) / (2 * radius**2))
    return Image.fromarray(np.repeat(light.round().astype(np.uint8)[..., None], 3, axis=2))


def centre(values: np.ndarray) -> complex:
    """The centre of gravity of (height, width, 3)."""
    light = values.astype(float).sum(axis=2)
    at = np.arange(light.shape[1]) + 0.5 + 1j * (np.arange(light.shape[0])[:, None] + 0.5)
    return complex((light * at).sum() / light.sum())


def test_a_similarity_is_found_again_and_is_the_least_squares() -> None:
    a, b = similarity(CELEBA, A * CELEBA + B)
    assert np.allclose((a, b), (A, B))
    target = A * CELEBA + B + rng.normal(size=4) + 1j * rng.normal(size=4)
    a, b = similarity(CELEBA, target)
    least = (abs(a * CELEBA + b - target) ** 2).sum()
    for da, db in ((0.01, 0), (0.01j, 0), (0, 0.3), (0, 0.3j)):
        assert (abs((a + da) * CELEBA + b + db - target) ** 2).sum() > least


def test_like_celeba_is_the_box_of_the_halved_picture() -> None:
    square = square_like("celeba", CELEBA / 2)
    assert square.corner == pytest.approx(10 + 26j)
    assert square.corner + (1 + 1j) * square.edge == pytest.approx(80 + 96j)


@pytest.mark.parametrize("points", [POINTS, POINTS.real + 1.6j * POINTS.imag])
def test_like_ffhq_is_the_published_rule(points: np.ndarray) -> None:
    """In the vectors of the paper, for faces whose width decides and whose height does."""
    e0, e1, m0, m1 = (np.array([p.real, p.imag]) for p in points)
    wide, high = e1 - e0, (e0 + e1) / 2 - (m0 + m1) / 2
    middle = (e0 + e1) / 2 - 0.1 * high
    side = max(4.0 * np.hypot(*wide), 3.6 * np.hypot(*high))
    x = wide - np.array([high[1], -high[0]])
    x *= side / 2 / np.hypot(*x)
    y = np.array([-x[1], x[0]])
    square = square_like("ffhq", points)
    found = square.at(np.array([0, 1, 1j, 1 + 1j]))
    wanted = [middle - x - y, middle + x - y, middle - x + y, middle + x + y]
    assert np.allclose(np.stack([found.real, found.imag], 1), wanted)
    assert square_like("celeba-hq", points) == square


@pytest.mark.parametrize("like", ["celeba", "ffhq"])
def test_a_face_that_is_moved_turned_and_scaled_takes_its_square_along(like: str) -> None:
    square, moved = square_like(like, POINTS), square_like(like, A * POINTS + B)
    assert moved.corner == pytest.approx(A * square.corner + B)
    assert moved.edge == pytest.approx(A * square.edge)


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.1])
def test_what_is_cut_out_lies_where_the_square_says(scale: float) -> None:
    square = Square(TILTED.corner, TILTED.edge * scale / 2)
    inside = 0.43 + 0.58j
    at = complex(square.at(np.array(inside)))
    size = 64
    found = centre(np.asarray(cut(blob(at, radius=4 * scale), square, size)))
    assert abs(found / size - inside) * size < 0.1
    assert complex((at - square.corner) / square.edge) == pytest.approx(inside)


def test_an_upright_square_in_its_own_size_is_cut_out_bit_by_bit() -> None:
    photo = noisy()
    whole = np.asarray(photo)[30:94, 50:114]
    assert np.array_equal(np.asarray(cut(photo, Square(50 + 30j, 64), 64)), whole)


def test_beyond_its_edges_a_photograph_is_mirrored() -> None:
    photo = noisy()
    square = Square(-16 - 8j, 64)
    found, pixels = np.asarray(cut(photo, square, 64)), np.asarray(photo)
    assert np.array_equal(found[8:, 16:], pixels[:56, :48])
    assert np.array_equal(found[8:, :16], pixels[:56, :16][:, ::-1])
    assert np.array_equal(found[:8, 16:], pixels[:8, :48][::-1])
    assert square.outside(photo.size) == pytest.approx(1 - 48 * 56 / 64**2)
    assert np.asarray(cut(photo, Square(-500 - 500j, 1200), 32)).shape == (32, 32, 3)


@pytest.mark.parametrize("square", [TILTED, PARTLY, Square(10 + 10j, 20), Square(-30 - 40j, 300)])
@pytest.mark.parametrize("size", [32, 64])
def test_an_edit_of_nothing_gives_the_photograph_back_bit_by_bit(square: Square, size: int) -> None:
    photo = noisy()
    aligned = cut(photo, square, size)
    back = put_back(photo, square, aligned, aligned)
    assert np.array_equal(np.asarray(back), np.asarray(photo))


@pytest.mark.parametrize("square", [TILTED, PARTLY])
def test_an_edit_changes_what_is_inside_of_the_square_alone(square: Square) -> None:
    photo = noisy()
    aligned = cut(photo, square, 64)
    inverted = Image.fromarray(255 - np.asarray(aligned))
    back = put_back(photo, square, aligned, inverted)
    at = np.arange(240) + 0.5 + 1j * (np.arange(200)[:, None] + 0.5)
    inside = (at - square.corner) / square.edge
    away = np.maximum(abs(inside.real - 0.5), abs(inside.imag - 0.5))  # 0.5 at the edges
    changed = np.abs(np.asarray(back).astype(int) - np.asarray(photo)).max(axis=2)
    assert changed[away > 0.5].max() == 0
    assert changed[away > 0.48].max() < 30  # it fades out
    assert np.median(changed[away < 0.3]) > 50


def test_an_edit_is_put_where_it_was_made() -> None:
    """At another size than the aligned picture's, too."""
    photo = Image.new("RGB", (240, 200), (60, 60, 60))
    aligned = cut(photo, TILTED, 64)
    for size in (64, 96):
        spot = np.asarray(blob(complex(0.43, 0.58) * size, (size, size), radius=size / 16))
        edited = Image.fromarray(60 + (spot // 2))
        back = put_back(photo, TILTED, aligned, edited)
        found = centre(np.asarray(back).astype(int) - 60)
        assert abs(found - complex(TILTED.at(np.array(0.43 + 0.58j)))) < 0.2


def test_fine_detail_stays_under_small_changes_and_goes_under_large_ones() -> None:
    stripes = np.zeros((200, 240, 3), np.uint8)
    stripes[:, ::2] = 160  # finer than the aligned picture can show
    photo, square = Image.fromarray(stripes), Square(50 + 30j, 128)
    aligned = cut(photo, square, 32)
    middle = (slice(80, 110), slice(100, 130))
    kept = {}
    for added in (5, 100):
        edited = Image.fromarray(np.asarray(aligned) + np.uint8(added))
        kept[added] = np.asarray(put_back(photo, square, aligned, edited))[middle]
    assert kept[5].std() > 0.9 * stripes[middle].std()
    assert kept[100].std() < 0.1 * stripes[middle].std()
    assert kept[100].mean() == pytest.approx(stripes[middle].mean() + 100, abs=2)


# the note


def test_a_note_is_read_back(tmp_path: Path) -> None:
    note = AlignmentNote("a photo.jpg", (240, 200), "ffhq", TILTED)
    save_png(tmp_path / "a.png", noisy(16, 16), note.as_text())
    assert read_alignment(tmp_path / "a.png") == note


GOOD = {"photograph": "a.jpg", "size": [9, 9], "like": "celeba", "corner": [0, 0], "edge": [9, 0]}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "no JSON",
        "[]",
        "{}",
        json.dumps({**GOOD, "edge": [0, 0]}),
        json.dumps({**GOOD, "edge": [1e9, 0]}),
        json.dumps({**GOOD, "corner": [float("nan"), 0]}),
        json.dumps({**GOOD, "size": [9]}),
        json.dumps({**GOOD, "corner": [0, 0, 0]}),
        json.dumps({**GOOD, "corner": [10**400, 0]}),
    ],
)
def test_a_note_that_cannot_be_is_refused(tmp_path: Path, text: str | None) -> None:
    save_png(tmp_path / "a.png", noisy(16, 16), {"Alignment": text} if text else {})
    with pytest.raises(AsyrpError, match="align the photograph again"):
        read_alignment(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"nothing")
    with pytest.raises(AsyrpError, match="align the photograph again"):
        read_alignment(tmp_path / "b.png")
