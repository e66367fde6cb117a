"""Ways between the CPU and a GPU on which neither waits for the other."""

from collections.abc import Sequence

import torch
from torch import Tensor

WAITING = ("cpu", "mps")  # where a copy that nobody waits for is none, or not safe


def sent(x: Tensor, device: torch.device) -> Tensor:
    """x on a device: to a GPU by way of pinned memory, while the CPU goes on."""
    ready = x.pin_memory() if device.type == "cuda" and x.device.type == "cpu" else x
    return ready.to(device, non_blocking=device.type not in WAITING)


def numbers(values: Sequence[float], like: Tensor) -> Tensor:
    """Some numbers, (n,), in the place and precision of another tensor: filled in, not copied."""
    return torch.stack([torch.full((), v, dtype=like.dtype, device=like.device) for v in values])


class Leaving:
    """A tensor on its way to the CPU; a GPU goes on with what it was told meanwhile."""

    def __init__(self, x: Tensor):
        self._event = None
        self._there = x
        if x.device.type == "cuda":
            self._there = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
            self._there.copy_(x, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def landed(self) -> Tensor:
        """It, on the CPU."""
        if self._event is not None:
            self._event.synchronize()
        return self._there.cpu()
