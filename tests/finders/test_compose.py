"""Directions from directions, and where they act."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.finders.base import FinderData, FoundDirection, last_of
from asyrp.finders.catalogue import Compose
from asyrp.finders.compose import complement, mean_table, slerp
from asyrp.finders.masks import picture_mask, segment_mask
from asyrp.method.direction_file import DirectionCard, SavedDirection
from asyrp.method.directions import GlobalDirection, TimestepDirection
from asyrp.method.editing import edit
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.region import polygon_mask
from asyrp.method.unedited_trajectory import editing_window
from conftest import noise
from doubles import random_f_t
from planted import planted

NETWORK, MODEL = planted()
STEPS = 10
WINDOW = editing_window(999, 500, STEPS)


def saved(direction: nn.Module, **changes: Any) -> SavedDirection:
    facts = {"t_edit": 500, "t_boost": 0, "trained_steps": STEPS, "strength": 1.0, **changes}
    return SavedDirection(direction, DirectionCard("face", "smile", fingerprint="", **facts))


def factor(number: int, size: float = 1.0, **changes: Any) -> SavedDirection:
    return saved(GlobalDirection(size * NETWORK.truth(number)), **changes)


def composed(*parts: SavedDirection, **settings: Any) -> FoundDirection:
    without, mask = settings.pop("leave", ()), settings.pop("where", None)
    words = settings.pop("words", tuple("x" for _ in parts))
    data = FinderData(noise(2, *MODEL.image_shape), WINDOW, directions=parts, without=without,
                      steps=STEPS, mask=mask)  # fmt: skip
    (found,) = last_of(Compose(words, **settings).find(MODEL, data))
    return found


def tables(found: FoundDirection) -> dict[int, Tensor]:
    assert isinstance(found.direction, TimestepDirection)
    assert set(found.direction.table) == {pair.t for pair in WINDOW.grid}
    return found.direction.table


def test_parts_of_one_region_keep_it() -> None:
    left, right = (0.0, 0, 0.5, 0, 0.5, 1, 0, 1), (0.5, 0, 1, 0, 1, 1, 0.5, 1)
    assert composed(factor(0, region=left), factor(1, region=left)).region == left
    assert composed(factor(0, region=left), factor(1, region=right)).region == ()
    assert composed(factor(0, region=left), factor(1)).region == ()


def test_weighted_sums_and_negation() -> None:
    found = composed(factor(0), factor(1, 2.0), words=("a:0.5", "b:-1"))
    wanted = 0.5 * NETWORK.truth(0) - 2 * NETWORK.truth(1)
    assert all(torch.allclose(dh, wanted, atol=1e-6) for dh in tables(found).values())


def test_strengths_grids_and_intervals_are_those_of_the_parts() -> None:
    """The composed direction edits as its parts do side by side."""
    parts = [
        factor(0, strength=1.5, trained_steps=5),
        saved(TimestepDirection({999: NETWORK.truth(1), 500: -NETWORK.truth(1)}), t_edit=700),
        factor(2, t_start=800),
    ]
    found = composed(*parts)
    one = saved(found.direction)
    x = noise(2, *MODEL.image_shape, seed=3)
    apart = edit(MODEL, x, [part.attribute() for part in parts], STEPS)
    together = edit(MODEL, x, [one.attribute()], STEPS)
    assert torch.allclose(apart, together, atol=1e-4)
    assert not torch.allclose(apart, edit(MODEL, x, (), STEPS), atol=0.1)


def test_an_f_t_is_taken_as_its_mean_along_its_own_edit(model: HSpaceUNet) -> None:
    f_t = saved(random_f_t(model), strength=2.0, trained_steps=20)
    data = FinderData(noise(3, *model.image_shape), WINDOW, steps=STEPS)
    table = mean_table(model, f_t, data)
    encoded = model.encode(data.latents, 999)
    wanted = 4.0 * f_t.direction(encoded.h, encoded.emb, 999).mean(0)
    assert torch.allclose(table[999], wanted, atol=1e-4)
    empty = FinderData(data.latents[:0], WINDOW, steps=STEPS)
    with pytest.raises(AsyrpError, match="an f_t depends on the image"):
        mean_table(model, f_t, empty)


def test_without_leaves_no_part_of_the_others() -> None:
    mixed = saved(GlobalDirection(NETWORK.truth(0) + NETWORK.truth(1) + NETWORK.truth(2)))
    found = composed(mixed, leave=(factor(1), factor(2, 3.0), factor(2)))
    assert all(torch.allclose(dh, NETWORK.truth(0), atol=1e-5) for dh in tables(found).values())
    assert found.explains["kept"][999] == pytest.approx(3**-0.5, abs=1e-3)
    with pytest.raises(AsyrpError, match="nothing is left of the direction"):
        composed(factor(1, 5.0), leave=(factor(1),))


def test_without_counts_outside_of_the_interval_of_the_others_too() -> None:
    mixed = saved(GlobalDirection(NETWORK.truth(0) + NETWORK.truth(1)))
    found = composed(mixed, leave=(factor(1, t_edit=900),))
    assert all(torch.allclose(dh, NETWORK.truth(0), atol=1e-5) for dh in tables(found).values())


def test_slerp_goes_along_the_arc_at_every_timestep() -> None:
    found = composed(factor(0), factor(1, 3.0), between=0.5)
    for dh in tables(found).values():
        assert float(dh.norm()) == pytest.approx(2.0, rel=1e-4)
        parts = [float((dh * NETWORK.truth(k)).sum()) for k in (0, 1)]
        assert parts == pytest.approx([2**0.5, 2**0.5], rel=1e-4)
    a, b = noise(2, 3, 2, 2)
    assert torch.allclose(slerp(a, b, 0.0), a, atol=1e-5)
    assert torch.allclose(slerp(a, b, 1.0), b, atol=1e-5)
    assert torch.allclose(slerp(a, 3 * a, 0.5), 2 * a, atol=1e-5)  # no arc between parallels
    with pytest.raises(AsyrpError, match="--between needs two directions; got 3"):
        Compose(("a", "b", "c"), between=0.5)


def test_complement_of_nothing_is_everything() -> None:
    dh = noise(3, 2, 2)
    assert torch.equal(complement(dh, []), dh)
    assert torch.equal(complement(dh, [torch.zeros_like(dh)]), dh)


def test_a_mask_says_where_in_h() -> None:
    mask = polygon_mask((0, 0, 0.5, 0, 0.5, 1, 0, 1), (8, 8))
    assert torch.allclose(mask, torch.tensor([1.0] * 4 + [0.0] * 4).expand(8, 8), atol=0.2)
    found = composed(factor(0), where=mask)
    for dh in tables(found).values():
        assert torch.allclose(dh[:, :, 0], NETWORK.truth(0)[:, :, 0], atol=0.1)
        assert dh[:, :, 1].abs().max() < 0.1


def test_masks_of_pictures_and_segments(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    mask = picture_mask(tmp_path / "mask.png", (16, 16))
    assert mask[:8].eq(1).all()
    assert mask[8:].eq(0).all()

    class Halves:
        name = "halves"

        def masks(self, images: Tensor) -> np.ndarray:
            parts = np.zeros((len(images), 16, 16), int)
            parts[0, :, :8] = 4
            parts[1, :, 8:] = 7
            return parts

    shown = segment_mask(Halves(), torch.zeros(2, 3, 16, 16), (4, 9))
    assert shown[:, :8].eq(0.5).all()
    assert shown[:, 8:].eq(0).all()
    with pytest.raises(AsyrpError, match="the classes 9 of halves covers nothing"):
        segment_mask(Halves(), torch.zeros(2, 3, 16, 16), (9,))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"polygon": (0.1, 0.2, 0.3)}, "three corners or more; got 3 numbers"),
        ({"polygon": (0.0,) * 6, "mask": Path("a.png")}, "got several"),
        ({"segments": (1,)}, "--segments and --segmenter need each other"),
    ],
)
def test_what_says_where_is_checked(settings: Any, match: str) -> None:
    with pytest.raises(AsyrpError, match=match):
        Compose(("a",), **settings)
    with pytest.raises(AsyrpError, match="lie in 0..1"):
        polygon_mask((0, 0, 2, 0, 0, 1), (8, 8))
