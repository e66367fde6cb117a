from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.configuration_utils import FrozenDict

from asyrp.errors import AsyrpError
from asyrp.method import hspace
from asyrp.method.asymmetric_process import reverse_process
from asyrp.method.editing import invert
from asyrp.method.hspace import HSpaceUNet, Prediction
from asyrp.method.schedule import from_config, linear
from conftest import noise, tiny_model, tiny_unet
from grids import trailing_grid

R, A = "ResnetDownsampleBlock2D", "AttnDownBlock2D"
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "attention": {
        "down_block_types": (A, "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D"),
        "attention_head_dim": 4,
    },
    "resnet resampling, scale-shift, learned sigma": {
        "out_channels": 6,
        "down_block_types": (R, A),
        "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "resnet_time_scale_shift": "scale_shift",
        "attn_norm_num_groups": 4,
        "attention_head_dim": 8,
    },
    "two layers, sinusoid of DDPM": {
        "layers_per_block": 2,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "downsample_padding": 0,
        "norm_eps": 1e-6,
    },
    "non-square": {"sample_size": (16, 24)},
    "centred input": {"center_input_sample": True},
    "no mid attention": {"add_attention": False},
    "grey images": {"in_channels": 1, "out_channels": 1},
    "scaled mid block": {"mid_block_scale_factor": 2**0.5, "act_fn": "gelu"},
}


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_decoding_the_encoded_is_the_network_bit_for_bit(name: str) -> None:
    unet = tiny_unet(**CONFIGS[name])
    model = HSpaceUNet(unet, linear())
    x, t = noise(3, *model.image_shape), torch.tensor([0, 431, 999])
    assert torch.equal(model.decode_raw(model.encode(x, t)), unet(x, t).sample)
    assert torch.equal(model.decode_raw(model.encode(x, 77)), unet(x, 77).sample)
    channels = x.shape[1]
    assert torch.equal(model(x, t), unet(x, t).sample[:, :channels])


@pytest.mark.parametrize("kind", [None, "timestep", "identity"])
@torch.no_grad()
def test_class_conditional_networks_bit_for_bit(kind: str | None) -> None:
    count = 10 if kind is None else None
    unet = tiny_unet(class_embed_type=kind, num_class_embeds=count)
    model = HSpaceUNet(unet, linear())
    x, t = noise(2, 3, 16, 16), torch.tensor([12, 900])
    labels = noise(2, model.emb_channels, seed=3) if kind == "identity" else torch.tensor([3, 7])
    encoded = model.encode(x, t, labels)
    assert torch.equal(model.decode_raw(encoded), unet(x, t, class_labels=labels).sample)
    other = model.encode(x, t, labels.flip(0))
    assert not torch.equal(model.decode(encoded), model.decode(other))


@pytest.mark.parametrize("kind", [None, "timestep", "identity"])
@torch.no_grad()
def test_class_conditional_networks_in_half_precision(kind: str | None) -> None:
    unet = tiny_unet(class_embed_type=kind, num_class_embeds=10 if kind is None else None)
    model = HSpaceUNet(unet, linear())
    x, t = noise(2, 3, 16, 16), torch.tensor([12, 900])
    labels = noise(2, model.emb_channels, seed=3) if kind == "identity" else torch.tensor([3, 7])
    whole = model(x, t, labels)
    half = model.to(torch.bfloat16)(x, t, labels)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, atol=0.05, rtol=0.05)


@torch.no_grad()
def test_shapes_of_h() -> None:
    model = tiny_model(sample_size=(16, 24))
    encoded = model.encode(noise(2, 3, 16, 24), 5)
    assert model.image_shape == (3, 16, 24)
    assert tuple(encoded.h.shape) == (2, *model.h_shape) == (2, model.h_channels, 8, 12)
    assert tuple(encoded.emb.shape) == (2, model.emb_channels)
    assert tiny_model(num_class_embeds=4).h_shape == (16, 8, 8)


@torch.no_grad()
def test_only_h_passes_from_the_middle_to_the_decoder(model: HSpaceUNet) -> None:
    x, y = noise(1, 3, 16, 16), noise(1, 3, 16, 16, seed=1)
    a, b = model.encode(x, 500), model.encode(y, 500)
    swapped = b._replace(skips=a.skips, x=a.x)
    assert torch.equal(model.decode(swapped, a.h), model.decode(a))
    assert not torch.equal(model.decode(a, b.h), model.decode(a))


def their_eps(prediction: str, raw: torch.Tensor, x: torch.Tensor, t: int) -> torch.Tensor:
    """The noise that DDIMScheduler makes of an output, from the x0 and x_s it returns."""
    theirs = DDIMScheduler(1000, clip_sample=False, prediction_type=prediction)
    theirs.alphas_cumprod = torch.tensor(linear().alpha_bars, dtype=torch.float64)
    theirs.set_timesteps(50)
    done = theirs.step(raw, t, x)
    alpha_bar = linear().alpha_bar(t - 20)
    return (done.prev_sample - alpha_bar**0.5 * done.pred_original_sample) / (1 - alpha_bar) ** 0.5


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("t", [40, 500, 980])
@torch.no_grad()
def test_every_prediction_becomes_the_noise_of_diffusers(prediction: Prediction, t: int) -> None:
    model = tiny_model(prediction, torch.float64, out_channels=6)
    x = noise(2, 3, 16, 16, dtype=torch.float64)
    wanted = their_eps(prediction, model.unet(x, t).sample[:, :3], x, t)
    assert torch.allclose(model(x, t), wanted, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_predictions_follow_the_timestep_of_each_image() -> None:
    model = tiny_model("v_prediction")
    x, times = noise(2, 3, 16, 16), torch.tensor([10, 900])
    both = model(x, times)
    for i, t in enumerate(times.tolist()):
        assert torch.allclose(both[i : i + 1], model(x[i : i + 1], t), atol=1e-5)


@torch.no_grad()
def test_rescaled_timesteps_reach_the_network() -> None:
    unet = tiny_unet()
    model = HSpaceUNet(unet, linear(4000), time_scale=0.25)
    x, t = noise(2, 3, 16, 16), torch.tensor([3, 3999])
    assert torch.equal(model(x, t), unet(x, t * 0.25).sample)


def test_the_network_is_frozen_and_gradients_pass_through_h(model: HSpaceUNet) -> None:
    with torch.no_grad():
        encoded = model.encode(noise(1, 3, 16, 16), 300)
    h = encoded.h.clone().requires_grad_()
    model.decode(encoded, h).sum().backward()
    assert h.grad is not None
    assert float(h.grad.norm()) > 0
    assert not any(p.requires_grad for p in model.parameters())
    assert not model.unet.training


@pytest.mark.skipif("mid_block_type" not in tiny_unet().config, reason="all have one before 0.32")
def test_networks_without_a_mid_block_are_refused() -> None:
    with pytest.raises(AsyrpError, match="mid block"):
        HSpaceUNet(tiny_unet(mid_block_type=None), linear())


def test_score_sde_networks_are_refused() -> None:
    with pytest.raises(AsyrpError, match="Fourier"):
        HSpaceUNet(tiny_unet(time_embedding_type="fourier"), linear())


def test_unknown_predictions_are_refused() -> None:
    with pytest.raises(AsyrpError, match="epsilon, v_prediction, sample; got 'flow'"):
        HSpaceUNet(tiny_unet(), linear(), "flow")  # type: ignore[arg-type]


def test_class_labels_must_match_the_network(model: HSpaceUNet) -> None:
    x = noise(1, 3, 16, 16)
    with pytest.raises(AsyrpError, match="takes no class_labels"):
        model.encode(x, 5, torch.tensor([1]))
    with pytest.raises(AsyrpError, match="needs class_labels"):
        tiny_model(num_class_embeds=10).encode(x, 5)


def test_versions_of_diffusers_with_more_fields_give_the_same_fingerprint() -> None:
    model = tiny_model()
    wanted, added = model.fingerprint(), ("mid_block_type", "time_embedding_dim")  # since 0.31
    config = {k: v for k, v in model.unet.config.items() if k not in added}
    model.unet._internal_dict = FrozenDict(config)
    model._hashed = ((), "")
    assert model.fingerprint() == wanted
    model.unet._internal_dict = FrozenDict(config | {"act_fn": "gelu"})
    model._hashed = ((), "")
    assert model.fingerprint() != wanted


@torch.no_grad()
def test_fingerprint_tells_one_weight() -> None:
    model = tiny_model()
    before = model.fingerprint()
    assert len(before) == 64
    assert tiny_model().fingerprint() == before
    weight = model.unet.up_blocks[0].resnets[0].conv1.weight
    weight[0, 0, 0, 0] += 1e-6
    changed = model.fingerprint()
    assert changed != before
    model.unet.load_state_dict(tiny_model().unet.state_dict())
    assert model.fingerprint() == before
    model.unet.conv_in.bias = torch.nn.Parameter(model.unet.conv_in.bias + 1)
    assert model.fingerprint() not in (before, changed)


def test_a_fingerprint_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    before = model.fingerprint()
    monkeypatch.setattr(hspace, "fingerprint_of", lambda *_: pytest.fail("computed again"))
    assert model.fingerprint() == before


def test_fingerprint_tells_what_else_changes_the_prediction() -> None:
    unet = tiny_unet()
    prints = {
        HSpaceUNet(unet, linear()).fingerprint(),
        HSpaceUNet(unet, linear(1000, 1e-4, 0.03)).fingerprint(),
        HSpaceUNet(unet, linear(), "v_prediction").fingerprint(),
        HSpaceUNet(unet, linear(), time_scale=0.25).fingerprint(),
        HSpaceUNet(tiny_unet(norm_eps=1e-6), linear()).fingerprint(),
    }
    assert len(prints) == 5


def test_fingerprint_does_not_tell_where_the_weights_lie() -> None:
    model = tiny_model()
    before = model.fingerprint()
    assert model.to("cpu").fingerprint() == before
    assert model.to(memory_format=torch.channels_last).fingerprint() == before
    assert model.requires_grad_(True).train().fingerprint() == before


@torch.no_grad()
def test_zero_terminal_snr_with_v_prediction_walks_as_in_diffusers() -> None:
    """P_T = -v: diffusers takes alpha_bar_T = 0 itself, we a number next to it."""
    theirs = DDIMScheduler(
        rescale_betas_zero_snr=True,
        prediction_type="v_prediction",
        clip_sample=False,
        timestep_spacing="trailing",
    )
    model = HSpaceUNet(tiny_unet(), from_config(theirs.config), "v_prediction")
    x = noise(1, 3, 16, 16)
    theirs.set_timesteps(8)
    wanted = x
    steps = list(reverse_process(model, x, trailing_grid(8)))
    assert (steps[0].x0 + model.unet(x, 999).sample).square().mean().sqrt() < 2e-3
    for done, t in zip(steps, theirs.timesteps, strict=True):
        assert done.t == int(t)
        wanted = theirs.step(model.unet(wanted, t).sample, t, wanted).prev_sample
    assert (steps[-1].x - wanted).square().mean().sqrt() < 5e-3
    back = invert(model, steps[-1].x.tanh(), 40, refinements=4)
    assert back.errors.max() < 1e-2
