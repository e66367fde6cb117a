"""AsyrpPipeline with an autoencoder, and with a prompt."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from asyrp.diffusers_pipeline import AsyrpPipeline
from asyrp.errors import AsyrpError
from asyrp.method.direction_file import SavedDirection
from asyrp.method.directions import GlobalDirection
from asyrp.method.editing import edit, invert
from asyrp.networks.direction_model import DirectionModel
from asyrp.networks.latent_pipeline import Prompt, load_latent
from asyrp.storage.images import from_uint8
from conftest import noise
from pipelines import STEPS, assert_same, pictures, pipeline, saved
from tiny_folders import (
    latent_scheduler,
    save_stable_diffusion,
    save_stable_diffusion_xl,
    tiny_condition_unet,
    tiny_kl,
    tiny_latent_unet,
    tiny_vq,
    tiny_xl_unet,
)


def latent_saved(channels: int, t_edit: int = 500) -> SavedDirection:
    direction = GlobalDirection(noise(channels, 1, 1) * 0.3)
    return saved(direction, t_edit=t_edit, t_boost=0)


@torch.no_grad()
def test_latent_diffusion_with_a_silent_config(tmp_path: Path) -> None:
    pipe = pipeline(
        DirectionModel.of(latent_saved(16)),
        unet=tiny_latent_unet(),
        scheduler=latent_scheduler(),
        vqvae=tiny_vq(),
    )
    assert pipe.vqvae.config.scaling_factor == 1.0
    pipe.save_pretrained(tmp_path)
    model = load_latent(tmp_path)
    assert AsyrpPipeline.of(model).vqvae is model.space.coder  # type: ignore[attr-defined]
    assert model.space.scale == 1.0  # type: ignore[attr-defined]
    images = pictures(2)
    codes = model.space.encode(from_uint8(np.stack([np.asarray(i) for i in images])))
    latents = invert(model, codes, STEPS, refinements=1).latents
    edited = edit(model, latents, [latent_saved(16).attribute()], STEPS)
    again = AsyrpPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": STEPS, "output_type": "pt"}
    wanted = (model.space.decode(edited) / 2 + 0.5).clamp(0, 1)
    for one in (pipe, again):
        found = one(images, **options).images
        assert found.shape == (2, 3, 16, 16)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@torch.no_grad()
def test_stable_diffusion_with_a_prompt(tmp_path: Path, guidance: float) -> None:
    save_stable_diffusion(tmp_path)
    pipe = pipeline(
        DirectionModel.of(latent_saved(16)),
        unet=tiny_condition_unet(),
        scheduler=latent_scheduler(),
        vae=tiny_kl(),
        text_encoder=CLIPTextModel.from_pretrained(tmp_path / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(tmp_path / "tokenizer"),
    )
    prompt = {"prompt": "a face", "negative_prompt": "blurry", "guidance_scale": guidance}
    x = noise(2, 4, 8, 8)
    options = {"num_inference_steps": STEPS, "output_type": "pt", "latents": x}
    found = pipe(**prompt, **options).images
    model = load_latent(tmp_path, prompt=Prompt("a face", guidance, "blurry"))
    edited = edit(model, x, [latent_saved(16).attribute()], STEPS)
    wanted = (model.space.decode(edited) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    assert (found - pipe(**options).images).abs().max() > 1e-3
    with pytest.raises(AsyrpError, match="make it with AsyrpPipeline.from_pretrained"):
        AsyrpPipeline.of(model)
    bare = pipeline(unet=tiny_condition_unet(), scheduler=latent_scheduler(), vae=tiny_kl())
    with pytest.raises(AsyrpError, match="needs its tokenizer and text_encoder"):
        bare(**options)


@pytest.mark.parametrize(
    ("guidance", "negative"), [(1.0, ""), (3.0, ""), (3.0, "blurry")], ids=["plain", "zeros", "two"]
)
@torch.no_grad()
def test_stable_diffusion_xl_with_a_direction(
    tmp_path: Path, guidance: float, negative: str
) -> None:
    folder = save_stable_diffusion_xl(tmp_path / "xl")
    prompt = Prompt("a face", guidance, negative)
    model = load_latent(folder, prompt=prompt)
    direction = latent_saved(model.h_channels)
    pipe = pipeline(
        DirectionModel.of(direction),
        unet=tiny_xl_unet(),
        scheduler=latent_scheduler(),
        vae=tiny_kl(),
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder_2=CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2"),
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
    )
    told = {"prompt": "a face", "negative_prompt": negative, "guidance_scale": guidance}
    x = noise(2, 4, 8, 8)
    options = {"num_inference_steps": STEPS, "output_type": "latent", "latents": x}
    found = pipe(**told, **options).images
    edited = edit(model, x, [direction.attribute()], STEPS)
    torch.testing.assert_close(found, edited, atol=5e-4, rtol=5e-4)
    assert (found - edit(model, x, (), STEPS)).abs().max() > 5e-3
    pipe.save_pretrained(tmp_path / "saved")
    again = AsyrpPipeline.from_pretrained(tmp_path / "saved")
    again.set_progress_bar_config(disable=True)
    torch.testing.assert_close(again(**told, **options).images, found)
    pipe.register_modules(text_encoder_2=None)
    with pytest.raises(AsyrpError, match="its tokenizer_2 and text_encoder_2; it has no text_enc"):
        pipe(**told, **options)


@torch.no_grad()
def test_model_offload_changes_nothing() -> None:
    """With the CPU as the accelerator, which shows that the hooks do not get in the way."""
    parts = {"unet": tiny_latent_unet(), "scheduler": latent_scheduler(), "vqvae": tiny_vq()}
    pipe = pipeline(DirectionModel.of(latent_saved(16)), **parts)
    options = {"num_inference_steps": STEPS, "output_type": "latent"}
    plain = pipe(pictures(1), **options).images
    pipe.enable_model_cpu_offload(device="cpu")
    calls = []
    original = pipe.unet._hf_hook.pre_forward
    pipe.unet._hf_hook.pre_forward = lambda *given: calls.append(original(*given))
    assert_same(pipe(pictures(1), **options).images, plain)
    assert len(calls) == 1
