"""The networks that are measured: the world's, and DDPMs of the paper with random weights."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple, cast

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.method.directions import GlobalDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import TextImageEncoder
from asyrp.method.schedule import linear
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.networks import load_model
from asyrp.networks.convert.build import new_unet, unet_config
from asyrp.networks.convert.defaults import resolve
from asyrp.networks.convert.structure import Structure
from asyrp.networks.diffusers_folder import wrapped
from asyrp.networks.released_networks import NETWORKS
from asyrp.networks.scheduler_config import Noise
from asyrp.runtime.precision import autocast
from asyrp.scorers.load import load_encoder
from asyrp.scorers.preprocessing import View, prepare
from asyrp.settings import Precision


class Shape(NamedTuple):
    """A DDPM of the paper's layout, 1-1-2-2-4-4 levels, at another size."""

    pixels: int
    channels: int
    what: str


SHAPES = {
    "ddpm-16": Shape(32, 32, "the paper's DDPM at 32x32, a quarter of its channels (for tests)"),
    "ddpm-64": Shape(64, 64, "the paper's DDPM at 64x64, half its channels"),
    "ddpm-128": Shape(128, 64, "the paper's DDPM at 128x128, half its channels"),
    "ddpm-256-half": Shape(256, 64, "the paper's DDPM at 256x256, half its channels"),
    "ddpm-256": Shape(256, 128, "the paper's DDPM at 256x256, whole"),
}


SHIFTED = 513  # t_edit, the paper's for smiling


def subject(name: str, precision: Precision = "float32", device: str = "cpu") -> HSpaceUNet:
    """A network by name, as `load_model` would make it.

    Raises:
        AsyrpError: unknown name.
    """
    if name == "avatars-64":
        return load_model(name, device, precision)
    if name not in SHAPES:
        known = ", ".join(["avatars-64", *SHAPES])
        raise AsyrpError(f"unknown network {name!r}; needed one of: {known}")
    return wrapped(random_ddpm(SHAPES[name]), Noise(linear(), "epsilon"), device, precision)


def shift_of(model: HSpaceUNet) -> GlobalDirection:
    """A direction with a random dh."""
    generator = torch.Generator().manual_seed(1)
    dh = 0.1 * torch.randn(model.h_channels, 1, 1, generator=generator)
    return GlobalDirection(dh.to(model.device)).requires_grad_(False)


def random_ddpm(shape: Shape) -> UNet2DModel:
    """The layout of the paper's DDPM with random weights, the same at every call."""
    said = replace(NETWORKS["ddpm-256"].said, image_size=shape.pixels, channels=shape.channels)
    factors = said.channel_mult or ()
    structure = Structure(
        "ddpm",
        widths=tuple(int(shape.channels * factor) for factor in factors),
        attends=tuple(shape.pixels >> level == 16 for level in range(len(factors))),
        blocks=said.res_blocks or 0,
        in_channels=3,
        out_channels=3,
        emb_channels=4 * shape.channels,
    )
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        return new_unet(unet_config(structure, resolve(structure, said).resolved))


def tiny() -> HSpaceUNet:
    """A network of a few thousand weights for pictures of 64 x 64."""
    return HSpaceUNet(tiny_unet(64).to(memory_format=torch.channels_last), linear())


def tiny_unet(side: int) -> UNet2DModel:
    """A few thousand random weights, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        return UNet2DModel(
            sample_size=side,
            block_out_channels=(4, 8, 8),
            layers_per_block=1,
            down_block_types=("DownBlock2D",) * 3,
            up_block_types=("UpBlock2D",) * 3,
            norm_num_groups=4,
            attention_head_dim=None,
        )


def plain_copy(model: HSpaceUNet) -> HSpaceUNet:
    """The same network in torch's own memory format, as the official code runs it."""
    unet = type(model.unet).from_config(model.unet.config)
    unet.load_state_dict(model.unet.state_dict())
    unet.to(memory_format=torch.contiguous_format)
    return HSpaceUNet(unet, model.schedule, model.prediction, model.time_scale)


def images_of(model: HSpaceUNet, count: int, seed: int = 0) -> Tensor:
    """Smooth random pictures, (count, 3, height, width) in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 8, 8, generator=generator)
    size = model.image_shape[1:]
    return functional.interpolate(coarse, size, mode="bicubic", align_corners=False).tanh()


def guide_of(model: HSpaceUNet, vit: bool = False, target: str = "smiling face") -> TextDirection:
    """A text pair with the world's encoder, or with an image tower of CLIP ViT-B/16's shape.

    All of one kind share one encoder.
    """
    guide = new_text_direction(_encoder(), "face", target)
    if not vit:
        return guide
    generator = torch.Generator().manual_seed(len(target))
    direction = functional.normalize(torch.randn(512, generator=generator), dim=0)
    return TextDirection(cast(Any, _tower()), direction, guide.cosine)


@cache
def _encoder() -> TextImageEncoder:
    return load_encoder("avatars-64-clip")


@cache
def _tower() -> "RandomTower":
    return RandomTower()


class RandomTower(nn.Module):
    """The image tower of CLIP ViT-B/16 with random weights: its cost, without a download."""

    name = "random-vit-b-16"
    text_common = 0.0
    precision = torch.float32

    def __init__(self) -> None:
        super().__init__()
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        config = CLIPVisionConfig(
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            patch_size=16,
            projection_dim=512,
        )
        with torch.random.fork_rng(devices=[]):
            torch.random.manual_seed(0)
            self.tower = CLIPVisionModelWithProjection(config).eval().requires_grad_(False)

    def image_features(self, images: Tensor) -> Tensor:
        """(b, 3, height, width) in [-1, 1] -> (b, 512) of unit norm."""
        pixels = prepare(images, View(224, (224, 224)))
        with autocast(images.device, self.precision):
            found = self.tower(pixel_values=pixels).image_embeds
        return functional.normalize(found.float(), dim=1)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """None: it has no text tower."""
        raise NotImplementedError
