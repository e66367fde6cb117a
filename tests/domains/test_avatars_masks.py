"""Exact masks: which pixels change when a part of the drawing is changed by other means."""

import numpy as np
import pytest

from asyrp.domains.avatars.avatars import Face, draw, sample_face
from asyrp.domains.avatars.masks import PARTS, draw_mask

pytest.importorskip("resvg_py")


def part_of(name: str) -> int:
    return PARTS.index(name)


def face_with(**parts: str) -> Face:
    plain = sample_face("test", 3)
    return Face(plain.values, {**plain.parts, **parts})


def differs(a: Face, b: Face) -> np.ndarray:
    """Pixels that change by more than a soft edge."""
    return np.abs(draw(a).astype(int) - draw(b).astype(int)).max(2) > 60


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("shirt", {"shirt": "#00FF00"}),
        ("skin", {"skin": "#00FF00"}),
        ("background", {"background": "#00FF00"}),
        ("hair", {"hair_color": "#00FF00"}),
    ],
)
def test_recolouring_a_part_changes_its_pixels_and_no_others(
    part: str, changes: dict[str, str]
) -> None:
    face = face_with(facial_hair="NONE", eyewear="NONE")
    moved = differs(face, Face(face.values, {**face.parts, **changes}))
    mask = draw_mask(face) == part_of(part)
    assert mask.sum() > 40
    assert (moved & mask).sum() / mask.sum() > 0.9
    assert (moved & mask).sum() / moved.sum() > 0.9


@pytest.mark.parametrize(
    ("part", "parts"),
    [("eyewear", {"eyewear": "SUNGLASSES"}), ("facial_hair", {"facial_hair": "BEARD_MEDIUM"})],
)
def test_adding_a_part_changes_its_pixels(part: str, parts: dict[str, str]) -> None:
    bare = face_with(facial_hair="NONE", eyewear="NONE")
    worn = Face(bare.values, {**bare.parts, **parts})
    moved = differs(bare, worn)
    mask = draw_mask(worn) == part_of(part)
    assert (draw_mask(bare) == part_of(part)).sum() == 0
    assert (moved & mask).sum() / moved.sum() > 0.95


def test_a_beard_on_hair_of_its_colour_is_still_found() -> None:
    face = face_with(facial_hair="BEARD_LIGHT", hair="FRO")
    mask = draw_mask(face)
    holes = (mask[:, 16:48] == part_of("background")) & (np.arange(64)[:, None] > 16)
    assert not holes[:50].any()
    assert (mask == part_of("facial_hair")).sum() > 60


def test_masks_follow_the_mouth_alone() -> None:
    before, after = sample_face("test", 3), sample_face("test", 3).replaced("mouth", "surprised")
    masks = np.stack([draw_mask(face) for face in (before, after)])
    moved = masks[0] != masks[1]
    assert moved.any()
    rows, columns = np.nonzero(moved)
    assert rows.min() > 32
    assert columns.min() > 16
    assert set(np.unique(masks[moved[None].repeat(2, 0)])) <= {part_of("mouth"), part_of("skin")}
