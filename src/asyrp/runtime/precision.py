"""Where bfloat16 pays: autocast of networks whose weights, statistics and schedule stay float32."""

import time
from functools import lru_cache

import torch
from torch.nn import functional


@lru_cache
def bfloat16_pays(device: torch.device) -> bool:
    """Whether convolutions on `device` are faster in bfloat16, by a fifth at least.

    A CPU is asked by a trial of 0.1 s, since flags of the processor do not tell: some have the
    instructions and run them at half of the float32 rate.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _seconds(torch.float32) > 1.2 * _seconds(torch.bfloat16)


def autocast(device: torch.device, wanted: bool | None = None) -> torch.autocast:
    """bfloat16 autocast on `device`, where it is wanted, or by default where it pays.

    It keeps no rounded copies of weights: they would outlive an optimiser's step.
    """
    on = bfloat16_pays(device) if wanted is None else wanted
    return torch.autocast(device.type, torch.bfloat16, enabled=on, cache_enabled=False)


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
