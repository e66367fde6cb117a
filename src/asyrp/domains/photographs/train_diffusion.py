"""Training of the photographs' diffusion network, which goes on from a network that was begun."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from torch import Tensor

from asyrp.domains.avatars.diffusion import v_loss
from asyrp.domains.training_loop import LoopSettings, LoopStep, optimise

BATCH, STEPS = 32, 12_500  # 400 thousand pictures


def mirrored(pictures: np.ndarray) -> np.ndarray:
    """The pictures, and behind them their mirror images."""
    return np.concatenate([pictures, pictures[:, :, ::-1]])


def train(
    data: np.ndarray, begun: Path | None, steps: int, checkpoint: Path | None
) -> Iterator[LoopStep]:
    """Train on (n, 64, 64, 3) uint8 pictures; the last step's `ema` is the network to keep."""
    unet: UNet2DModel = UNet2DModel.from_pretrained(begun).float()
    unet = unet.train().to(memory_format=torch.channels_last)
    loss: Callable[[int], Tensor] = v_loss(unet, mirrored(data), BATCH, 1)
    settings = LoopSettings(steps, learning_rate=4e-4, ema_decay=0.9995, warmup_steps=100)
    yield from optimise(unet, loss, settings, checkpoint)
