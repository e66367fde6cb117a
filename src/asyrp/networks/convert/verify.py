"""Proof of a conversion: the original formulation against the converted network.

Both take T and the scale of timesteps as they were resolved, so that their agreement says nothing
about these; what the network does with noise says something.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import from_config, linear
from asyrp.networks.convert.families import family_of
from asyrp.networks.convert.hyperparameters import Resolved
from asyrp.networks.convert.structure import Structure, Weights

LIMIT = 1e-4
LEFT, BETTER = 0.5, 1.25  # noise left by a network that denoises; how much better is telling
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
def prove(weights: Weights, structure: Structure, resolved: Resolved, unet: Any) -> Proof:
    """Compare both networks on small random images; AsyrpError above 1e-4 of the largest value."""
    unit, length = 1 << (structure.levels - 1), resolved.timesteps
    height = unit * max(2, SMALLEST // unit)
    t, labels = torch.tensor([0, length // 3, length - 1]), _labels(structure)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((3, structure.in_channels, height, height + unit), generator=generator)
    full = {key: value.float() for key, value in weights.items()}
    wanted = family_of(structure).forward(full, resolved, x, t, labels)
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


class NoiseLeft(NamedTuple):
    """Share of the noise in flat pictures that a network leaves; 1 is that of answering nothing.

    resolved: with timesteps as they were resolved. other: with the other usual reading of them,
    whose factor on timesteps is `scale`.
    """

    resolved: float
    other: float
    scale: float

    @property
    def doubt(self) -> str:
        """What to tell where the network knows its noise better by the other reading; else ""."""
        if not (self.other < LEFT and self.other * BETTER < self.resolved):
            return ""
        return (
            f"a doubtful scale of timesteps: the network leaves {100 * self.resolved:.0f} % of the "
            f"noise in flat pictures, and {100 * self.other:.0f} % with timesteps times "
            f"{self.scale:g}; check T (diffusion_steps) and rescale_timesteps"
        )


@torch.no_grad()
def noise_left(unet: Any, structure: Structure, resolved: Resolved) -> NoiseLeft:
    """How well a network finds the noise at a quarter, half and three quarters of T.

    Networks of T = 1000 are read as of 4000 for comparison, others with `rescale` turned round:
    what improved-diffusion's two defaults make likely to be wrong.
    """
    length, scale = resolved.timesteps, resolved.time_scale
    other = 4.0 if length == 1000 else 1000 / length if scale == 1 else 1.0
    t = torch.tensor([length // 4, length // 2, 3 * length // 4])
    schedule = from_config(scheduler_config(resolved))
    a = torch.tensor([schedule.alpha_bar(int(k)) for k in t]).view(-1, 1, 1, 1)
    side, generator = max(32, 2 << (structure.levels - 1)), torch.Generator().manual_seed(0)
    flat = torch.randn((3, structure.in_channels, 1, 1), generator=generator).clamp(-1, 1)
    noise = torch.randn((3, structure.in_channels, side, side), generator=generator)
    x, labels = a.sqrt() * flat + (1 - a).sqrt() * noise, _labels(structure)
    left = []
    for factor in (1.0, other / scale):
        found = unet(x, t * factor, labels).sample[:, : structure.in_channels]
        if resolved.prediction == "sample":
            found = (x - a.sqrt() * found) / (1 - a).sqrt()
        elif resolved.prediction == "v_prediction":
            found = a.sqrt() * found + (1 - a).sqrt() * x
        left.append(float((found - noise).square().mean()))
    return NoiseLeft(left[0], left[1], other)


def scheduler_config(resolved: Resolved) -> dict[str, Any]:
    """The config of a DDIMScheduler."""
    return {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": resolved.timesteps,
        "beta_schedule": resolved.schedule,
        "beta_start": resolved.beta_start,
        "beta_end": resolved.beta_end,
        "prediction_type": resolved.prediction,
        "clip_sample": False,
    }


def _labels(structure: Structure) -> Tensor | None:
    if structure.classes is None:
        return None
    return torch.tensor([0, structure.classes // 2, structure.classes - 1])


def _difference(got: Tensor, wanted: Tensor) -> float:
    largest = float(wanted.abs().max())
    difference = float((got - wanted).abs().max()) / max(largest, 1e-30)
    return difference if math.isfinite(difference) else math.inf  # max() would pass over NaN
