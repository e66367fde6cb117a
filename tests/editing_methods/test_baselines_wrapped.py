"""Networks cut elsewhere: the same function, and shifts that arrive where they should."""

from dataclasses import replace

import pytest
import torch

from asyrp.editing_methods.other_spaces import at_block, blocks, epsilon_space
from asyrp.errors import AsyrpError
from asyrp.finders.clip_training import new_direction
from asyrp.method.asymmetric_process import Attribute, asymmetric, reverse_process
from asyrp.method.asymmetric_process import epsilon_space as shift_eps
from asyrp.method.directions import GlobalDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import paper_grid
from asyrp.runtime.precision import round_products
from asyrp.settings import TrainSettings
from conftest import noise, tiny_model


def test_the_blocks_are_named_in_the_order_of_computation(model: HSpaceUNet) -> None:
    assert blocks(model) == ["down 0", "down 1", "mid", "up 0", "up 1"]
    with pytest.raises(AsyrpError, match=r"no block 'up 7'; it has: down 0"):
        at_block(model, "up 7")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@torch.no_grad()
def test_every_cut_is_the_network_itself(prediction: str, dtype: torch.dtype) -> None:
    model, x = tiny_model(prediction), noise(2, 3, 16, 16)
    round_products(model.unet, dtype)
    wanted = model(x, 300)
    for cut in (epsilon_space(model), *(at_block(model, name) for name in blocks(model))):
        encoded = cut.encode(x, 300)
        assert torch.equal(cut.decode(encoded), wanted)
        assert torch.equal(cut.decode(encoded, encoded.h), wanted)


@torch.no_grad()
def test_a_shift_moves_the_output_of_its_block_and_nothing_before(model: HSpaceUNet) -> None:
    x = noise(2, 3, 16, 16)
    for name in blocks(model):
        cut, seen = at_block(model, name), {}
        encoded = cut.encode(x, 300)
        shift = noise(*encoded.h.shape, seed=3)
        kind, _, place = name.partition(" ")
        unet = model.unet
        parts = {"down": unet.down_blocks, "up": unet.up_blocks}
        block = unet.mid_block if kind == "mid" else parts[kind][int(place)]

        def shifted(module, inputs, output, shift=shift, seen=seen):  # type: ignore[no-untyped-def]
            if not isinstance(output, tuple):
                return output + shift
            sample, skips = output
            return sample + shift, (*skips[:-1], sample + shift)

        hook = block.register_forward_hook(shifted)
        wanted = model(x, 300)
        hook.remove()
        assert torch.allclose(cut.decode(encoded, encoded.h + shift), wanted, atol=1e-5)
        assert not torch.allclose(wanted, model(x, 300), atol=1e-3)


@torch.no_grad()
def test_the_asymmetric_edit_in_epsilon_space_is_the_epsilon_shift(model: HSpaceUNet) -> None:
    x, grid = noise(2, 3, 16, 16), paper_grid(3)
    act = [Attribute(GlobalDirection(noise(3, 16, 16, seed=2)), 0, trained_steps=3)]
    ours = list(reverse_process(epsilon_space(model), x, grid, act, shift=asymmetric))
    theirs = list(reverse_process(model, x, grid, act, shift=shift_eps))
    assert torch.equal(ours[-1].x, theirs[-1].x)


def test_directions_are_made_in_the_shape_of_the_cut(model: HSpaceUNet) -> None:
    settings = replace(TrainSettings(), kind="timestep")
    table = new_direction(epsilon_space(model), paper_grid(3), settings)
    assert table.table[0].shape == (3, 16, 16)
    for name in blocks(model):
        cut = at_block(model, name)
        encoded = cut.encode(noise(1, 3, 16, 16), 3)
        direction = new_direction(cut, paper_grid(3), TrainSettings())
        assert direction(encoded.h, encoded.emb, 3).shape == encoded.h.shape
