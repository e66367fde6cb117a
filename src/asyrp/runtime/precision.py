"""One policy of precision: products in what was chosen, norms, statistics and schedule in float32.

Products are convolutions and matrix products: nearly all of the work. Their weights are rounded
once, and autocast rounds what they are multiplied with.
"""

import time
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import cast, get_args

import torch
from torch import nn
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.settings import Precision

REDUCED = (torch.bfloat16, torch.float16)


def precision_of(asked: Precision, device: str | torch.device) -> torch.dtype:
    """The precision of products on a device; "auto" is bfloat16 where it pays, else float32."""
    if asked not in get_args(Precision):
        known = ", ".join(map(repr, get_args(Precision)))
        raise AsyrpError(f"dtype must be one of {known}; got {asked!r:.80}")
    if asked == "auto":
        return torch.bfloat16 if bfloat16_pays(torch.device(device)) else torch.float32
    return cast(torch.dtype, getattr(torch, asked))


def round_products(network: nn.Module, dtype: torch.dtype) -> None:
    """Round the weights of products in place; those that embed timesteps and classes stay."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and "embedding" not in name:
            layer.to(dtype)


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Products in a reduced precision; any other leaves them as they are.

    It keeps no rounded copies of weights: they would outlive an optimiser's step.
    """
    if dtype not in REDUCED or not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, dtype, cache_enabled=False)


def check_range(dtype: torch.dtype) -> None:
    """Raise AsyrpError for a precision in which gradients fall to 0."""
    if dtype == torch.float16:
        raise AsyrpError(
            "gradients are too small for float16; needed --dtype bfloat16, auto or float32 to train"
        )


@lru_cache
def bfloat16_pays(device: torch.device) -> bool:
    """Whether convolutions on `device` are faster in bfloat16, by a fifth at least.

    A CPU is asked by a trial of 0.1 s, since flags of the processor do not tell: some have the
    instructions and run them at half of the float32 rate.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _seconds(torch.float32) > 1.2 * _seconds(torch.bfloat16)


def _seconds(dtype: torch.dtype) -> float:
    """The least time of 15 of a 3 x 3 convolution of 96 channels, forward."""
    images = torch.ones(8, 96, 32, 32, dtype=dtype).to(memory_format=torch.channels_last)
    kernel = torch.ones(96, 96, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
    times = []
    with torch.no_grad():
        for _ in range(15):
            begun = time.perf_counter()
            functional.conv2d(images, kernel, padding=1)
            times.append(time.perf_counter() - begun)
    return min(times)
