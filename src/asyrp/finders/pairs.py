"""Directions from pairs of images, before and after: what of h sets them apart."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.finders.base import FinderData, FinderStep, FoundDirection, frozen_table
from asyrp.finders.bottlenecks import predictions, recorded
from asyrp.finders.catalogue import Pairs
from asyrp.finders.clip_training import new_direction
from asyrp.finders.fitting import Goal, batches_of, fitted
from asyrp.finders.unfinished import checkpoint_of
from asyrp.method.hspace import HSpaceUNet
from asyrp.runtime.generators import Running
from asyrp.settings import TrainSettings


def find(settings: Pairs, model: HSpaceUNet, data: FinderData) -> Iterator[FinderStep]:
    """The mean difference of h along both ways down from the inversion, or an f_t between them.

    AsyrpError where there is not a second image for every image.
    """
    after = data.after
    assert after is not None
    if len(after) != len(data.latents):
        count = len(data.latents)
        raise AsyrpError(f"pairs need an image after each of {count}; got {len(after)}")
    search = _mean if settings.estimate == "mean" else _trained
    yield from search(settings, model, data, after)


def _mean(
    settings: Pairs, model: HSpaceUNet, data: FinderData, after: Tensor
) -> Iterator[FinderStep]:
    """dh_t = mean over pairs of h_t after - h_t before.

    explains: |mean|^2 / mean |difference|^2 at each timestep, 1 where all pairs differ alike.
    """
    total, count = 2 * len(after), len(after)
    first = yield from recorded(model, data.latents, data, total)
    for step in (walked := Running(recorded(model, after, data, total))):
        yield step._replace(done=count)
    table, alike = {}, {}
    for t in first.times:
        difference = walked.value.at(t) - first.at(t)
        dh = difference.mean(0)
        share = dh.square().sum() / difference.square().sum(1).mean().clamp_min(1e-12)
        table[t], alike[t] = first.shaped(dh), round(float(share), 4)
    explains = {"pairs": count, "alike": alike}
    yield FinderStep(total, total, (_found(frozen_table(model, table), explains),))


def _trained(
    settings: Pairs, model: HSpaceUNet, data: FinderData, after: Tensor
) -> Iterator[FinderStep]:
    """f_t by the mean squared distance of P_t of the first, edited, to P_t of the second."""
    (x, before), (_, wanted) = (predictions(model, some, data) for some in (data.latents, after))
    seeded = TrainSettings(seed=settings.train.seed)
    direction = new_direction(model, data.window.grid, seeded)

    def loss(x0: Tensor, k: int, rows: Tensor) -> Tensor:
        return functional.mse_loss(x0, wanted[k, rows])

    known = (model.fingerprint(), settings, data.window, data.latents, after)
    checkpoint = checkpoint_of(data.state, "pairs", *known)
    goal, fitting = Goal(direction, loss), settings.train
    parts = (x, data.window.grid, lambda _: goal, fitting, checkpoint)
    explains = {"pairs": len(after), **(yield from fitted(model, direction, *parts))}
    explains["loss_without"] = float(functional.mse_loss(before, wanted))
    found = _found(direction.requires_grad_(False).eval(), explains)
    total = len(batches_of(len(after), fitting))
    yield FinderStep(total, total, (found,))


def _found(direction: Any, explains: dict[str, Any]) -> FoundDirection:
    return FoundDirection("pairs", direction, explains, ("before", "after"))
