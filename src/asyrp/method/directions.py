"""Directions in h-space: callables `(h, emb, t) -> dh`, and their algebra."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.errors import AsyrpError

Layout = Literal["ddpm", "adm"]


class Direction(Protocol):
    """A shift of the bottleneck at one timestep.

    h: (b, c, h', w'); emb: (b, e) time embedding; t: timestep. Returns dh, broadcastable to h.
    """

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """The dh at timestep t."""


class ImplicitDirection(nn.Module):
    """f_t, the paper's implicit neural direction (Kwon et al. 2023, section 3.4 and appendix E).

    Two 1x1 convolutions joined with the time embedding. Layouts of the official code: "ddpm" is
    conv - time - norm - swish - conv, "adm" is norm - swish - conv - time - norm - swish - conv.

    Args:
        zero_init: start with dh = 0, so that training begins at the plain reconstruction; False
            is the official code's default initialisation.
        use_time: False leaves the time embedding out (the official `ignore_timesteps`).
    """

    def __init__(
        self,
        channels: int,
        emb_channels: int,
        layout: Layout = "ddpm",
        zero_init: bool = True,
        use_time: bool = True,
    ):
        super().__init__()
        if layout not in get_args(Layout):
            raise AsyrpError(f"the layout of f_t is 'ddpm' or 'adm'; got {layout!r}")
        eps = 1e-6 if layout == "ddpm" else 1e-5
        groups = _groups(channels)
        self.layout, self.use_time = layout, use_time
        self.norm_in = nn.GroupNorm(groups, channels, eps) if layout == "adm" else None
        self.conv_in = nn.Conv2d(channels, channels, 1)
        self.time_proj = nn.Linear(emb_channels, channels)
        self.norm_out = nn.GroupNorm(groups, channels, eps)
        self.conv_out = nn.Conv2d(channels, channels, 1)
        if zero_init:
            nn.init.zeros_(self.conv_out.weight)
            nn.init.zeros_(cast(Tensor, self.conv_out.bias))

    def forward(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """dh, of h's shape and precision. `t` enters through `emb` alone."""
        given, own = h.dtype, self.conv_in.weight.dtype
        h, emb = h.to(own), emb.to(own)
        # contiguous: torch 2.13's CPU GroupNorm crashes in backward on channels_last without grad
        hidden = h if self.norm_in is None else functional.silu(self.norm_in(h.contiguous()))
        hidden = self.conv_in(hidden)
        if self.use_time:
            hidden = hidden + self.time_proj(functional.silu(emb))[:, :, None, None]
        return cast(Tensor, self.conv_out(functional.silu(self.norm_out(hidden))).to(given))


def _groups(channels: int) -> int:
    """32 as in the paper's networks, or fewer where 32 does not divide the channels."""
    return max(g for g in range(1, 33) if channels % g == 0)


class TimestepDirection(nn.Module):
    """One dh_t a timestep, optimised directly (Kwon et al. 2023, section 3.4).

    Args:
        table: timestep -> (c, h', w'). Other timesteps use the nearest one's dh.
    """

    def __init__(self, table: Mapping[int, Tensor]):
        super().__init__()
        if not table:
            raise AsyrpError("a timestep direction needs at least one timestep; got none")
        self.times = tuple(sorted(table))
        self.values = nn.ParameterList([nn.Parameter(table[t].clone()) for t in self.times])

    @property
    def table(self) -> dict[int, Tensor]:
        """timestep -> dh_t."""
        return {t: value.detach() for t, value in zip(self.times, self.values, strict=True)}

    def forward(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """dh of the nearest timestep, (1, c, h', w')."""
        nearest = min(range(len(self.times)), key=lambda i: abs(self.times[i] - t))
        return cast(Tensor, self.values[nearest])[None]


class GlobalDirection(nn.Module):
    """One dh for every image and timestep (Kwon et al. 2023, appendix L).

    Args:
        dh: (c, h', w') or (c, 1, 1).
    """

    def __init__(self, dh: Tensor):
        super().__init__()
        self.dh = nn.Parameter(dh.clone())

    def forward(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """dh, (1, c, h', w')."""
        return self.dh[None]


@dataclass(frozen=True)
class Scaled:
    """strength * direction; negative strengths run it backwards."""

    direction: Direction
    strength: float

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """strength * dh."""
        return self.strength * self.direction(h, emb, t)


@dataclass(frozen=True)
class Sum:
    """Several directions at once."""

    directions: Sequence[Direction]

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """The sum of their dh; zero for none."""
        return sum((d(h, emb, t) for d in self.directions), start=torch.zeros_like(h))


@dataclass(frozen=True)
class SideBySide:
    """Several directions, each for as many images, in their order.

    images: of each. A network with guidance has the rows of all of them twice, one run after the
    other; a direction gets its own of both.
    """

    directions: Sequence[Direction]
    images: int

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """dh of every row, (runs * directions * images, c, h', w')."""
        shares = zip(self.directions, self._shares(h), self._shares(emb), strict=True)
        found = [d(own, part, t).expand_as(own) for d, own, part in shares]
        return torch.stack([dh.unflatten(0, (-1, self.images)) for dh in found], 1).flatten(0, 2)

    def _shares(self, part: Tensor) -> Iterator[Tensor]:
        runs = part.unflatten(0, (-1, len(self.directions), self.images))
        return (share.flatten(0, 1) for share in runs.unbind(1))


def mean_direction(samples: Iterable[Mapping[int, Tensor]]) -> TimestepDirection:
    """dh_t^mean: the mean over samples of dh_t (Kwon et al. 2023, appendix L).

    Args:
        samples: batches of timestep -> (b, c, h', w'); sums are kept in float64.
    """
    sums: dict[int, Tensor] = {}
    counts: dict[int, int] = {}
    for sample in samples:
        for t, dh in sample.items():
            sums[t] = sums.get(t, torch.zeros((), dtype=torch.float64)) + dh.double().sum(0)
            counts[t] = counts.get(t, 0) + len(dh)
    return TimestepDirection({t: (total / counts[t]).float() for t, total in sums.items()})


def global_direction(direction: TimestepDirection) -> GlobalDirection:
    """dh^global: the mean of dh_t over the editing interval's timesteps (appendix L)."""
    return GlobalDirection(torch.stack(list(direction.table.values())).mean(0))
