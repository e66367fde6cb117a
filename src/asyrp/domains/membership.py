"""Whether a picture is of a network's domain: a good reconstruction does not say so."""

import torch
from torch import Tensor

from asyrp.domains.base import built_in, source_of
from asyrp.method.ddim import predict_x0
from asyrp.method.hspace import HSpaceUNet

TIMESTEP = 600  # noisy enough that what is predicted comes from what the network knows
DRAWS = 4  # of the noise


@torch.no_grad()
def denoising_error(model: HSpaceUNet, image: Tensor) -> float:
    """Mean squared error of P_t of a noised clean x, (c, height, width), over a few noises."""
    alpha_bar = model.schedule.alpha_bar(TIMESTEP)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(DRAWS, *image.shape, generator=generator).to(image)
    x = alpha_bar**0.5 * image + (1 - alpha_bar) ** 0.5 * noise
    return float((predict_x0(x, model(x, TIMESTEP), alpha_bar) - image).square().mean())


def stranger(model: HSpaceUNet, domain: str, image: Tensor) -> str:
    """A line for a picture that is not of a built-in domain; "" for one that is, or other domains.

    domain: its name.
    """
    if domain not in built_in():
        return ""
    source = source_of(domain)
    error = denoising_error(model, image)
    if error <= source.STRANGE:
        return ""
    other = next(name for name in built_in() if name != domain)
    return (
        f"This is no picture of those that {domain} knows ({source.KNOWS}), so that edits may "
        f"dissolve it; for {source_of(other).KNOWS} use the domain {other}."
    )
