"""Lean blocks: the plain network's results, whatever the layout, with and without a gradient."""

import copy
import pickle

import pytest
import torch
from torch import nn

from asyrp.runtime.fast_blocks import (
    InPlaceResnetBlock,
    PackedConv2d,
    use_fast_blocks,
)
from asyrp.runtime.precision import autocast
from bench import meter
from conftest import noise, tiny_model

LAYOUTS = {
    "plain": {},
    "scale and shift": {"resnet_time_scale_shift": "scale_shift"},
    "resampling blocks": {
        "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "attention_head_dim": 8,
    },
    "scaled sums": {"mid_block_scale_factor": 2.0},
    "another activation": {"act_fn": "mish"},
}


@pytest.mark.parametrize("changes", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("count", [1, 3])
def test_results_are_those_of_the_plain_network(
    changes: dict[str, object], form: torch.memory_format, count: int
) -> None:
    model = tiny_model(**changes)
    model.unet.to(memory_format=form)
    x = noise(count, *model.image_shape).contiguous(memory_format=form)
    given = x.clone()
    with torch.no_grad():
        plain = model.encode(x, 431)
        eps = model.decode(plain, plain.h + 0.1)
        use_fast_blocks(model.unet)
        lean = model.encode(x, 431)
        skips = [skip.clone() for skip in lean.skips]
        found = model.decode(lean, lean.h + 0.1)
        again = model.decode(lean, lean.h + 0.1)
    torch.testing.assert_close(lean.h, plain.h, rtol=0, atol=1e-5)
    torch.testing.assert_close(found, eps, rtol=0, atol=1e-5)
    assert torch.equal(found, again)
    assert torch.equal(x, given)
    assert all(torch.equal(a, b) for a, b in zip(skips, lean.skips, strict=True))


def test_gradients_are_those_of_the_plain_network() -> None:
    model = tiny_model()
    with torch.no_grad():
        encoded = model.encode(noise(2, *model.image_shape), 431)

    def gradient() -> torch.Tensor:
        h = encoded.h.clone().requires_grad_()
        (found,) = torch.autograd.grad(model.decode(encoded, h).square().sum(), h)
        return found

    plain = gradient()
    use_fast_blocks(model.unet)
    assert torch.equal(gradient(), plain)


def test_forward_derivatives_are_those_of_the_plain_network() -> None:
    model = tiny_model()
    with torch.no_grad():
        encoded = model.encode(noise(1, *model.image_shape), 431)
    v = noise(*encoded.h.shape, seed=1)

    def along() -> torch.Tensor:
        def decode(h: torch.Tensor) -> torch.Tensor:
            return model.decode(encoded, h)

        _, change = torch.func.jvp(decode, (encoded.h,), (v,))
        return change

    plain = along()
    use_fast_blocks(model.unet)
    torch.testing.assert_close(along(), plain)


def test_weights_that_train_get_their_gradient() -> None:
    model = tiny_model()
    use_fast_blocks(model.unet)
    model.unet.requires_grad_(True)
    model(noise(1, *model.image_shape), 5).sum().backward()
    assert all(weight.grad is not None for weight in model.unet.up_blocks.parameters())


def test_a_changed_weight_is_packed_again() -> None:
    conv = nn.Conv2d(8, 8, 3, padding=1).requires_grad_(False)
    use_fast_blocks(holder := nn.Sequential(conv))
    x = noise(1, 8, 8, 8)
    before = holder(x)
    with torch.no_grad():
        conv.weight.mul_(2)
        conv.bias.mul_(2)  # type: ignore[union-attr]
    torch.testing.assert_close(holder(x), 2 * before)
    conv.load_state_dict({"weight": torch.zeros(8, 8, 3, 3), "bias": torch.ones(8)})
    assert torch.equal(holder(x), torch.ones(1, 8, 8, 8))
    conv.weight = nn.Parameter(torch.zeros(8, 8, 3, 3).index_fill_(0, torch.tensor(0), 1.0))
    assert holder(x)[0, 0].ne(1).any()
    assert holder(x)[0, 1].eq(1).all()


def test_other_shapes_and_precisions_follow() -> None:
    conv = PackedConv2d(4, 6, 3, stride=2, padding=1).requires_grad_(False)
    for shape in ((1, 4, 8, 8), (3, 4, 8, 8), (1, 4, 6, 10)):
        x = noise(*shape)
        wanted = nn.functional.conv2d(x, conv.weight, conv.bias, 2, 1)
        torch.testing.assert_close(conv(x), wanted)
    assert conv(noise(0, 4, 8, 8)).shape == (0, 6, 4, 4)
    assert conv.double()(noise(1, 4, 8, 8, dtype=torch.float64)).dtype == torch.float64
    assert conv.bfloat16()(noise(1, 4, 8, 8).bfloat16()).dtype == torch.bfloat16


def test_copies_and_pickles_pack_their_own() -> None:
    model = tiny_model()
    use_fast_blocks(model.unet)
    x = noise(1, *model.image_shape)
    eps = model(x, 5)
    size = len(pickle.dumps(model.unet))
    assert size < 1.2 * sum(weight.nbytes for weight in model.unet.state_dict().values()) + 3e5
    assert torch.equal(copy.deepcopy(model)(x, 5), eps)


def test_names_fingerprint_and_counted_work_stay() -> None:
    model, other = tiny_model(), tiny_model()
    use_fast_blocks(other.unet)
    assert any(isinstance(module, InPlaceResnetBlock) for module in other.unet.modules())
    assert list(other.unet.state_dict()) == list(model.unet.state_dict())
    x = noise(2, *model.image_shape)
    with torch.no_grad():
        counts = [meter.flops_of(lambda one=one: one(x, 5)) for one in (model, other)]
    if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 5):  # older ones count others
        assert counts[0] == counts[1] > 0
    assert other.fingerprint() == model.fingerprint()


def test_autocast_reaches_packed_convolutions() -> None:
    layer = nn.Conv2d(3, 4, 3)
    wrapped = nn.Sequential(layer)
    use_fast_blocks(wrapped)
    with torch.no_grad(), autocast(torch.device("cpu"), torch.bfloat16):
        assert wrapped(noise(2, 3, 8, 8)).dtype == torch.bfloat16
