"""Singular vectors by power iteration, against dense Jacobians and a planted factor."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import asyrp.finders.jacobian as jacobian
from asyrp.errors import AsyrpError
from asyrp.finders.base import FinderData, last_of
from asyrp.finders.catalogue import Jacobian
from asyrp.finders.jacobian import evenly, forward_derivatives, leading, operator_of, orthonormal
from asyrp.method.ddim import predict_x0
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import paper_grid
from asyrp.method.unedited_trajectory import editing_window
from asyrp.runtime.fast_blocks import use_fast_blocks
from conftest import noise, tiny_model
from planted import planted

NETWORK, MODEL = planted()
WINDOW = editing_window(999, 500, steps=10)


@pytest.mark.parametrize("of", ["prediction", "bottleneck"])
@pytest.mark.parametrize("images", [1, 3])
def test_it_recovers_the_planted_factors(of: Any, images: int) -> None:
    data = FinderData(noise(images, *MODEL.image_shape), WINDOW)
    found = last_of(Jacobian(of, components=2, timesteps=3).find(MODEL, data))
    assert [one.name for one in found] == ["jacobian-1", "jacobian-2"]
    for factor, one in enumerate(found):
        rows = torch.stack(list(one.direction.table.values())).flatten(1)
        near = functional.cosine_similarity(rows, NETWORK.truth(factor).flatten()[None])
        assert len(near) == 3
        assert near.abs().min() >= 0.99
        assert len(set(near.sign().tolist())) == 1
    values = found[0].explains["singular_values"]
    if of == "prediction":  # P_t = G diag(s) h: what is known of it
        assert list(values.values()) == pytest.approx([4.0] * 3, rel=1e-3)
    assert min(found[0].explains["likeness_of_timesteps"]) > 0.99


def attentive() -> HSpaceUNet:
    """With attention, and with the blocks that networks come with from `load_model`."""
    model = tiny_model(down_block_types=("DownBlock2D", "AttnDownBlock2D"), attention_head_dim=4)
    use_fast_blocks(model.unet)
    model.unet.to(memory_format=torch.channels_last)
    return model.requires_grad_(False)


def applied(model: HSpaceUNet, of: Any, x: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    with forward_derivatives(model):
        return operator_of(Jacobian(of), model, x, 600, mask)(v)


@pytest.mark.parametrize("masked", [False, True])
def test_the_operator_of_the_prediction(masked: bool) -> None:
    """u . J^T J v = J u . J v, each J u by small steps."""
    model, x = attentive(), noise(1, 3, 16, 16)
    encoded, alpha_bar = model.encode(x, 600), model.schedule.alpha_bar(600)
    mask = torch.zeros(16, 16)
    mask[:4, :4] = 1.0
    v = noise(3, encoded.h.numel(), seed=4)

    def moved(row: Tensor) -> Tensor:
        ends = [encoded.h + sign * row.view_as(encoded.h) for sign in (1e-2, -1e-2)]
        up, down = (predict_x0(x, model.decode(encoded, h), alpha_bar) for h in ends)
        return (up - down).mul(mask if masked else 1.0).flatten() / 2e-2

    images = torch.stack([moved(row) for row in v])
    found = applied(model, "prediction", x, v, mask if masked else None) @ v.T
    assert (found - images @ images.T).abs().max() < 1e-2 * found.abs().max()


def test_the_operator_of_the_pullback() -> None:
    """u . J J^T v = J^T u . J^T v, each J^T u by backward."""
    model = attentive()
    x = noise(1, 3, 16, 16).requires_grad_()
    h = model.encode(x, 600).h.flatten()
    v = noise(3, len(h), seed=4)
    rows = [torch.autograd.grad(h @ row, x, retain_graph=True)[0].flatten() for row in v]
    images = torch.stack(rows)
    found = applied(model, "bottleneck", x.detach(), v, None) @ v.T
    assert (found - images @ images.T).abs().max() < 1e-3 * found.abs().max()


def test_power_iteration_finds_the_largest_eigenvectors() -> None:
    basis = orthonormal(noise(20, 20))
    values = torch.tensor([9.0, 4.0, 1.0, *[0.01] * 17])
    found, roots = leading(lambda v: (v @ basis.T * values) @ basis, noise(3, 20, seed=5), 50)
    assert torch.allclose((found @ basis[:3].T).abs(), torch.eye(3), atol=1e-2)
    assert roots.tolist() == pytest.approx([3, 2, 1], rel=1e-3)


def test_dh_is_as_long_as_asked() -> None:
    data = FinderData(noise(2, *MODEL.image_shape), WINDOW)
    (found,) = last_of(Jacobian(components=1, timesteps=1, length=0.5).find(MODEL, data))
    ((t, dh),) = found.direction.table.items()
    assert t == 999
    norms = MODEL.encode(data.latents, 999).h.flatten(1).norm(dim=1)
    assert float(dh.norm()) == pytest.approx(0.5 * float(norms.mean()), rel=1e-5)


def test_timesteps_are_spread_over_the_interval() -> None:
    grid = paper_grid(10)
    assert evenly(grid, 3) == [999, 555, 0]
    assert evenly(grid, 1) == [999]
    assert evenly(grid[:2], 5) == [999, 888]


def test_a_search_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = FinderData(noise(1, *MODEL.image_shape), WINDOW)
    finder = Jacobian(components=2, timesteps=2)
    whole = last_of(finder.find(MODEL, data))
    kept = FinderData(data.latents, WINDOW, state=tmp_path)
    next(finder.find(MODEL, kept))
    searched = []
    plain = jacobian.leading
    monkeypatch.setattr(jacobian, "leading", lambda *given: searched.append(1) or plain(*given))
    for ours, theirs in zip(last_of(finder.find(MODEL, kept)), whole, strict=True):
        assert all(
            torch.equal(ours.direction.table[t], dh) for t, dh in theirs.direction.table.items()
        )
    assert len(searched) == 1


def test_what_cannot_be_is_refused() -> None:
    data = FinderData(noise(1, *MODEL.image_shape), WINDOW)
    with pytest.raises(AsyrpError, match="h has 48 dimensions; got 49"):
        last_of(Jacobian(components=49).find(MODEL, data))
    with pytest.raises(AsyrpError, match="a mask limits P_t"):
        Jacobian("bottleneck", mask=Path("eyes.png"))
    with pytest.raises(AsyrpError, match="timesteps must be 1 or more; got 0"):
        Jacobian(timesteps=0)
