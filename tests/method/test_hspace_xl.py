"""Stable Diffusion XL's network: text_time conditioning, two text encoders, guidance."""

import resource
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.directions import GlobalDirection
from asyrp.method.editing import edit, invert, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import from_config
from asyrp.method.text_conditioning import FixedPrompt
from asyrp.networks.latent_pipeline import Prompt, load_latent
from conftest import noise
from tiny_folders import (
    latent_scheduler,
    leading_walk,
    save_stable_diffusion_xl,
    tiny_kl,
    tiny_xl_unet,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_stable_diffusion_xl(tmp_path_factory.mktemp("xl"))


def wrapped(network: UNet2DConditionModel, rows: int, pooled: Tensor, sizes: Tensor) -> HSpaceUNet:
    embedded = network.add_time_proj(sizes.flatten()).reshape(1, -1).expand(rows, -1)
    added = torch.cat([pooled, embedded], dim=-1)
    guidance = 1.0 if rows == 1 else 5.0
    prompt = FixedPrompt(network, noise(rows, 5, 32, seed=7), guidance, added)
    return HSpaceUNet(prompt, from_config(latent_scheduler().config))


@pytest.mark.parametrize("changes", [{}, {"attention_head_dim": (2, 4), "sample_size": (8, 12)}])
@torch.no_grad()
def test_decoding_the_encoded_is_the_network_bit_for_bit(changes: dict[str, object]) -> None:
    network, sizes = tiny_xl_unet(**changes), torch.tensor([[16, 16, 0, 0, 16, 16]])
    pooled = noise(1, 12, seed=8)
    model = wrapped(network, 1, pooled, sizes)
    x, t = noise(3, *model.image_shape), torch.tensor([0, 431, 999])
    wanted = network(
        x,
        t,
        encoder_hidden_states=model.unet.context.expand(3, -1, -1),
        added_cond_kwargs={"text_embeds": pooled.expand(3, -1), "time_ids": sizes.expand(3, -1)},
    ).sample
    assert torch.equal(model(x, t), wanted)
    assert model.encode(x, t).emb.shape == (3, model.emb_channels)


@torch.no_grad()
def test_guidance_carries_a_row_of_each_prompt() -> None:
    network, sizes = tiny_xl_unet(), torch.tensor([[16, 16, 0, 0, 16, 16]])
    pooled = noise(2, 12, seed=8)
    model = wrapped(network, 2, pooled, sizes)
    x = noise(3, 4, 8, 8)
    without, prompted = (
        network(
            x,
            431,
            encoder_hidden_states=context.expand(3, -1, -1),
            added_cond_kwargs={"text_embeds": row.expand(3, -1), "time_ids": sizes.expand(3, -1)},
        ).sample
        for context, row in zip(model.unet.context, pooled, strict=True)
    )
    wanted = without + 5.0 * (prompted - without)
    torch.testing.assert_close(model(x, 431), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("guidance", "negative"), [(1.0, ""), (3.5, ""), (3.5, "blurry")], ids=["plain", "zero", "two"]
)
@torch.no_grad()
def test_a_folder_is_the_pipeline_of_diffusers(
    folder: Path, guidance: float, negative: str
) -> None:
    model = load_latent(folder, prompt=Prompt("a face", guidance, negative))
    assert model.picture_shape == (3, 16, 16)
    pipeline = StableDiffusionXLPipeline(
        vae=tiny_kl(),
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        text_encoder_2=CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2"),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
        unet=tiny_xl_unet(),
        scheduler=latent_scheduler(steps_offset=1),
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    start = noise(1, 4, 8, 8)
    theirs = pipeline(
        "a face",
        negative_prompt=negative or None,
        latents=start,
        height=16,
        width=16,
        guidance_scale=guidance,
        num_inference_steps=10,
        output_type="pt",
    ).images
    ours = leading_walk(model, start, offset=1)
    torch.testing.assert_close(ours / 2 + 0.5, theirs, atol=3e-4, rtol=0)


def test_the_prompt_is_part_of_the_fingerprint(folder: Path) -> None:
    prompts = [Prompt(), Prompt("a face"), Prompt("a face", 2.0), Prompt("a face", 2.0, "blurry")]
    assert len({load_latent(folder, prompt=p).fingerprint() for p in prompts}) == 4


@torch.no_grad()
def test_edits_and_exact_inversions_work_as_on_any_network(folder: Path) -> None:
    model = load_latent(folder, prompt=Prompt("a face"))
    act = Attribute(GlobalDirection(noise(*model.h_shape) * 0.2), 500, trained_steps=6)
    plain, edited = (edit(model, random_latents(model, 2), a, steps=6) for a in ((), (act,)))
    assert (edited - plain).abs().max() > 1e-3
    assert invert(model, plain, 6, inversion="belm").errors.max() < 1e-9


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    half = shutil.copytree(folder, tmp_path / "half")
    shutil.rmtree(half / "text_encoder_2")
    with pytest.raises(AsyrpError, match="it has no text_encoder_2"):
        load_latent(half)
    with pytest.raises(AsyrpError, match=r"text_time needs \(1, 60\) numbers .* got nothing"):
        FixedPrompt(tiny_xl_unet(), noise(1, 5, 32))


FULL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "use_linear_projection": True,
}


@torch.no_grad()
def passed_in_full(device: str) -> int:
    """One pass of a network of the full size in bfloat16; how many weights it has."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # never in float32, which would take 10 GB
    try:
        with torch.device(device):
            network = UNet2DConditionModel(**FULL)
    finally:
        torch.set_default_dtype(before)
    context, added = noise(1, 77, 2048).to(device), noise(1, 2816).to(device)
    prompt = FixedPrompt(network, context, 1.0, added)
    model = HSpaceUNet(prompt.to(device), from_config(latent_scheduler().config))
    encoded = model.encode(noise(1, 4, 128, 128).to(device), 500)
    assert encoded.h.shape == (1, 1280, 32, 32)
    assert model.decode(encoded).shape == (1, 4, 128, 128)
    return sum(weight.numel() for weight in network.parameters())


def test_the_full_size_fits_together() -> None:
    """Shapes alone, which take no memory."""
    assert passed_in_full("meta") == 2_567_463_684


@pytest.mark.slow
def test_a_network_of_the_full_size_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Random weights, and the most memory that the process ever had."""
    assert passed_in_full("cpu") == 2_567_463_684
    with capsys.disabled():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"\nSDXL at full size, bfloat16, one pass: {peak:.1f} GiB at most")
