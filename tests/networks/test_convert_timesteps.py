"""What a network does with noise tells how timesteps have to reach it; agreement does not."""

from typing import Any

import pytest
from torch import Tensor, nn

from asyrp.networks import load_model
from asyrp.networks.convert.hyperparameters import Resolved
from asyrp.networks.convert.structure import Structure
from asyrp.networks.convert.verify import NoiseLeft, noise_left
from tiny_folders import tiny_latent_unet


def resolved(timesteps: int, rescale: bool, prediction: Any = "v_prediction") -> Resolved:
    scale = 1000 / timesteps  # so that the amount of noise is the same at every share of T
    betas = (1e-4 * scale, 0.02 * scale)
    return Resolved(64, 1, None, None, False, timesteps, "linear", *betas, rescale, prediction)


STRUCTURE = Structure("ddpm", (1, 1, 1), (False,) * 3, 1, 3, 3, 4, "conv", False, None)


class Scaled(nn.Module):
    """A network as its original code holds it: timesteps reach it times a factor of its own."""

    def __init__(self, unet: nn.Module, factor: float) -> None:
        super().__init__()
        self.unet, self.factor = unet, factor

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Any:
        return self.unet(x, t * self.factor)


@pytest.mark.parametrize(
    ("timesteps", "rescale", "reaches", "doubtful"),
    [
        (1000, False, 1.0, False),
        (1000, False, 0.25, True),  # a network of T = 4000 that was taken for one of 1000
        (4000, True, 0.25, False),
        (4000, True, 0.0625, True),  # timesteps were scaled that should not be
        (4000, False, 1.0, True),  # and the other way round
        (4000, False, 0.25, False),
    ],
)
def test_a_wrong_scale_of_timesteps_is_doubted(
    timesteps: int, rescale: bool, reaches: float, doubtful: bool
) -> None:
    unet = Scaled(load_model("avatars-64").unet, reaches)
    found = noise_left(unet, STRUCTURE, resolved(timesteps, rescale))
    assert bool(found.doubt) is doubtful, found
    assert min(found.resolved, found.other) < 0.3
    if doubtful:
        assert "check T (diffusion_steps) and rescale_timesteps" in found.doubt


def test_what_never_learnt_anything_tells_nothing() -> None:
    assert noise_left(tiny_latent_unet(), STRUCTURE, resolved(1000, False, "epsilon")).doubt == ""
    assert NoiseLeft(0.2, 0.19, 4.0).doubt == ""
    assert NoiseLeft(1.4, 0.9, 4.0).doubt == ""
