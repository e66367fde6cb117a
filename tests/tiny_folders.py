"""Tiny real folders of transformers and diffusers with random weights, for tests."""

import json
import string
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel, UNet2DModel, VQModel
from torch import Tensor
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Dinov2Config,
    Dinov2Model,
    SegformerConfig,
)
from transformers import SegformerForSemanticSegmentation as Segformer

from asyrp.method.ddim import generate
from asyrp.method.hspace import HSpaceUNet
from grids import leading_grid

LONGEST = 40  # tokens of a text, a letter each
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
LETTERS = string.ascii_lowercase + string.digits + string.punctuation


def vocabulary() -> dict[str, int]:
    tokens = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), BOS, EOS]
    return {token: i for i, token in enumerate(tokens)}


def save_tokenizer(folder: Path) -> None:
    """A CLIP tokenizer that knows letters only."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = LONGEST
    tokenizer.save_pretrained(folder)


def text_config() -> CLIPTextConfig:
    words = vocabulary()
    sizes = {"hidden_size": 16, "intermediate_size": 32, "projection_dim": 12}
    return CLIPTextConfig(
        vocab_size=len(words),
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=LONGEST,
        bos_token_id=words[BOS],
        eos_token_id=words[EOS],
        pad_token_id=words[EOS],
        **sizes,
    )


def save_clip(folder: Path) -> Path:
    """A CLIPModel of 32 x 32 pictures with its tokenizer."""
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "projection_dim": 12,
    }
    config = CLIPConfig(
        text_config=text_config().to_dict(), vision_config=vision, projection_dim=12
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        CLIPModel(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


LATENT: dict[str, Any] = {
    "sample_size": 8,
    "layers_per_block": 1,
    "block_out_channels": (8, 16),
    "norm_num_groups": 4,
}
CODER: dict[str, Any] = {
    "block_out_channels": (8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "sample_size": 16,
}


def tiny_vq(**changes: Any) -> VQModel:
    """Pictures of 16 x 16 <-> latents (3, 8, 8)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(21)
        coder = VQModel(**{**CODER, "latent_channels": 3, "num_vq_embeddings": 64, **changes})
        torch.nn.init.normal_(coder.quantize.embedding.weight)  # its own codes are nearly all 0
    return coder


def tiny_kl(**changes: Any) -> AutoencoderKL:
    """Pictures of 16 x 16 <-> latents (4, 8, 8)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(22)
        return AutoencoderKL(**{**CODER, "latent_channels": 4, **changes})


def tiny_latent_unet(channels: int = 3) -> UNet2DModel:
    """An unconditional network of 8 x 8 latents."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(23)
        return UNet2DModel(
            **LATENT,
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=4,
        )


def tiny_condition_unet(**changes: Any) -> UNet2DConditionModel:
    """A Stable Diffusion network of 8 x 8 latents."""
    wanted = {
        **LATENT,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
        **changes,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(24)
        return UNet2DConditionModel(**wanted)


def latent_scheduler(prediction: str = "epsilon", steps_offset: int = 0) -> DDIMScheduler:
    """The schedule of latent diffusion on CelebA-HQ."""
    return DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type=prediction,
        steps_offset=steps_offset,
    )


def save_ldm(folder: Path, coder: VQModel | AutoencoderKL | None = None) -> Path:
    """Parts of an LDMPipeline, in the layout of CompVis/ldm-celebahq-256."""
    coder = tiny_vq(scaling_factor=1.0) if coder is None else coder
    tiny_latent_unet(coder.config.latent_channels).save_pretrained(folder / "unet")
    coder.save_pretrained(folder / "vqvae")
    latent_scheduler().save_pretrained(folder / "scheduler")
    index = {"_class_name": "LDMPipeline", "vqvae": ["diffusers", type(coder).__name__]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def save_stable_diffusion(folder: Path, prediction: str = "epsilon") -> Path:
    """Parts of a StableDiffusionPipeline."""
    tiny_condition_unet().save_pretrained(folder / "unet")
    tiny_kl().save_pretrained(folder / "vae")
    latent_scheduler(prediction).save_pretrained(folder / "scheduler")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(25)
        CLIPTextModel(text_config()).save_pretrained(folder / "text_encoder")
    save_tokenizer(folder / "tokenizer")
    index = {"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderKL"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def leading_walk(model: HSpaceUNet, x: Tensor, offset: int = 0) -> Tensor:
    """Pictures by ten steps on diffusers' default grid, clamped to [-1, 1]."""
    *_, done = generate(model, model.schedule, x, leading_grid(10, offset=offset))
    return model.space.decode(done.x).clamp(-1, 1)


def tiny_xl_unet(**changes: Any) -> UNet2DConditionModel:
    """A network as Stable Diffusion XL's, of 8 x 8 latents: pooled texts of 12, sizes of 8 each."""
    text_time = {
        "cross_attention_dim": 32,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 12 + 6 * 8,
        "transformer_layers_per_block": (1, 2),
        "use_linear_projection": True,
    }
    return tiny_condition_unet(**{**text_time, **changes})


def save_stable_diffusion_xl(folder: Path) -> Path:
    """Parts of a StableDiffusionXLPipeline."""
    save_stable_diffusion(folder)
    tiny_xl_unet().save_pretrained(folder / "unet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(26)
        CLIPTextModelWithProjection(text_config()).save_pretrained(folder / "text_encoder_2")
    save_tokenizer(folder / "tokenizer_2")
    index = {"_class_name": "StableDiffusionXLPipeline", "vae": ["diffusers", "AutoencoderKL"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def small_vision() -> Dinov2Model:
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    return Dinov2Model(Dinov2Config(image_size=28, patch_size=14, **sizes))


def small_segmenter() -> Segformer:
    sizes = {"hidden_sizes": [8, 16], "num_attention_heads": [1, 2], "depths": [1, 1]}
    config = SegformerConfig(
        num_encoder_blocks=2, decoder_hidden_size=16, num_labels=3, sr_ratios=[2, 1],
        patch_sizes=[3, 3], strides=[2, 2], mlp_ratios=[1, 1], **sizes
    )  # fmt: skip
    return Segformer(config)


PROCESSOR = {"size": {"height": 28, "width": 28}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
PROCESSOR |= {"do_center_crop": False}


def save_vision(folder: Path) -> Path:
    small_vision().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def save_segmenter(folder: Path) -> Path:
    small_segmenter().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder
