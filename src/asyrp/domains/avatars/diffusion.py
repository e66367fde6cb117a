"""The world's diffusion model: a plain diffusers U-Net, trained on v-prediction.

v-prediction (Salimans and Ho 2022, section 4) keeps P_t bounded near t = T, where the error of an
epsilon network reaches x0 multiplied by 1/sqrt(alpha_bar) = 157.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from torch import Tensor

from asyrp.runtime.precision import autocast, precision_of
from asyrp.storage.images import from_uint8

UNET_CONFIG = {
    "sample_size": 64,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 1,
    "block_out_channels": (16, 32, 64, 128),
    "down_block_types": ("DownBlock2D",) * 4,
    "up_block_types": ("UpBlock2D",) * 4,
    "norm_num_groups": 8,
    "attention_head_dim": 32,
}
SCHEDULER_CONFIG = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": True,
    "timestep_spacing": "trailing",
}


def new_unet() -> UNet2DModel:
    """The network of avatars-64, untrained."""
    unet: UNet2DModel = UNet2DModel(**UNET_CONFIG)
    return unet.to(memory_format=torch.channels_last)


def new_scheduler() -> DDIMScheduler:
    """The scheduler that is saved beside it."""
    scheduler: DDIMScheduler = DDIMScheduler(**SCHEDULER_CONFIG)
    return scheduler


def v_loss(
    unet: UNet2DModel, pictures: np.ndarray, batch: int, seed: int, snr_cap: float = float("inf")
) -> Callable[[int], Tensor]:
    """The loss of one step: w |v(x_t, t) - v|^2 with v = sqrt(abar) eps - sqrt(1 - abar) x0.

    Timesteps are stratified over the batch, which lowers the variance of the loss.

    Args:
        pictures: (n, 64, 64, 3) uint8.
        snr_cap: |v|^2 weighs the error of x0 by its signal-to-noise ratio + 1; w lets that grow to
            snr_cap + 1 (after Hang et al. 2023), and is never below a tenth. inf: w = 1.
    """
    alpha_bar = new_scheduler().alphas_cumprod.double()
    weights = ((snr_cap + 1) * (1 - alpha_bar)).clamp(0.1, 1).float()

    def loss_at(step: int) -> Tensor:
        rng = np.random.default_rng([seed, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        x0 = from_uint8(pictures[np.sort(rng.integers(len(pictures), size=batch))])
        eps = torch.randn(x0.shape, generator=generator)
        strata = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        t = (strata * 1000).long().clamp(max=999)
        signal = alpha_bar[t].sqrt().float().view(-1, 1, 1, 1)
        noise = (1 - alpha_bar[t]).sqrt().float().view(-1, 1, 1, 1)
        x_t = (signal * x0 + noise * eps).contiguous(memory_format=torch.channels_last)
        with autocast(x_t.device, precision_of("auto", x_t.device)):
            v = unet(x_t, t).sample
        apart: Tensor = (v.float() - (signal * eps - noise * x0)).square().mean((1, 2, 3))
        loss: Tensor = (weights[t] * apart).mean()
        return loss

    return loss_at


def save_pipeline(unet: UNet2DModel, folder: Path) -> None:
    """Write network and scheduler as a diffusers pipeline folder, weights in fp16."""
    half = copy.deepcopy(unet).half().to(memory_format=torch.contiguous_format)
    pipeline = DDIMPipeline(half, new_scheduler())
    folder.parent.mkdir(parents=True, exist_ok=True)
    pipeline.save_pretrained(folder, safe_serialization=True)
