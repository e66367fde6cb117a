"""Passes counted by hooks against passes counted by hand."""

import pytest
import torch

from asyrp.editing_methods.diffusionclip import trainable
from asyrp.method.asymmetric_process import Attribute, reverse_process, symmetric
from asyrp.method.cost import Cost, counted, encoder_share
from asyrp.method.directions import GlobalDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import paper_grid
from conftest import noise


@torch.no_grad()
def test_a_walk_costs_what_the_method_says(model: HSpaceUNet) -> None:
    x, grid = noise(3, 3, 16, 16), paper_grid(4)
    act = Attribute(GlobalDirection(torch.zeros(model.h_shape)), grid[1].t, trained_steps=4)
    with counted(model) as plain:
        list(reverse_process(model, x, grid))
    with counted(model) as ours:
        list(reverse_process(model, x, grid, [act]))
    with counted(model) as both:
        list(reverse_process(model, x, grid, [act], shift=symmetric))
    assert (plain.encodes, plain.decodes) == (12, 12)
    assert (ours.encodes, ours.decodes) == (12, 12 + 2 * 3)
    assert (both.encodes, both.decodes) == (12, 12)
    assert ours.encodes_back == ours.decodes_back == 0
    assert plain.evaluations(0.3) == pytest.approx(12)
    assert ours.evaluations(0.3) == pytest.approx(12 + 6 * 0.7)
    assert ours.seconds > 0


def test_backward_passes_are_counted_where_they_happen(model: HSpaceUNet) -> None:
    x, grid = noise(2, 3, 16, 16), paper_grid(2)
    direction = GlobalDirection(torch.zeros(model.h_shape))
    with counted(model) as ours:
        for done in reverse_process(model, x, grid, [Attribute(direction, 0, trained_steps=2)]):
            done.x0.square().mean().backward()
    assert (ours.encodes_back, ours.decodes_back) == (0, 4)
    tuned = trainable(model)
    with counted(tuned) as theirs:
        for done in reverse_process(tuned, x, grid):
            done.x0.square().mean().backward()
    assert (theirs.encodes_back, theirs.decodes_back) == (8, 8)


def test_counting_ends_with_the_block(model: HSpaceUNet) -> None:
    with counted(model) as cost:
        pass
    model(noise(1, 3, 16, 16), 5)
    assert (cost.encodes, cost.decodes) == (0, 0)


def test_the_encoders_share_is_of_all_multiplications(model: HSpaceUNet) -> None:
    share = encoder_share(model)
    assert 0.1 < share < 0.6
    assert Cost(encodes=10, decodes=10).evaluations(share) == pytest.approx(10)


def test_seconds_end_when_a_gpu_has_finished(
    model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = list[torch.device]()
    monkeypatch.setattr(HSpaceUNet, "device", torch.device("cuda:1"))
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    with counted(model):
        assert waited == [torch.device("cuda:1")]  # nothing from before is counted
    assert len(waited) == 2
