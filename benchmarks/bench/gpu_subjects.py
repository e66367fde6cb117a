"""The networks that a GPU is measured with: random weights, in the sizes that people use."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_space import LatentSpace
from asyrp.method.schedule import linear
from asyrp.method.text_conditioning import FixedPrompt
from asyrp.networks.convert.build import new_unet, unet_config
from asyrp.networks.convert.defaults import resolve
from asyrp.networks.convert.structure import Structure
from asyrp.networks.diffusers_folder import wrapped
from asyrp.networks.released_networks import NETWORKS
from asyrp.networks.scheduler_config import Noise
from asyrp.settings import Precision
from bench.subjects import SHAPES, random_ddpm


class Size(NamedTuple):
    """A network to measure: what it is, images at a time, and how it is made."""

    what: str
    batch: int
    make: Callable[[], tuple[Any, LatentSpace | None]]


def ddpm(name: str) -> tuple[Any, None]:
    """A DDPM of the paper's layout."""
    return random_ddpm(SHAPES[name]), None


def adm_256() -> tuple[Any, None]:
    """guided-diffusion's network of 553 million weights."""
    known = NETWORKS["adm-553m"]
    said = known.said
    factors, channels = said.channel_mult or (), said.channels or 0
    places = said.attention_resolutions or ()
    structure = Structure(
        "adm",
        widths=tuple(int(channels * factor) for factor in factors),
        attends=tuple(256 >> level in places for level in range(len(factors))),
        blocks=said.res_blocks or 0,
        in_channels=3,
        out_channels=6,
        emb_channels=4 * channels,
        resample="resnet",
        scale_shift=True,
    )
    return seeded(lambda: new_unet(unet_config(structure, resolve(structure, said).resolved))), None


def stable_diffusion(side: int = 64, widths: tuple[int, ...] = (320, 640, 1280, 1280)) -> Any:
    """A network of latents and an autoencoder, of Stable Diffusion 1.5's sizes by default."""
    deep = len(widths) - 1
    unet = seeded(
        lambda: UNet2DConditionModel(
            sample_size=side,
            in_channels=4,
            out_channels=4,
            layers_per_block=2,
            block_out_channels=widths,
            down_block_types=("CrossAttnDownBlock2D",) * deep + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * deep,
            cross_attention_dim=768,
            attention_head_dim=8,
        )
    )
    coder = seeded(
        lambda: AutoencoderKL(
            block_out_channels=tuple(max(32, width * 2 // 5) for width in widths),
            down_block_types=("DownEncoderBlock2D",) * (deep + 1),
            up_block_types=("UpDecoderBlock2D",) * (deep + 1),
            layers_per_block=2,
            latent_channels=4,
            sample_size=side << deep,
        )
    )
    context = torch.randn(1, 77, 768, generator=torch.Generator().manual_seed(0))
    return FixedPrompt(unet, context), LatentSpace(coder)


def seeded(make: Callable[[], Any]) -> Any:
    """The same random weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        return make()


SIZES: Mapping[str, Size] = {
    "ddpm-64": Size(SHAPES["ddpm-64"].what, 64, lambda: ddpm("ddpm-64")),
    "ddpm-128": Size(SHAPES["ddpm-128"].what, 32, lambda: ddpm("ddpm-128")),
    "ddpm-256": Size(SHAPES["ddpm-256"].what, 16, lambda: ddpm("ddpm-256")),
    "adm-256": Size("guided-diffusion's ADM at 256x256, 553 million weights", 8, adm_256),
    "sd-1.5": Size("Stable Diffusion 1.5's sizes, pictures of 512x512", 8, stable_diffusion),
}
TINY: Mapping[str, Size] = {
    "ddpm-16": Size(SHAPES["ddpm-16"].what, 4, lambda: ddpm("ddpm-16")),
    "sd-tiny": Size(
        "a tenth of Stable Diffusion", 2, lambda: stable_diffusion(8, (32, 32, 32, 32))
    ),
}


def made(size: Size, precision: Precision, device: str) -> HSpaceUNet:
    """The network on a device."""
    unet, space = size.make()
    return wrapped(unet, Noise(linear(), "epsilon"), device, precision, space)
