"""An edit that shows in one part of the image alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.finders.training_goal import SideWalk, TrainingGoal
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.direction_file import SavedDirection
from asyrp.method.directions import GlobalDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.region import polygon_mask, soft_mask
from asyrp.method.schedule import paper_grid
from asyrp.settings import TrainSettings, checked_region
from conftest import noise
from doubles import full_card, random_f_t, tiny_guide

LEFT = (0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0)
RIGHT = (0.5, 0.0, 1.0, 0.0, 1.0, 1.0, 0.5, 1.0)
INNER, EDGE = slice(0, 6), slice(10, 16)  # columns well within and well without the left half
GRID = paper_grid(6)
CPU = torch.device("cpu")


def first_x0(model: HSpaceUNet, *regions: tuple[float, ...]) -> Tensor:
    acts = [
        Attribute(GlobalDirection(noise(*model.h_shape, seed=k)), 0, region=region)
        for k, region in enumerate(regions)
    ]
    return next(reverse_process(model, noise(2, 3, 16, 16), GRID, acts)).x0


def test_a_polygon_covers_what_lies_in_it() -> None:
    assert torch.equal(polygon_mask(LEFT, (4, 4)), torch.tensor([[1.0, 1, 0, 0]] * 4))
    assert polygon_mask((0, 0, 0.125, 0, 0.125, 1, 0, 1), (4, 4))[:, 0].eq(0.5).all()
    corner = polygon_mask((0, 0, 1, 0, 0, 1), (64, 64))
    assert corner.mean() == pytest.approx(0.5, abs=0.01)
    assert corner[0, 0] == 1
    assert corner[-1, -1] == 0
    shoe = polygon_mask((0, 0, 1, 0, 1, 1, 0.75, 1, 0.75, 0.5, 0.25, 0.5, 0.25, 1, 0, 1), (4, 4))
    assert torch.equal(shoe, torch.tensor([[1.0, 1, 1, 1]] * 2 + [[1.0, 0, 0, 1]] * 2))


def test_the_edge_is_soft() -> None:
    mask = soft_mask(LEFT, (64, 64), CPU)
    row = mask[32]
    assert row[:26].min() > 0.999
    assert row[38:].max() < 0.001
    assert (row.diff() <= 0).all()
    assert row[31] + row[32] == pytest.approx(1, abs=1e-4)
    assert torch.allclose(mask[0], row)  # the border of the image is no edge


def test_outside_of_its_region_an_edit_does_nothing(model: HSpaceUNet) -> None:
    plain, whole, left = (first_x0(model, *r) for r in ([], [()], [LEFT]))
    assert torch.allclose(left[..., EDGE], plain[..., EDGE], atol=1e-6)
    assert torch.allclose(left[..., INNER], whole[..., INNER], atol=1e-5)
    assert (whole[..., EDGE] - plain[..., EDGE]).abs().max() > 1e-3


def test_regions_of_several_edits_add_up(model: HSpaceUNet) -> None:
    whole, halves, one = (
        first_x0(model, *regions) for regions in ([(), ()], [LEFT, RIGHT], [LEFT, ()])
    )
    assert torch.equal(one, whole)  # one of them is bound to no region
    columns = [*range(6), *range(10, 16)]  # in the middle both edges are soft
    assert torch.allclose(halves[..., columns], whole[..., columns], rtol=1e-4, atol=1e-4)


def test_training_sees_the_region(model: HSpaceUNet) -> None:
    goals = [TrainingGoal(random_f_t(model), tiny_guide(), GRID)]
    settings = TrainSettings(steps=6, region=LEFT)
    x = noise(1, 2, 3, 16, 16)
    done = SideWalk(model, goals, settings).edited(x, 0, GRID[0], [0])
    far = (done.x0[0] - done.x0_source).abs().amax((0, 1, 2))
    assert far[INNER].min() > 1e-4
    assert far[EDGE].max() < 1e-6


def test_the_card_says_where(model: HSpaceUNet) -> None:
    saved = SavedDirection(random_f_t(model), replace(full_card(model), region=LEFT))
    assert saved.attribute().region == LEFT
    assert saved.attribute(region=()).region == ()
    assert saved.attribute(region=RIGHT).region == RIGHT


@pytest.mark.parametrize(
    ("corners", "match"),
    [
        ((0.1, 0.2, 0.3, 0.4), "three corners or more; got 4 numbers"),
        ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), "got 7 numbers"),
        ((0, 0, 1, 0, 1, 1.5), "lie in 0..1"),
        ((0, 0, 1, 0, 1, float("nan")), "lie in 0..1"),
        ((0, 0, 1, 0, 1, True), "lie in 0..1"),
        ((0, 0, 1, 0, 1, "1"), "lie in 0..1"),
    ],
)
def test_what_is_no_region_is_refused(model: HSpaceUNet, corners: Any, match: str) -> None:
    with pytest.raises(AsyrpError, match=match):
        checked_region(corners)
    with pytest.raises(AsyrpError, match=match):
        replace(full_card(model), region=corners)
    with pytest.raises(AsyrpError, match=match):
        TrainSettings(region=corners)


def test_a_line_is_no_polygon() -> None:
    with pytest.raises(AsyrpError, match="covers nothing"):
        polygon_mask((0, 0, 0.5, 0.5, 1, 1), (8, 8))
