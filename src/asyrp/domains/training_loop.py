"""The training loop that the world's own networks share: AdamW, warm-up, decay, EMA, resume."""

import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from asyrp.storage.training_state import load_state, save_state


@dataclass(frozen=True)
class LoopSettings:
    """How a network of the world is trained; the defaults suit all of them."""

    steps: int
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    decay_share: float = 0.3  # the last share of the steps, in which the rate falls to 0
    weight_decay: float = 1e-4
    ema_decay: float = 0.999
    clip_norm: float = 1.0
    save_seconds: float = 60.0


class LoopStep(NamedTuple):
    """One optimiser step. `ema` is the averaged network, the one to keep."""

    step: int
    loss: float
    ema: nn.Module


class Inputs(NamedTuple):
    """What a domain's networks are trained from; `begun` is a network to go on from."""

    cache: Path
    out: Path
    images: Path | None = None
    attributes: Path | None = None
    begun: Path | None = None


class Part(NamedTuple):
    """A network of a domain to train: its steps, and the run that ends with weights and a card."""

    steps: int
    run: Callable[[int], Iterator[LoopStep]]


def rate_factor(step: int, settings: LoopSettings) -> float:
    """Learning-rate factor in [0, 1]: linear warm-up, constant, linear decay to 0."""
    decay_steps = max(1, int(settings.steps * settings.decay_share))
    up = (step + 1) / settings.warmup_steps
    down = (settings.steps - step) / decay_steps
    return max(0.0, min(1.0, up, down))


def optimise(
    model: nn.Module,
    loss_at: Callable[[int], Tensor],
    settings: LoopSettings,
    checkpoint: Path | None = None,
) -> Iterator[LoopStep]:
    """Train `model` in place; continues from `checkpoint` if that file exists.

    `loss_at(step)` must draw its randomness from `step` alone; then a run that was stopped and
    continued equals an unbroken one.
    """
    optimiser = torch.optim.AdamW(
        model.parameters(), settings.learning_rate, (0.9, 0.99), weight_decay=settings.weight_decay
    )
    ema = copy.deepcopy(model).requires_grad_(False)
    networks, first = {"model": model, "ema": ema}, 0
    if checkpoint and checkpoint.exists():
        first = int(load_state(checkpoint, networks, optimiser).header["step"])
    saved = time.monotonic()
    for step in range(first, settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate_factor(step, settings)
        loss = loss_at(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimiser.step()
        _average(ema, model, min(settings.ema_decay, (step + 1) / (step + 10)))
        last = step + 1 == settings.steps
        if checkpoint and (last or time.monotonic() - saved > settings.save_seconds):
            header = {"step": str(step + 1), "settings": json.dumps(asdict(settings))}
            save_state(checkpoint, networks, optimiser, header)
            saved = time.monotonic()
        yield LoopStep(step + 1, float(loss.detach()), ema)


@torch.no_grad()
def _average(ema: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
    for kept, new in zip(ema.buffers(), model.buffers(), strict=True):
        kept.copy_(new)
