"""h and P_t of images along their unedited way down: what most finders look at."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.finders.base import FinderData, FinderStep
from asyrp.finders.unfinished import kept, key_of
from asyrp.method.ddim import step
from asyrp.method.hspace import Encoded, HSpaceUNet
from asyrp.method.unedited_trajectory import Window
from asyrp.runtime.batching import in_batches
from asyrp.runtime.transfer import Leaving


class UneditedStep(NamedTuple):
    """One timestep: x_t (b, c, height, width), what the encoder made of it, and P_t."""

    t: int
    x: Tensor
    encoded: Encoded
    x0: Tensor


@torch.no_grad()
def unedited_steps(model: HSpaceUNet, x: Tensor, window: Window) -> Iterator[UneditedStep]:
    """Plain DDIM down a window; yields the timesteps of its editing interval."""
    for pair in (*window.lead, *window.grid):
        encoded = model.encode(x, pair.t)
        eps = model.decode(encoded)
        done = step(x, eps, eps, model.schedule, pair)
        if pair in window.grid:
            yield UneditedStep(pair.t, x, encoded, done.x0)
        x = done.x


def per_image(h: Tensor, images: int) -> Tensor:
    """h of each image, (b, c, h', w'); guidance's two rows of an image are averaged.

    A direction acts on both rows alike, so their mean is what it can follow.
    """
    mean: Tensor = h.unflatten(0, (-1, images)).mean(0)
    return mean


@dataclass(frozen=True)
class Bottlenecks:
    """h of images at every timestep of an interval, float32 on the CPU, in batches of images."""

    times: tuple[int, ...]
    parts: Sequence[Mapping[str, Tensor]]

    def batches(self, t: int) -> Iterator[Tensor]:
        """(b, c * h' * w') of each batch."""
        return (part[str(t)].flatten(1) for part in self.parts)

    def at(self, t: int) -> Tensor:
        """(n, c * h' * w')."""
        return torch.cat(list(self.batches(t)))

    def shaped(self, rows: Tensor) -> Tensor:
        """Rows of h as h is, (..., c, h', w')."""
        found: Tensor = rows.unflatten(-1, self.parts[0][str(self.times[0])].shape[1:])
        return found


def predictions(model: HSpaceUNet, latents: Tensor, data: FinderData) -> tuple[Tensor, Tensor]:
    """x where the editing interval begins, (n, c, height, width), and every P_t, (k, n, ...)."""

    def walked(rows: slice) -> tuple[Tensor, Tensor]:
        steps = list(unedited_steps(model, latents[rows].to(model.device), data.window))
        return steps[0].x, torch.stack([one.x0 for one in steps])

    x, x0 = zip(*in_batches(len(latents), data.batch_size, walked), strict=True)
    return torch.cat(x), torch.cat(x0, dim=1)


def recorded(
    model: HSpaceUNet, latents: Tensor, data: FinderData, total: int
) -> Generator[FinderStep, None, Bottlenecks]:
    """Walk the images down and keep their h; returns it, `data.state` holds what is done.

    total: steps of the whole search, of which each image's walk is one.
    """
    fingerprint, done = model.fingerprint(), 0

    def walked(rows: slice) -> Mapping[str, Tensor]:
        x = latents[rows]

        def work() -> dict[str, Tensor]:
            steps = unedited_steps(model, x.to(model.device), data.window)
            leaving = {str(s.t): Leaving(per_image(s.encoded.h, len(x)).float()) for s in steps}
            return {t: h.landed() for t, h in leaving.items()}

        return kept(data.state, key_of("h", fingerprint, tuple(data.window), x), work)

    parts = []
    for part in in_batches(len(latents), data.batch_size, walked):
        parts.append(part)
        done += len(next(iter(part.values())))
        yield FinderStep(done, total)
    return Bottlenecks(tuple(pair.t for pair in data.window.grid), parts)
