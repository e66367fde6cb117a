"""Training of the photographs' diffusion network, which goes on from a network that was begun."""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from torch import Tensor

from asyrp.domains.avatars.diffusion import v_loss
from asyrp.domains.photographs.pictures import read
from asyrp.domains.training_loop import LoopSettings, LoopStep, optimise
from asyrp.runtime.cpu import settle

BATCH, STEPS = 32, 12_500  # 400 thousand pictures


def mirrored(pictures: np.ndarray) -> np.ndarray:
    """The pictures, and behind them their mirror images."""
    return np.concatenate([pictures, pictures[:, :, ::-1]])


def train(
    data: np.ndarray, begun: Path | None, steps: int, checkpoint: Path | None
) -> Iterator[LoopStep]:
    """Train on (n, 64, 64, 3) uint8 pictures; the last step's `ema` is the network to keep."""
    unet: UNet2DModel = UNet2DModel.from_pretrained(begun, trust_remote_code=False).float()
    unet = unet.train().to(memory_format=torch.channels_last)
    loss: Callable[[int], Tensor] = v_loss(unet, mirrored(data), BATCH, 1)
    settings = LoopSettings(steps, learning_rate=4e-4, ema_decay=0.9995, warmup_steps=100)
    yield from optimise(unet, loss, settings, checkpoint)


def main() -> None:
    """Train, or continue, until killed or done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--attributes", type=Path, required=True)
    parser.add_argument("--begun", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    settle()
    data = read(options.images, options.attributes, options.cache).split("diffusion")
    print(len(data.names), "pictures", flush=True)
    began, losses = time.monotonic(), []
    checkpoint = options.cache / "diffusion.safetensors"
    for step in train(data.pictures, options.begun, options.steps, checkpoint):
        losses.append(step.loss)
        if step.step % 50 == 0:
            seconds = (time.monotonic() - began) / len(losses)
            print(step.step, f"{np.mean(losses[-200:]):.5f}", f"{seconds:.2f} s", flush=True)


if __name__ == "__main__":
    main()
