"""--dry-run: what a command would do, how long it would take here, and in how much memory."""

import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from timeit import repeat
from typing import Any

import torch

from asyrp.finders.prepare import EDIT_STEPS
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import paper_grid
from asyrp.options import Inverting
from asyrp.runtime.cpu import finish
from asyrp.settings import TrainSettings

DECODER = 0.7  # of a pass: what an edited timestep costs once more
EDITED = 0.5  # of the timesteps, where the interval is not known yet
STAGE = 30_000  # passes of a stage of an experiment, a guess from the times of avatars-64

_asked: ContextVar[bool] = ContextVar("dry_run", default=False)


class Forecast(Exception):
    """Ends a command that was to be foreseen; `told` says what it would have done."""

    def __init__(self, told: dict[str, Any]):
        super().__init__(told["would"])
        self.told = told


@contextmanager
def forecasting() -> Iterator[None]:
    """Have commands end with a `Forecast` where their long work would begin."""
    token = _asked.set(True)
    try:
        yield
    finally:
        _asked.reset(token)


def foresee(
    would: str,
    model: HSpaceUNet,
    passes: float,
    batch: int = 16,
    learning: float = 0,
    kept: int = 0,
    share: float = 1.0,
) -> None:
    """With --dry-run: measure a batch, and end here. Without: nothing.

    Args:
        passes: of single images through the network, forwards.
        batch: images at a time.
        learning: passes with gradients of the decoder.
        kept: images that stay in memory.
        share: of the time, where several processes work.

    Raises:
        Forecast: --dry-run was given.
    """
    if not _asked.get():
        return
    seconds = passes * pass_seconds(model, batch)
    if learning:
        seconds += learning * pass_seconds(model, min(batch, 8), gradients=True)
    held = kept * model.encode(_noise(model, 1), 0).x.numel() * 4
    foreseen(would, seconds * share, peak_bytes(model.device) + held)


def foreseen(would: str, seconds: float | None, memory: float | None = None) -> None:
    """The same where the seconds are known, or cannot be; memory in bytes.

    Raises:
        Forecast: --dry-run was given.
    """
    if _asked.get():
        memory = peak_bytes(torch.device("cpu")) if memory is None else memory
        raise Forecast({"would": would, "seconds": seconds, "gigabytes": round(memory / 1e9, 2)})


def is_asked() -> bool:
    """Whether --dry-run was given."""
    return _asked.get()


def pass_seconds(model: HSpaceUNet, batch: int, gradients: bool = False) -> float:
    """Of one image, in a batch; the fastest of three, since the first sets the network up."""
    x = _noise(model, batch)

    def once() -> None:
        encoded = model.encode(x, 0)
        eps = model.decode(encoded, encoded.h.detach().requires_grad_(gradients))
        if gradients:
            eps.square().mean().backward()  # type: ignore[no-untyped-call]
        finish(model.device)

    with torch.set_grad_enabled(gradients):
        return min(repeat(once, number=1, repeat=3)) / batch


def peak_bytes(device: torch.device) -> float:
    """The most memory that this process has had, of a GPU where the network is on one."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def inverting_passes(images: int, steps: int, how: Inverting, by: str = "ddim") -> float:
    """Up to the latents and back."""
    up = {"ddim": 1 + how.refinements, "edict": 2}.get(by, 1)
    return images * steps * (up + 1)


def editing_passes(
    model: HSpaceUNet, images: int, steps: int, attributes: Sequence[Attribute]
) -> float:
    """From latents to edits."""
    length = model.schedule.length
    ends = [(length if a.t_start is None else a.t_start, a.t_edit) for a in attributes]
    edited = {pair for end in ends for pair in paper_grid(steps, length).between(*end)}
    return images * (steps + DECODER * len(edited))


def training_passes(images: int, settings: TrainSettings) -> tuple[float, float]:
    """(to the latents and along the unedited walks, with gradients) of one direction."""
    steps = settings.steps * EDITED
    along = images * (2 * settings.steps + EDIT_STEPS)
    return along, images * settings.epochs * steps


def _noise(model: HSpaceUNet, batch: int) -> torch.Tensor:
    return torch.randn(batch, *model.image_shape, device=model.device)


def described(told: dict[str, Any]) -> str:
    """A forecast in one line."""
    seconds = told["seconds"]
    time_told = "not foreseen; its progress bar tells" if seconds is None else _clock(seconds)
    return f"would {told['would']}; time: {time_told}; memory: about {told['gigabytes']:g} GB"


def _clock(seconds: float) -> str:
    if seconds < 100:
        return f"about {max(1, round(seconds))} s"
    minutes = seconds / 60
    return f"about {minutes:.0f} min" if minutes < 100 else f"about {minutes / 60:.1f} h"
