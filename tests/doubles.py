"""Small stand-ins for the networks that guide and measure, and directions of every kind."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.method.direction_file import DirectionCard
from asyrp.method.directions import GlobalDirection, ImplicitDirection, TimestepDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import Thresholds
from asyrp.method.text_direction import TextDirection, new_text_direction
from conftest import noise

SIZE = 3 * 16 * 16


class TinyEncoder:
    """A random projection for images of 16 x 16; one random vector a text."""

    name = "tiny"
    text_common = 0.0

    def __init__(self, seed: int = 40):
        self.projection = noise(SIZE, 8, seed=seed)

    def image_features(self, images: Tensor) -> Tensor:
        return functional.normalize(images.flatten(1) @ self.projection, dim=1)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        rows = [noise(8, seed=sum(map(ord, text))) for text in texts]
        return functional.normalize(torch.stack(rows), dim=1)


class TinyDistance:
    """Root mean square difference."""

    name = "rms"
    thresholds = Thresholds(0.1, 0.5)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().flatten(1).mean(1).sqrt()


def tiny_guide(target: str = "smiling face") -> TextDirection:
    """A text pair as `TinyEncoder` sees it."""
    return new_text_direction(TinyEncoder(), "face", target)


def random_f_t(model: HSpaceUNet, layout: Any = "ddpm", use_time: bool = True) -> nn.Module:
    """f_t as the official code begins."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return ImplicitDirection(model.h_channels, model.emb_channels, layout, False, use_time)


def every_direction(model: HSpaceUNet) -> dict[str, nn.Module]:
    """A direction of every kind that a file can hold."""
    shape = model.h_shape
    return {
        "ddpm": random_f_t(model),
        "adm": random_f_t(model, "adm"),
        "no time": random_f_t(model, use_time=False),
        "timestep": TimestepDirection({t: noise(*shape, seed=t) for t in (900, 60, 500)}),
        "global": GlobalDirection(noise(*shape)),
        "one value a channel": GlobalDirection(noise(shape[0], 1, 1)),
    }


def full_card(model: HSpaceUNet) -> DirectionCard:
    """A card without a default value."""
    return DirectionCard(
        source="face",
        target="smiling face — 笑",
        t_edit=500,
        t_boost=200,
        trained_steps=30,
        fingerprint=model.fingerprint(),
        encoder="tiny",
        text_cosine=0.875,
        strength=1.25,
        t_start=900,
        region=(0.0, 0.0, 1.0, 0.0, 1.0, 0.5),
        training={"epochs": 2, "learning_rate": 2e-3},
    )
