"""Where a network's x lives: pixels, or the latent space of an autoencoder (latent diffusion)."""

from typing import Any, Protocol

import torch
from diffusers import AutoencoderKL, VQModel
from torch import Tensor, nn

from asyrp.errors import AsyrpError

Shape = tuple[int, int, int]  # channels, height, width


class Space(Protocol):
    """The way between pictures and a network's x."""

    def picture_shape(self, x_shape: Shape) -> Shape:
        """(channels, height, width) of pictures whose x has that shape."""
        ...

    def encode(self, pictures: Tensor) -> Tensor:
        """(n, channels, height, width) in [-1, 1] -> x at t = CLEAN."""
        ...

    def decode(self, x: Tensor) -> Tensor:
        """Clean x, such as P_t -> pictures, differentiable."""
        ...


class Pixels:
    """x is the picture itself."""

    def picture_shape(self, x_shape: Shape) -> Shape:
        """The same."""
        return x_shape

    def encode(self, pictures: Tensor) -> Tensor:
        """The same."""
        return pictures

    def decode(self, x: Tensor) -> Tensor:
        """The same."""
        return x


class LatentSpace(nn.Module):
    """A frozen autoencoder: x = scale * (code - shift) (Rombach et al. 2022).

    A VQModel's code is taken before quantisation and quantised on the way back; an AutoencoderKL's
    is the mode of its posterior. So both ways are deterministic.

    Args:
        coder: as diffusers loads it.
    """

    def __init__(self, coder: VQModel | AutoencoderKL):
        super().__init__()
        if not isinstance(coder, VQModel | AutoencoderKL):
            raise AsyrpError(
                "needed a VQModel or an AutoencoderKL to decode latents with; "
                f"got a {type(coder).__name__}"
            )
        self.coder: Any = coder.eval().requires_grad_(False)
        self.scale = scale_of(coder)
        self.shift = float(coder.config.get("shift_factor") or 0.0)

    def picture_shape(self, x_shape: Shape) -> Shape:
        """3 channels, and twice the size for every level of the autoencoder but one."""
        factor = 2 ** (len(self.coder.config["block_out_channels"]) - 1)
        return int(self.coder.config["out_channels"]), x_shape[1] * factor, x_shape[2] * factor

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """(n, 3, height, width) in [-1, 1] -> x, one picture at a time to save memory."""
        codes = [self._code(self._ready(picture[None])) for picture in pictures]
        return ((torch.cat(codes) - self.shift) * self.scale).to(pictures.dtype)

    def _code(self, picture: Tensor) -> Tensor:
        encoded = self.coder.encode(picture)
        found: Tensor
        found = encoded.latents if isinstance(self.coder, VQModel) else encoded.latent_dist.mode()
        return found

    def decode(self, x: Tensor) -> Tensor:
        """x -> pictures (b, 3, height, width), differentiable."""
        code = self._ready(x / self.scale + self.shift)
        pictures: Tensor = self.coder.decode(code).sample
        return pictures.to(x.dtype)

    def _ready(self, values: Tensor) -> Tensor:
        """In the autoencoder's precision and place; an offloaded one comes to the values."""
        weight = next(self.coder.parameters())
        if weight.is_meta or hasattr(self.coder, "_hf_hook"):
            return values.to(weight.dtype)
        return values.to(weight)


def scale_of(coder: VQModel | AutoencoderKL) -> float:
    """What its config says; where that says nothing, 1 for a VQModel and 0.18215 for a KL model.

    diffusers fills in 0.18215 for both. That is Stable Diffusion's; the VQ models of latent
    diffusion (CelebA-HQ, FFHQ, LSUN) were trained with 1, and their configs used not to say so.
    """
    silent = "scaling_factor" in coder.config.get("_use_default_values", ())
    return 1.0 if silent and isinstance(coder, VQModel) else float(coder.config["scaling_factor"])
