"""DiffusionCLIP: what is trained, with which loss, and how weights are blended."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from asyrp.editing_methods.diffusionclip import blended, fine_tune, trainable
from asyrp.editing_methods.label_swap import swap_condition
from asyrp.finders.clip_training import batches_of
from asyrp.method.clip_loss import loss_of
from asyrp.method.ddim import generate, invert_steps
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import linear, paper_grid
from asyrp.method.text_direction import TextDirection
from asyrp.method.unedited_trajectory import UneditedTrajectory, Window, joined, prepare
from asyrp.settings import TrainSettings
from conftest import noise, tiny_model, tiny_unet

SETTINGS = replace(TrainSettings(), epochs=2, batch_size=2, decay=False, learning_rate=1e-4)


class Colours:
    """An encoder that sees four corners' colours."""

    name, text_common = "colours", 0.0

    def image_features(self, images: Tensor) -> Tensor:
        return functional.normalize(functional.avg_pool2d(images, 8).flatten(1), dim=1)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        return functional.normalize(noise(len(texts), 12), dim=1)


def prepared(model: HSpaceUNet) -> tuple[TextDirection, UneditedTrajectory, tuple[object, ...]]:
    guide = TextDirection(Colours(), functional.normalize(noise(12, seed=8), dim=0), 0.9)
    grid = paper_grid(3)
    parts = prepare(model, guide, noise(4, 3, 16, 16), Window((), grid), 2)
    return guide, joined(list(parts)), grid


def test_the_network_is_trained_and_the_original_is_left_alone() -> None:
    model = tiny_model()
    before = {k: v.clone() for k, v in model.unet.state_dict().items()}
    guide, sources, grid = prepared(model)
    tuned = trainable(model)
    steps = list(fine_tune(tuned, guide, sources, grid, replace(SETTINGS, learning_rate=3e-4)))
    assert len(steps) == 2 * 2 * 3
    assert steps[-1].directional < steps[0].directional
    assert all(torch.equal(before[k], v) for k, v in model.unet.state_dict().items())
    moved = [not torch.equal(before[k], v) for k, v in tuned.unet.state_dict().items()]
    assert sum(moved) > 0.9 * len(moved)
    assert not any(p.requires_grad for p in model.unet.parameters())


def test_a_network_in_half_precision_is_trained_in_whole() -> None:
    """Adam's steps of 1e-4 are lost where weights have eight bits."""
    model = tiny_model(dtype=torch.bfloat16)
    before = {k: v.float() for k, v in model.unet.state_dict().items()}
    guide, sources, grid = prepared(model)
    tuned = trainable(model)
    list(fine_tune(tuned, guide, sources, grid, SETTINGS))
    moved = tuned.unet.state_dict()
    changes = [(moved[k] - v).abs().max() for k, v in before.items()]
    assert min(changes) > 0
    assert max(changes) < 0.01  # not by rounding either
    half = blended(model, tuned, 0.5).unet.state_dict()
    for key, value in before.items():
        torch.testing.assert_close(half[key], (value + moved[key]) / 2)
    assert model.dtype == torch.bfloat16


def test_the_first_loss_is_that_of_the_untouched_network() -> None:
    model = tiny_model()
    guide, sources, grid = prepared(model)
    first = next(iter(fine_tune(trainable(model), guide, sources, grid, SETTINGS)))
    rows = batches_of(4, SETTINGS)[0]
    x0 = sources.x0[0, rows]
    wanted = loss_of(x0, x0, sources.features[0, rows], guide, SETTINGS)
    assert float(first.total) == pytest.approx(float(wanted.total), rel=1e-4)
    assert first.reconstruction == 0


def test_batches_are_a_shuffle_an_epoch() -> None:
    order = batches_of(5, SETTINGS)
    assert [len(rows) for rows in order] == [2, 2, 1] * 2
    assert sorted(torch.cat(order[:3]).tolist()) == list(range(5))
    assert torch.cat(order[:3]).tolist() != torch.cat(order[3:]).tolist()


def test_blending_goes_through_both_networks_on_a_line() -> None:
    model, other = tiny_model(), trainable(tiny_model())
    with torch.no_grad():
        for weight in other.unet.parameters():
            weight.add_(1.0)
    for share in (0.0, 0.5, 1.0, 1.5):
        mixed = blended(model, other, share)
        for own, found in zip(model.unet.parameters(), mixed.unet.parameters(), strict=True):
            assert torch.allclose(found, own + share, atol=1e-6)


@torch.no_grad()
def test_a_swapped_condition_is_two_walks_under_two_labels() -> None:
    unet, grid = tiny_unet(num_class_embeds=3), paper_grid(4)
    plain = HSpaceUNet(unet, linear())
    source, target = (HSpaceUNet(unet, linear(), class_label=label) for label in (0, 2))
    images, labels = noise(2, 3, 16, 16).clamp(-1, 1), torch.tensor([2, 2])
    *_, done = swap_condition(source, target, images, grid)
    first = invert_steps(source, source.schedule, images, grid, "source", 1)
    *_, top = first
    under = generate(lambda x, t: plain(x, t, labels), plain.schedule, top.x, grid)
    assert torch.equal(done.x, list(under)[-1].x)
    *_, same = swap_condition(source, source, images, grid)
    assert (same.x - images).abs().mean() < (done.x - images).abs().mean()
