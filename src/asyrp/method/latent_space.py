"""Where a network's x lives: pixels, or the latent space of an autoencoder (latent diffusion)."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from diffusers import AutoencoderKL, VQModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from asyrp.errors import AsyrpError
from asyrp.runtime.precision import autocast
from asyrp.runtime.transfer import numbers

LEVELS = ("block_out_channels", "down_block_types", "up_block_types")
Shape = tuple[int, int, int]  # channels, height, width


class Space(Protocol):
    """The way between pictures and a network's x."""

    def picture_shape(self, x_shape: Shape) -> Shape:
        """(channels, height, width) of pictures whose x has that shape."""

    def encode(self, pictures: Tensor) -> Tensor:
        """(n, channels, height, width) in [-1, 1] -> x at t = CLEAN."""

    def decode(self, x: Tensor) -> Tensor:
        """Clean x, such as P_t -> pictures, differentiable."""


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
    """A frozen autoencoder: x = scale * (code - shift) / spread (Rombach et al. 2022).

    shift is the config's shift_factor or its latents_mean, spread its latents_std, else 0 and 1. A
    VQModel's code is taken before quantisation and quantised on the way back; an AutoencoderKL's
    is the mode of its posterior. So both ways are deterministic.

    Args:
        coder: as diffusers loads it; one in float16 whose config says force_upcast becomes float32.
    """

    def __init__(self, coder: VQModel | AutoencoderKL):
        super().__init__()
        if not isinstance(coder, VQModel | AutoencoderKL):
            raise AsyrpError(
                "needed a VQModel or an AutoencoderKL to decode latents with; "
                f"got a {type(coder).__name__}"
            )
        config = coder.config
        if config["in_channels"] != config["out_channels"]:
            raise AsyrpError(
                f"needed an autoencoder that makes pictures like those it takes; this one takes "
                f"{config['in_channels']} channels and makes {config['out_channels']}"
            )
        self.overflows = bool(config.get("force_upcast"))  # in float16
        if self.overflows and coder.dtype == torch.float16:
            coder.float()
        if len({len(config[n]) for n in LEVELS}) > 1:
            raise AsyrpError(f"needed an autoencoder with as many {' as '.join(LEVELS)}")
        self.coder: Any = coder.eval().requires_grad_(False)
        self.scale = scale_of(coder)
        self.shift = channels_of(config, "shift_factor", "latents_mean") or [0.0]
        self.spread = channels_of(config, "latents_std") or [1.0]

    def picture_shape(self, x_shape: Shape) -> Shape:
        """3 channels, and twice the size for every level of the autoencoder but one."""
        factor = 2 ** (len(self.coder.config["block_out_channels"]) - 1)
        return int(self.coder.config["out_channels"]), x_shape[1] * factor, x_shape[2] * factor

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """(n, 3, height, width) in [-1, 1] -> x, one picture at a time to save memory."""
        codes = [self._code(self._ready(picture[None])) for picture in pictures]
        code = torch.cat(codes)
        shift, spread = self._rows(code)
        return ((code - shift) / spread * self.scale).to(pictures.dtype)

    def _code(self, picture: Tensor) -> Tensor:
        with self._products(picture):
            encoded = self.coder.encode(picture)
        found: Tensor
        found = encoded.latents if isinstance(self.coder, VQModel) else encoded.latent_dist.mode()
        return found

    def decode(self, x: Tensor) -> Tensor:
        """x -> pictures (b, 3, height, width), differentiable.

        One picture at a time, whose activations are computed twice where a gradient needs them: all
        of a batch would take more memory than the network.
        """
        shift, spread = self._rows(x)
        codes = self._ready(x / self.scale * spread + shift)
        return torch.cat([self._picture(code) for code in codes.split(1)]).to(x.dtype)

    def _picture(self, code: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and code.requires_grad):
            return self._decoded(code)
        made: Tensor = checkpoint(
            self._decoded, code, use_reentrant=False, preserve_rng_state=False
        )
        return made

    def _decoded(self, code: Tensor) -> Tensor:
        with self._products(code):
            picture: Tensor = self.coder.decode(code).sample
        return picture

    def _products(self, values: Tensor) -> AbstractContextManager[object]:
        return autocast(values.device, next(self.coder.parameters()).dtype)

    def _rows(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """shift and spread, (1, channels or 1, 1, 1)."""
        one, other = (numbers(v, like).view(1, -1, 1, 1) for v in (self.shift, self.spread))
        return one, other

    def _ready(self, values: Tensor) -> Tensor:
        """In the autoencoder's precision and place; an offloaded one comes to the values."""
        quantiser = getattr(self.coder, "quantize", None)  # it compares codes, in its own precision
        weight = next((self.coder if quantiser is None else quantiser).parameters())
        if weight.is_meta or hasattr(self.coder, "_hf_hook"):
            return values.to(weight.dtype)
        return values.to(weight)


def channels_of(config: Mapping[str, Any], *names: str) -> list[float] | None:
    """The numbers of the one field that a config sets, one or one a channel; None for none.

    Raises:
        AsyrpError: several are set, or there are as many as no channel has.
    """
    found = [name for name in names if config.get(name) is not None]
    if not found:
        return None
    values = config[found[0]]
    numbers = list(values) if isinstance(values, list | tuple) else [values]
    real = all(isinstance(value, int | float) for value in numbers)
    if len(found) > 1 or not real or len(numbers) not in (1, config["latent_channels"]):
        raise AsyrpError(
            f"needed one of {', '.join(names)} of the autoencoder, a number or one for each of "
            f"its {config['latent_channels']} channels; got {', '.join(found)} = {values!r:.100}"
        )
    return [float(value) for value in numbers]


def scale_of(coder: VQModel | AutoencoderKL) -> float:
    """What its config says; where that says nothing, 1 for a VQModel and 0.18215 for a KL model.

    diffusers fills in 0.18215 for both. That is Stable Diffusion's; the VQ models of latent
    diffusion (CelebA-HQ, FFHQ, LSUN) were trained with 1, and their configs used not to say so.
    """
    silent = "scaling_factor" in coder.config.get("_use_default_values", ())
    return 1.0 if silent and isinstance(coder, VQModel) else float(coder.config["scaling_factor"])
