"""What a method costs: passes through the network, forward and backward, and seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from asyrp.method.hspace import HSpaceUNet
from asyrp.runtime.cpu import finish


@dataclass
class Cost:
    """Images that went through each half of the network, and seconds by the clock.

    Backward passes count by themselves; where weights are trained one costs twice a forward pass.
    """

    encodes: int = 0
    decodes: int = 0
    encodes_back: int = 0
    decodes_back: int = 0
    seconds: float = 0.0

    def evaluations(self, encoder_share: float) -> float:
        """The work in whole forward passes of one image.

        Args:
            encoder_share: of the encoder in the work of a forward pass, see `encoder_share`.
        """
        encodes = self.encodes + self.encodes_back
        decodes = self.decodes + self.decodes_back
        return encoder_share * encodes + (1 - encoder_share) * decodes


@contextmanager
def counted(model: HSpaceUNet) -> Iterator[Cost]:
    """Count what happens to a network inside the block."""
    cost = Cost()
    weight = 2 if any(p.requires_grad for p in model.unet.parameters()) else 1

    def passed(half: str, module: Any, inputs: Any, output: Tensor) -> None:
        _add(cost, half, len(output))
        if output.requires_grad:
            output.register_hook(lambda grad: _add(cost, f"{half}_back", weight * len(grad)))

    unet = getattr(model.unet, "network", model.unet)  # behind a fixed prompt
    hooks = [
        unet.conv_in.register_forward_hook(partial(passed, "encodes")),
        unet.conv_out.register_forward_hook(partial(passed, "decodes")),
    ]
    finish(model.device)
    started = time.perf_counter()
    try:
        yield cost
    finally:
        finish(model.device)
        cost.seconds += time.perf_counter() - started
        for hook in hooks:
            hook.remove()


def spent(cost: Cost, share: float) -> dict[str, Any]:
    """A cost as data, with its evaluations of the whole network."""
    return {**asdict(cost), "evaluations": cost.evaluations(share)}


def _add(cost: Cost, name: str, amount: int) -> None:
    setattr(cost, name, getattr(cost, name) + amount)


@torch.no_grad()
def encoder_share(model: HSpaceUNet) -> float:
    """The encoder's share of the multiplications of a forward pass, mid block included."""
    x = torch.zeros(1, *model.image_shape, device=model.device, dtype=model.dtype)
    first, second = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with first:
        encoded = model.encode(x, 0)
    with second:
        model.decode(encoded)
    ahead, behind = first.get_total_flops(), second.get_total_flops()
    return float(ahead / (ahead + behind))
