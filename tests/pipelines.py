"""Tiny pipelines, directions and pictures for the tests of the diffusers citizens."""

from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DModel
from PIL import Image
from torch import Tensor, nn

from asyrp.diffusers_pipeline import AsyrpPipeline
from asyrp.method.direction_file import DirectionCard, SavedDirection
from asyrp.method.directions import ImplicitDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import linear
from asyrp.networks.direction_model import DirectionModel
from conftest import noise, tiny_unet

STEPS = 8


def unet() -> UNet2DModel:
    """Tamed: the walk of a random network as it is leaves [-1, 1] by far."""
    made = tiny_unet()
    with torch.no_grad():
        for weight in made.conv_out.parameters():
            weight.mul_(0.005)
    return made


def network() -> HSpaceUNet:
    return HSpaceUNet(unet(), linear())


def start(count: int) -> Tensor:
    """x_T as small as would lead a network that predicts next to nothing to [-1, 1]."""
    return noise(count, 3, 16, 16) * 0.01


def assert_same(found: Tensor, wanted: Tensor) -> None:
    """Equal up to rounding, in units of the largest value."""
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()


def scheduler() -> DDIMScheduler:
    return DDIMScheduler(clip_sample=False)


def implicit(model: HSpaceUNet) -> ImplicitDirection:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return ImplicitDirection(model.h_channels, model.emb_channels, zero_init=False)


def saved(direction: nn.Module | None = None, **changes: Any) -> SavedDirection:
    model = network()
    facts = {"t_edit": 400, "t_boost": 150, "trained_steps": STEPS, "strength": 2.0, **changes}
    card = DirectionCard("face", "smiling face", fingerprint=model.fingerprint(), **facts)
    return SavedDirection(direction or implicit(model), card)


def pipeline(direction: DirectionModel | None = None, **parts: Any) -> AsyrpPipeline:
    made = {"unet": unet(), "scheduler": scheduler(), "direction": direction, **parts}
    pipe = AsyrpPipeline(**made)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def pictures(count: int) -> list[Image.Image]:
    values = np.random.default_rng(4).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return [Image.fromarray(v) for v in values]


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]
