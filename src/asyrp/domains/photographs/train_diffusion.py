"""Training of the photographs' diffusion network, which goes on from a network that was begun."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from torch import Tensor

from asyrp.domains.avatars.diffusion import v_loss
from asyrp.domains.training_loop import LoopSettings, LoopStep, optimise
from asyrp.storage.untrusted.tensors import load_safetensors

BATCH, STEPS = 32, 12_500  # 400 thousand pictures
RATE, EMA, SNR_CAP = 3e-4, 0.998, 5.0  # see LoopSettings and v_loss


def mirrored(pictures: np.ndarray) -> np.ndarray:
    """The pictures, and behind them their mirror images."""
    return np.concatenate([pictures, pictures[:, :, ::-1]])


UNET_CONFIG = {
    "sample_size": 64,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 1,
    "block_out_channels": (48, 96, 192, 256),
    "down_block_types": ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    "norm_num_groups": 16,
    "attention_head_dim": 32,
}


def new_unet() -> UNet2DModel:
    """The network of photographs-64, untrained."""
    unet: UNet2DModel = UNet2DModel(**UNET_CONFIG)
    return unet.to(memory_format=torch.channels_last)


def train(
    data: np.ndarray, begun: Path | None, steps: int, checkpoint: Path | None
) -> Iterator[LoopStep]:
    """Train on (n, 64, 64, 3) uint8 pictures; the last step's `ema` is the network to keep."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        unet = new_unet()
    if begun is not None:
        state = load_safetensors(begun / "diffusion_pytorch_model.safetensors")
        unet.load_state_dict({key: value.float() for key, value in state.items()})
    loss: Callable[[int], Tensor] = v_loss(unet, mirrored(data), BATCH, 1, SNR_CAP)
    settings = LoopSettings(steps, RATE, warmup_steps=50, decay_share=0.5, ema_decay=EMA)
    yield from optimise(unet, loss, settings, checkpoint)
