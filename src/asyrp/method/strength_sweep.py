"""The same latents edited in several ways at once, with all that is the same done once.

While no direction acts, all edits are one walk. Where they part, they share the encoder, the
decoder of D_t and f_t, and only P_t is decoded for each; from there on every edit has an x of its
own, and all go through the network as one batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.method.asymmetric_process import Attribute, intervals_of
from asyrp.method.ddim import Step, draw_noise, seeded_generators, step
from asyrp.method.editing import Report, as_state, inversion_grid, silent
from asyrp.method.hspace import Encoded, HSpaceUNet
from asyrp.method.region import confined
from asyrp.method.schedule import Pair, full_length
from asyrp.runtime.batching import in_batches

Edit = Sequence[Attribute]


class StripStep(NamedTuple):
    """One step of several edits.

    x, x0: x_s and P_t of each branch, (branches, b, c, height, width). edits: which edits each
    branch is.
    """

    t: int
    s: int
    x: Tensor
    x0: Tensor
    edits: tuple[tuple[int, ...], ...]

    def of_each(self, part: Tensor) -> Tensor:
        """x or x0 for each edit, (edits, b, c, height, width)."""
        branch = {one: row for row, members in enumerate(self.edits) for one in members}
        return _chosen(part, [branch[one] for one in range(len(branch))])


@torch.no_grad()
def strip(
    model: HSpaceUNet,
    latents: Tensor,
    edits: Sequence[Edit],
    steps: int = 40,
    t_boost: int = 0,
    seed: int = 0,
    batch_size: int = 16,
    report: Report = silent,
    first: int = 0,
) -> Tensor:
    """`api.edit` of the same latents with each of `edits`, (edits, n, c, height, width).

    Args:
        latents: x_T, (n, c, height, width).
        edits: the attributes of each edit; () is the plain reconstruction.
        batch_size: rows that go through the network at once: images times edits.
        first: the number of the first latent's generator, where they are part of a larger job.

    Raises:
        AsyrpError: t_boost above a t_edit, or a number of steps the schedule does not have.
    """
    grid = inversion_grid(model, steps)
    size = max(1, batch_size // max(1, len(edits)))

    def edited(rows: slice) -> Tensor:
        x = as_state(model, latents[rows])
        generators = seeded_generators(len(x), seed, first + rows.start)
        walked = walk_strip(model, x, grid, edits, t_boost, generators)
        for k, done in enumerate(walked, start=1):
            report(rows.start * len(grid) + k * len(x), len(latents) * len(grid))
            ends = done
        return ends.of_each(ends.x)

    return torch.cat(list(in_batches(len(latents), size, edited)), dim=1)


def walk_strip(
    model: HSpaceUNet,
    x: Tensor,
    grid: Sequence[Pair],
    edits: Sequence[Edit],
    t_boost: int = 0,
    generators: Sequence[torch.Generator] = (),
) -> Iterator[StripStep]:
    """`process.walk` of the same x_T (b, c, height, width) with each of `edits`."""
    intervals_of([a for edit in edits for a in edit], t_boost)
    state = x[None]
    branches: tuple[tuple[int, ...], ...] = (tuple(range(len(edits))),)
    for pair in grid:
        noise = draw_noise(x, generators) if pair.t < t_boost else None
        parted = _parted(branches, edits, pair.t)
        branches = tuple(group.edits for group in parted)
        done = _stepped(model, state, pair, parted, full_length(grid), noise)
        state = done.x
        yield StripStep(*done, branches)


class _Group(NamedTuple):
    """Edits that take the next step together: their branch so far, and what acts on them."""

    edits: tuple[int, ...]
    branch: int
    acting: tuple[Attribute, ...]


def _parted(
    branches: Sequence[tuple[int, ...]], ways: Sequence[Edit], t: int
) -> tuple[_Group, ...]:
    """Each branch, divided by what acts at t; strength 0 is the same as nothing."""
    groups: dict[tuple[object, ...], _Group] = {}
    for branch, members in enumerate(branches):
        for one in members:
            acting = tuple(a for a in ways[one] if a.acts(t) and a.strength)
            same = (branch, *(_said(a) for a in acting))
            group = groups.get(same, _Group((), branch, acting))
            groups[same] = group._replace(edits=(*group.edits, one))
    return tuple(groups.values())


def _said(a: Attribute) -> tuple[object, ...]:
    return id(a.direction), a.strength, a.trained_steps, a.region


def _stepped(
    model: HSpaceUNet,
    state: Tensor,
    pair: Pair,
    groups: Sequence[_Group],
    steps: int,
    noise: Tensor | None,
) -> Step:
    """The step of each group, from x_t of each branch, (branches, b, c, height, width)."""
    branches = [group.branch for group in groups]
    encoded = model.encode(state.flatten(0, 1), pair.t)
    eps = _chosen(model.decode(encoded).unflatten(0, state.shape[:2]), branches)
    eps_x0, edited = list(eps), [row for row, group in enumerate(groups) if group.acting]
    if edited:
        acting = [groups[row] for row in edited]
        found = _edited(model, encoded, acting, state.shape[1], pair.t, steps)
        for row, own in zip(edited, found, strict=True):
            regions = [a.region for a in groups[row].acting]
            eps_x0[row] = confined(own, eps[row], regions)
    drawn = None if noise is None else noise.expand_as(eps)
    x, eta = _chosen(state, branches), float(noise is not None)
    return step(x, torch.stack(eps_x0), eps, model.schedule, pair, drawn, eta)


def _edited(
    model: HSpaceUNet,
    encoded: Encoded,
    groups: Sequence[_Group],
    images: int,
    t: int,
    steps: int,
) -> Tensor:
    """eps from the shifted bottleneck of each group, (groups, b, c, height, width)."""
    known: dict[tuple[int, int], Tensor] = {}
    changes = []
    for group in groups:
        h, emb = (_rows(x, [group.branch], encoded, images) for x in (encoded.h, encoded.emb))
        change = torch.zeros_like(h)
        for a in group.acting:
            place = (id(a.direction), group.branch)
            if place not in known:
                known[place] = a.direction(h, emb, t)
            change = change + replace(a, direction=_Known(known[place])).dh(h, emb, t, steps)
        changes.append(change.unflatten(0, (-1, images)))
    whole = _taken(encoded, [group.branch for group in groups], images)
    shifted = whole.h + torch.stack(changes, dim=1).flatten(0, 2)
    eps: Tensor = model.decode(whole, shifted).unflatten(0, (len(groups), images))
    return eps


@dataclass(frozen=True)
class _Known:
    """A direction whose dh was computed before."""

    found: Tensor

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        return self.found


def _taken(encoded: Encoded, branches: Sequence[int], images: int) -> Encoded:
    """The rows of some branches; the same object where those are all."""
    if list(branches) == list(range(len(encoded.x) // images)):
        return encoded

    def take(part: Tensor) -> Tensor:
        return _rows(part, branches, encoded, images)

    skips = tuple(map(take, encoded.skips))
    return Encoded(take(encoded.h), skips, take(encoded.emb), take(encoded.x), take(encoded.t))


def _rows(part: Tensor, branches: Sequence[int], encoded: Encoded, images: int) -> Tensor:
    """Rows of branches; a network with guidance has all rows twice, one run after the other."""
    runs = part.unflatten(0, (-1, len(encoded.x) // images, images))
    return torch.stack([runs[:, branch] for branch in branches], dim=1).flatten(0, 2)


def _chosen(x: Tensor, rows: Sequence[int]) -> Tensor:
    """x[rows]; a list of rows as an index would be copied to a GPU, which waits for it."""
    return torch.stack([x[row] for row in rows])
