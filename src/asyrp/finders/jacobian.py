"""Directions by which h changes the image most, or the image changes h most: singular vectors.

Of dP_t/dh the right ones (Haas et al. 2024, the unsupervised image-specific directions); of the
pullback dh/dx_t the left ones, which lie in h (Park et al. 2023). Both are eigenvectors of a
symmetric operator on h, found by block power iteration with forward and backward derivatives.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from asyrp.errors import AsyrpError
from asyrp.finders.base import FinderData, FinderStep, FoundDirection, frozen_table
from asyrp.finders.bottlenecks import per_image, unedited_steps
from asyrp.finders.catalogue import Jacobian
from asyrp.finders.matching import matched, upright
from asyrp.finders.unfinished import kept, key_of
from asyrp.method.ddim import predict_x0
from asyrp.method.hspace import Encoded, HSpaceUNet
from asyrp.method.schedule import Pair
from asyrp.runtime.batching import by_batches
from asyrp.runtime.precision import REDUCED

Operator = Callable[[Tensor], Tensor]
"""Symmetric and positive on h: (k, d) -> (k, d), row by row."""
SPARE = 2  # vectors beside those asked for, which makes the iteration faster and is cheap
SETTLED = 1 - 1e-4  # mean squared cosine between the subspaces of two iterations at which it ends


class Basis(NamedTuple):
    """Unit singular vectors (k, d), their singular values (k,), and |h| on average, ()."""

    rows: Tensor
    values: Tensor
    norm: Tensor


def find(settings: Jacobian, model: HSpaceUNet, data: FinderData) -> Iterator[FinderStep]:
    """The first singular directions at some timesteps of the interval.

    Of several images they are eigenvectors of the mean of the images' operators: the basis that
    serves all of them best. `data.mask`, (height, width) of x, limits dP_t to a part of the image.
    AsyrpError for more components than h has dimensions.
    """
    times = evenly(data.window.grid, settings.timesteps)
    start = _start(settings, model)
    found: dict[int, Basis] = {}
    before: Basis | None = None
    likeness: list[float] = []

    def states(x: Tensor) -> Tensor:
        """x_t at those timesteps of the unedited way down, (k, b, c, height, width)."""
        steps = unedited_steps(model, x.to(model.device), data.window)
        return torch.stack([one.x for one in steps if one.t in times])

    walked = by_batches(states, data.batch_size, data.latents, dim=1)
    for t, x in zip(times, walked, strict=True):
        basis = _kept(settings, model, data, x, t, start)
        if before is not None:  # in the order and with the signs of the timestep before
            pairing = matched(before.rows @ basis.rows.T)
            likeness.append(float(pairing.likeness.mean()))
            rows, values = pairing.of(basis.rows), basis.values[pairing.order]
            basis = basis._replace(rows=rows, values=values)
        found[t] = before = basis
        yield FinderStep(len(found), len(times))
    told = {"of": settings.of, "likeness_of_timesteps": [round(one, 4) for one in likeness]}
    answers = []
    for i in range(settings.components):
        lengths = {t: settings.length * b.norm * b.rows[i] for t, b in found.items()}
        table = {t: dh.view(model.h_shape) for t, dh in lengths.items()}
        sizes = {t: round(float(b.values[i]), 5) for t, b in found.items()}
        explains = {"singular_values": sizes, **told}
        answers.append(FoundDirection(f"jacobian-{i + 1}", frozen_table(model, table), explains))
    yield FinderStep(len(times), len(times), tuple(answers))


def evenly(grid: Sequence[Pair], count: int) -> list[int]:
    """`count` timesteps of a grid, its first and last among them where there are two or more."""
    chosen = torch.linspace(0, len(grid) - 1, min(count, len(grid))).round().int()
    return [grid[int(place)].t for place in chosen]


def _start(settings: Jacobian, model: HSpaceUNet) -> Tensor:
    size = int(torch.tensor(model.h_shape).prod())
    if settings.components > size:
        raise AsyrpError(f"h has {size} dimensions; got {settings.components} components to find")
    generator = torch.Generator().manual_seed(settings.start_seed)
    count = min(settings.components + SPARE, size)
    return torch.randn(count, size, generator=generator).to(model.device)


def _kept(
    settings: Jacobian, model: HSpaceUNet, data: FinderData, x: Tensor, t: int, start: Tensor
) -> Basis:
    """The basis at one timestep, from `data.state` where it was found before."""

    def work() -> Mapping[str, Tensor]:
        exact = copy.deepcopy(model).float() if model.dtype in REDUCED else model
        with forward_derivatives(exact):
            each = [operator_of(settings, exact, one[None], t, data.mask) for one in x]
            rows, values = leading(
                lambda v: torch.stack([one(v) for one in each]).mean(0), start, settings.iterations
            )
        h = per_image(model.encode(x, t).h, len(x))
        cut = slice(settings.components)
        norm = h.float().flatten(1).norm(dim=1).mean()
        return Basis(upright(rows[cut]), values[cut], norm)._asdict()

    mask = torch.zeros(0) if data.mask is None else data.mask
    parts = (settings.of, settings.iterations, settings.components, start, mask, x, t)
    found = kept(data.state, key_of("jacobian", model.fingerprint(), *parts), work)
    return Basis(**{name: value.to(model.device) for name, value in found.items()})


@contextmanager
def forward_derivatives(model: HSpaceUNet) -> Iterator[None]:
    """Where torch has forward derivatives of every layer: of plain attention, and of group norms
    only for values that lie in memory in the order of their axes (torch 2.13).
    """

    def in_order(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(one.contiguous() for one in given)

    norms = [module for module in model.modules() if isinstance(module, nn.GroupNorm)]
    hooks = [norm.register_forward_pre_hook(in_order) for norm in norms]
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def operator_of(
    settings: Jacobian, model: HSpaceUNet, x: Tensor, t: int, mask: Tensor | None
) -> Operator:
    """J^T J of h -> P_t, or J J^T of x_t -> h, at one image (1, c, height, width)."""
    if settings.of == "prediction":
        encoded = model.encode(x, t)
        alpha_bar = model.schedule.alpha_bar(t)
        shape = model.h_shape

        def predicted(dh: Tensor) -> Tensor:
            rows = repeated(encoded, len(dh))
            runs = len(rows.h) // len(dh)
            eps = model.decode(rows, rows.h + dh.repeat(runs, 1, 1, 1).to(rows.h.dtype))
            x0 = predict_x0(rows.x, eps, alpha_bar)
            return x0 if mask is None else x0 * mask.to(x0)

        return lambda v: squared(predicted, torch.zeros(len(v), *shape).to(v), v)

    def bottleneck(rows: Tensor) -> Tensor:
        return per_image(model.encode(rows, t).h, len(rows)).float()

    return lambda u: squared_of_transpose(bottleneck, x.repeat(len(u), 1, 1, 1), u)


def repeated(encoded: Encoded, count: int) -> Encoded:
    """One image's Encoded as that of `count` equal ones; guidance's runs stay apart."""

    def rows(part: Tensor) -> Tensor:
        return part.repeat_interleave(count, dim=0)

    skips = tuple(map(rows, encoded.skips))
    return Encoded(rows(encoded.h), skips, rows(encoded.emb), rows(encoded.x), rows(encoded.t))


def squared(f: Callable[[Tensor], Tensor], at: Tensor, v: Tensor) -> Tensor:
    """J^T J v of each row, v (k, d), where f works on every row by itself."""
    moved = torch.func.jvp(f, (at,), (v.view_as(at),))[1]
    back: Tensor = torch.func.vjp(f, at)[1](moved)[0]
    return back.flatten(1)


def squared_of_transpose(f: Callable[[Tensor], Tensor], at: Tensor, u: Tensor) -> Tensor:
    """J J^T u of each row, u (k, d) in the space of f's values."""
    values, *transposed = torch.func.vjp(f, at)
    moved = transposed[0](u.view_as(values))[0]
    back: Tensor = torch.func.jvp(f, (at,), (moved,))[1]
    return back.flatten(1)


def leading(operator: Operator, start: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Eigenvectors of the largest eigenvalues (k, d), and the roots of those (k,), falling.

    Block power iteration from `start` (k, d), and a Rayleigh-Ritz step at the end.
    """
    rows = orthonormal(start)
    for _ in range(iterations):
        before, rows = rows, orthonormal(operator(rows))
        if (before @ rows.T).square().sum() / len(rows) >= SETTLED:
            break
    small = rows @ operator(rows).T
    values, turn = torch.linalg.eigh((small + small.T) / 2)
    return turn.flip(1).T @ rows, values.flip(0).clamp_min(0).sqrt()


def orthonormal(rows: Tensor) -> Tensor:
    """An orthonormal basis of the rows (k, d)."""
    basis: Tensor = torch.linalg.qr(rows.T)[0].T
    return basis
