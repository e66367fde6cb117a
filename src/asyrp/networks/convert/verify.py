"""Proof of a conversion: the original formulation against the converted network."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import linear
from asyrp.networks.convert import reference_adm, reference_ddpm
from asyrp.networks.convert.hyperparameters import Settled
from asyrp.networks.convert.structure import Structure, Weights

LIMIT = 1e-4
SMALLEST = 8  # pixels; attention needs more than one position to be told apart


class Proof(NamedTuple):
    """What was compared and how far it differed.

    difference: the largest of |original - converted| / max |original|, over the bottleneck and
    the output. timesteps: one image each. size: (height, width) of the random images.
    """

    difference: float
    timesteps: tuple[int, ...]
    size: tuple[int, int]


@torch.no_grad()
def prove(weights: Weights, structure: Structure, settled: Settled, unet: Any) -> Proof:
    """Compare both networks on random images, small ones: size changes nothing in either.

    Raises:
        AsyrpError: they differ by more than 1e-4 of the largest value.
    """
    x, t, labels = _inputs(structure, settled.timesteps)
    full = {key: value.float() for key, value in weights.items()}
    if structure.family == "ddpm":
        wanted = reference_ddpm.forward(full, x, t)
    else:
        net = reference_adm.Net(full, settled.heads_at, settled.new_order, settled.time_scale)
        wanted = reference_adm.forward(net, x, t, labels)
    model = HSpaceUNet(unet, linear())
    encoded = model.encode(x, t, labels)
    got = (encoded.h, model.decode_raw(encoded))
    difference = max(_difference(a, b) for a, b in zip(got, wanted, strict=True))
    if not difference <= LIMIT:
        raise AsyrpError(
            f"the converted network differs from the original by {difference:.2e} of its largest "
            f"value (limit {LIMIT:g}), so nothing was written; the hyper-parameters do not fit "
            "this checkpoint, or it is of a network that was changed"
        )
    return Proof(difference, tuple(t.tolist()), (x.shape[2], x.shape[3]))


def _inputs(structure: Structure, timesteps: int) -> tuple[Tensor, Tensor, Tensor | None]:
    unit = 1 << (structure.levels - 1)
    height = unit * max(2, SMALLEST // unit)
    generator = torch.Generator().manual_seed(0)
    t = torch.tensor([0, timesteps // 3, timesteps - 1])
    shape = (len(t), structure.in_channels, height, height + unit)
    x = torch.randn(shape, generator=generator)
    if structure.classes is None:
        return x, t, None
    return x, t, torch.tensor([0, structure.classes // 2, structure.classes - 1])


def _difference(got: Tensor, wanted: Tensor) -> float:
    largest = float(wanted.abs().max())
    difference = float((got - wanted).abs().max()) / max(largest, 1e-30)
    return difference if math.isfinite(difference) else math.inf  # max() would pass over NaN
