"""Stable Diffusion's network with the prompt fixed: the cut, guidance, whole folders."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from asyrp.errors import AsyrpError
from asyrp.finders.clip_training import fit, new_direction
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.directions import GlobalDirection
from asyrp.method.editing import edit, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import NoiseSchedule, from_config
from asyrp.method.text_conditioning import FixedPrompt
from asyrp.method.text_direction import new_text_direction
from asyrp.method.unedited_trajectory import joined, prepare
from asyrp.networks.latent_pipeline import Prompt, load_latent
from conftest import noise
from doubles import TinyEncoder
from tiny_folders import (
    latent_scheduler,
    leading_walk,
    save_stable_diffusion,
    tiny_condition_unet,
    tiny_kl,
)
from tiny_training import SETTINGS, WINDOW

SMILE = Prompt("a photo of a face", 3.5)


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_stable_diffusion(tmp_path_factory.mktemp("stable"))


def hidden(*rows: int) -> Tensor:
    return noise(*rows, 16, seed=7)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_linear_projection": True, "attention_head_dim": (2, 4)},
        {"mid_block_type": "UNetMidBlock2D"},
        {"sample_size": (8, 12), "freq_shift": 1, "flip_sin_to_cos": False},
        {"only_cross_attention": True, "center_input_sample": True},
        {"resnet_time_scale_shift": "scale_shift"},
    ],
    ids=["1.x", "2.x", "plain mid block", "wide", "only cross-attention", "scale-shift"],
)
@torch.no_grad()
def test_decoding_the_encoded_is_the_network_bit_for_bit(changes: dict[str, object]) -> None:
    network, context = tiny_condition_unet(**changes), hidden(1, 5)
    model = HSpaceUNet(FixedPrompt(network, context), schedule())
    x, t = noise(3, *model.image_shape), torch.tensor([0, 431, 999])
    wanted = network(x, t, encoder_hidden_states=context.expand(3, -1, -1)).sample
    assert torch.equal(model.decode_raw(model.encode(x, t)), wanted)
    assert torch.equal(model(x, t), wanted)
    encoded = model.encode(x, t)
    assert encoded.h.shape == (3, *model.h_shape)
    assert encoded.emb.shape == (3, model.emb_channels)


def schedule() -> NoiseSchedule:
    return from_config(latent_scheduler().config)


@torch.no_grad()
def test_classifier_free_guidance_is_that_of_stable_diffusion() -> None:
    network, context = tiny_condition_unet(), hidden(2, 5)
    model = HSpaceUNet(FixedPrompt(network, context, 7.5), schedule())
    x, t = noise(3, 4, 8, 8), torch.tensor([0, 431, 999])
    rows = context.repeat_interleave(3, 0)
    raw = network(torch.cat([x, x]), torch.cat([t, t]), encoder_hidden_states=rows).sample
    without, prompted = raw.chunk(2)
    assert torch.equal(model(x, t), without + 7.5 * (prompted - without))
    encoded = model.encode(x, 431)
    assert encoded.h.shape[0] == encoded.emb.shape[0] == 6
    assert encoded.x.shape[0] == 3
    change = model.decode(encoded, encoded.h + 0.1) - model.decode(encoded)
    assert change.abs().max() > 1e-3


@torch.no_grad()
def test_guidance_is_not_rounded_with_the_weights() -> None:
    network = tiny_condition_unet()
    prompted = FixedPrompt(network, hidden(2, 5), 7.3).to(torch.bfloat16)
    inside = noise(4, network.config["block_out_channels"][0], 8, 8).to(torch.bfloat16)
    without, told = network.conv_out(inside).chunk(2)
    assert torch.equal(prompted.conv_out(inside), without + 7.3 * (told - without))
    assert torch.tensor(7.3, dtype=torch.bfloat16).item() != 7.3


@torch.no_grad()
def test_a_walk_with_guidance_and_a_direction(stable: Path) -> None:
    model = load_latent(stable, prompt=SMILE)
    latents = random_latents(model, 2)
    act = Attribute(GlobalDirection(noise(*model.h_shape) * 0.2), 500, trained_steps=6)
    plain, edited = (edit(model, latents, a, steps=6) for a in ((), (act,)))
    assert edited.shape == (2, 4, 8, 8)
    assert (edited - plain).abs().max() > 1e-3
    alone = edit(model, latents[1:], (act,), steps=6)
    torch.testing.assert_close(edited[1:], alone, atol=1e-4, rtol=1e-3)
    undone = Attribute(act.direction, 500, strength=0.0, trained_steps=6)
    assert torch.equal(edit(model, latents, (undone,), steps=6), plain)


@pytest.mark.parametrize("guidance", [1.0, 3.5])
@torch.no_grad()
def test_a_folder_of_stable_diffusion_is_the_pipeline_of_diffusers(
    stable: Path, guidance: float
) -> None:
    model = load_latent(stable, prompt=Prompt("a face", guidance, "blurry"))
    assert model.picture_shape == (3, 16, 16)
    pipeline = StableDiffusionPipeline(
        vae=tiny_kl(),
        text_encoder=CLIPTextModel.from_pretrained(stable / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(stable / "tokenizer"),
        unet=tiny_condition_unet(),
        scheduler=latent_scheduler(steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    start = noise(1, 4, 8, 8)
    theirs = pipeline(
        "a face",
        negative_prompt="blurry",
        latents=start,
        guidance_scale=guidance,
        num_inference_steps=10,
        output_type="pt",
    ).images
    ours = leading_walk(model, start, offset=1)
    torch.testing.assert_close(ours / 2 + 0.5, theirs, atol=2e-4, rtol=0)


def test_the_prompt_is_part_of_the_fingerprint_and_the_autoencoder_is_not(
    stable: Path, tmp_path: Path
) -> None:
    prompts = [Prompt(), Prompt("a face"), Prompt("a face", 2.0), Prompt("a face", 3.0)]
    prints = [load_latent(stable, prompt=p).fingerprint() for p in prompts]
    assert len(set(prints)) == 4
    other = shutil.copytree(stable, tmp_path / "other")
    tiny_kl(norm_num_groups=2).save_pretrained(other / "vae")
    assert load_latent(other, prompt=prompts[1]).fingerprint() == prints[1]


@torch.no_grad()
def test_the_fingerprint_is_of_the_words_and_their_reader_and_not_of_rounded_states(
    stable: Path, tmp_path: Path
) -> None:
    model = load_latent(stable, prompt=Prompt("a face"))
    wanted = model.fingerprint()
    cast(Any, model.unet).context.mul_(1 + 1e-6)  # as another processor computes them
    assert model.fingerprint() == wanted
    other = shutil.copytree(stable, tmp_path / "other")
    encoder = CLIPTextModel.from_pretrained(other / "text_encoder")
    next(encoder.parameters()).add_(0.1)
    encoder.save_pretrained(other / "text_encoder")
    assert load_latent(other, prompt=Prompt("a face")).fingerprint() != wanted


def test_networks_that_need_more_are_refused() -> None:
    for changes, message in (
        ({"class_embed_type": "timestep"}, "class_embed_type"),
        ({"addition_embed_type": "text", "cross_attention_dim": 16}, "addition_embed_type"),
    ):
        with pytest.raises(AsyrpError, match=message):
            FixedPrompt(tiny_condition_unet(**changes), hidden(1, 5))
    with pytest.raises(AsyrpError, match="needs 2 prompt"):
        FixedPrompt(tiny_condition_unet(), hidden(1, 5), 2.0)
    for changes, message in (
        ({"mid_block_type": None}, "mid block"),
        ({"sample_size": 9}, "sample_size 9 does not divide by 2"),
    ):
        with pytest.raises(AsyrpError, match=message):
            HSpaceUNet(FixedPrompt(tiny_condition_unet(**changes), hidden(1, 5)), schedule())


class First(TinyEncoder):
    """`TinyEncoder` of the first 256 values of an image."""

    def image_features(self, images: Tensor) -> Tensor:
        return functional.normalize(images.flatten(1)[:, :256] @ self.projection[:256], dim=1)


def test_a_direction_trains_alike_with_checkpoints_in_the_network() -> None:
    model = HSpaceUNet(FixedPrompt(tiny_condition_unet(), hidden(1, 5)), schedule())
    guide = new_text_direction(First(), "face", "smiling face")
    sources = joined(list(prepare(model, guide, noise(2, *model.image_shape), WINDOW, 2)))
    found = []
    for checkpointing in (False, True):
        settings = replace(SETTINGS, epochs=1, validate_every=0, checkpointing=checkpointing)
        direction = new_direction(model, WINDOW.grid, settings)
        steps = fit(model, direction, guide, sources, WINDOW.grid, settings)
        found.append([step.total for step in steps])
        blocks = model.unet.network.up_blocks
        assert any(block.gradient_checkpointing for block in blocks) is checkpointing
    assert found[0] == pytest.approx(found[1], rel=1e-4)
