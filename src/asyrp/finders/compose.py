"""Directions from directions: sums, slerp, projection onto a complement, masks in h."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.finders.base import FinderData, FinderStep, FoundDirection, frozen_table
from asyrp.finders.bottlenecks import per_image
from asyrp.finders.catalogue import Compose
from asyrp.finders.masks import fitted_to
from asyrp.finders.prepare import parse_direction
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.ddim import step
from asyrp.method.direction_file import SavedDirection
from asyrp.method.directions import Direction, ImplicitDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.region import confined
from asyrp.runtime.batching import in_batches

Table = Mapping[int, Tensor]
"""timestep -> dh (c, h', w')."""
NOTHING = 1e-3  # share of its norm below which nothing is left of a direction


def find(settings: Compose, model: HSpaceUNet, data: FinderData) -> Iterator[FinderStep]:
    """One dh a timestep of the interval, as the parts would add up on a grid of that length.

    `data.mask`, (height, width) of x, says where it acts. AsyrpError where a part depends on images
    without any, or nothing is left.
    """
    total = len(data.directions) + len(data.without)
    tables: list[Table] = []
    for k, saved in enumerate((*data.directions, *data.without), start=1):
        tables.append(mean_table(model, saved, data, within=k <= len(data.directions)))
        yield FinderStep(k, total)
    parts, others = tables[: len(data.directions)], tables[len(data.directions) :]
    weights = [parse_direction(text)[1] for text in settings.directions]
    share = settings.between
    if share is None:
        whole = summed(parts, weights)
    else:
        whole = {t: slerp(dh, parts[1][t], share) for t, dh in parts[0].items()}
    result = {t: complement(dh, [other[t] for other in others]) for t, dh in whole.items()}
    kept = {t: norm_share(dh, whole[t]) for t, dh in result.items()}
    if max(kept.values()) < NOTHING:
        raise AsyrpError(
            "nothing is left of the direction: it lies in the span of those it should go without"
        )
    if data.mask is not None:
        mask = fitted_to(data.mask, (model.h_shape[1], model.h_shape[2]))
        result = {t: dh * mask.to(dh) for t, dh in result.items()}
    explains = {"kept": kept, "masked": data.mask is not None}
    cards = [saved.card for saved in data.directions]
    texts = (cards[0].source, " + ".join(card.target for card in cards))
    region = cards[0].region if len({card.region for card in cards}) == 1 else ()
    found = FoundDirection("composed", frozen_table(model, result), explains, texts, region=region)
    yield FinderStep(total, total, (found,))


@torch.no_grad()
def mean_table(
    model: HSpaceUNet, saved: SavedDirection, data: FinderData, within: bool = True
) -> Table:
    """strength * S / S~ * dh_t at every timestep, the mean over the images along their own edit.

    within: 0 outside of the direction's own interval. AsyrpError for f_t without images.
    """
    act = saved.attribute()
    if isinstance(saved.direction, ImplicitDirection):
        if not len(data.latents):
            raise AsyrpError("an f_t depends on the image: give --images, or --random N")
        found = _along_edit(model, act, data)
    else:
        blank = torch.zeros(1, *model.h_shape, device=model.device)
        direction, factor = cast(Direction, saved.direction), act.trained_steps / data.steps
        times = [pair.t for pair in data.window.grid]
        table = {t: direction(blank, blank, t).expand_as(blank)[0] for t in times}
        found = {t: act.strength * factor * dh for t, dh in table.items()}
    return {t: dh if act.acts(t) or not within else torch.zeros_like(dh) for t, dh in found.items()}


def _along_edit(model: HSpaceUNet, act: Attribute, data: FinderData) -> dict[int, Tensor]:
    """t -> mean dh down the walk that the direction edits (appendix L's dh_t^mean)."""

    def summed_up(rows: slice) -> Tensor:
        x, sums = data.latents[rows].to(model.device), []
        for pair in (*data.window.lead, *data.window.grid):
            encoded = model.encode(x, pair.t)
            dh = act.dh(encoded.h, encoded.emb, pair.t, data.steps)
            if pair in data.window.grid:
                sums.append(per_image(dh.float(), len(x)).sum(0))
            eps = model.decode(encoded)
            eps_x0 = model.decode(encoded, encoded.h + dh) if act.acts(pair.t) else eps
            eps_x0 = confined(eps_x0, eps, [act.region])
            x = step(x, eps_x0, eps, model.schedule, pair).x
        return torch.stack(sums)

    parts = in_batches(len(data.latents), data.batch_size, summed_up)
    means = torch.stack(list(parts)).sum(0) / len(data.latents)
    return {pair.t: mean for pair, mean in zip(data.window.grid, means, strict=True)}


def summed(tables: Sequence[Table], weights: Sequence[float]) -> dict[int, Tensor]:
    """sum_i w_i dh_i at every timestep."""
    parts = list(zip(weights, tables, strict=True))
    return {t: torch.stack([w * table[t] for w, table in parts]).sum(0) for t in tables[0]}


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Spherical interpolation (Shoemake 1985) of two shifts; linear where they are parallel."""
    norms = a.norm(), b.norm()
    units = [x / norm.clamp_min(1e-12) for x, norm in zip((a, b), norms, strict=True)]
    angle = math.acos(max(-1.0, min(1.0, float((units[0] * units[1]).sum()))))
    if min(math.sin(angle), *map(float, norms)) < 1e-6:
        return torch.lerp(a, b, share)
    parts = [math.sin((1 - share) * angle), math.sin(share * angle)]
    unit = sum(p * u for p, u in zip(parts, units, strict=True)) / math.sin(angle)
    return cast(Tensor, torch.lerp(*norms, share) * unit)


def complement(dh: Tensor, others: Sequence[Tensor]) -> Tensor:
    """dh less its projection onto the span of others, all (c, h', w') (Haas et al. 2024)."""
    rows = [other.flatten() for other in others if other.norm() > 0]
    if not rows:
        return dh
    basis, values, _ = torch.linalg.svd(torch.stack(rows).double().T, full_matrices=False)
    basis = basis[:, values > 1e-6 * values[0]].to(dh)  # others may say the same
    inside: Tensor = basis @ (basis.T @ dh.flatten())
    return dh - inside.view_as(dh)


def norm_share(part: Tensor, whole: Tensor) -> float:
    """|part| / |whole|, 0 for nothing of nothing."""
    return round(float(part.norm() / whole.norm().clamp_min(1e-12)), 4)
