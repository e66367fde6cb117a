"""Latent files: x_T of named images, in safetensors with the network's fingerprint."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from torch import Tensor

from asyrp.errors import AsyrpError, first_line
from asyrp.method.inversion.choose import Name, inversion_of
from asyrp.storage.files import Kind, load_tensors, parse_json, save_tensors
from asyrp.storage.finite import PRECISIONS

KIND = Kind("latent", "asyrp-latents", 1, "asyrp invert")


@dataclass(frozen=True)
class Latents:
    """x_T of images.

    x: (n, c, height, width), or of an exact inversion (n, k c, height, width). names: of the
    images. steps: length of the grid they were inverted on. fingerprint: of the network. errors:
    mean squared reconstruction error of each. inversion: what found them and leads them back.
    """

    x: Tensor
    names: tuple[str, ...]
    steps: int
    fingerprint: str
    errors: tuple[float, ...]
    inversion: Name = "ddim"

    def __post_init__(self) -> None:
        if self.x.ndim != 4 or not len(self.x) == len(self.names) == len(self.errors) > 0:
            raise AsyrpError(
                "latents need a name and an error for each of (n, c, height, width); got "
                f"{tuple(self.x.shape)}, {len(self.names)} names and {len(self.errors)} errors"
            )
        if not all(isinstance(name, str) for name in self.names):
            raise AsyrpError("the names of latents must be texts")
        if not all(isinstance(error, float | int) for error in self.errors):
            raise AsyrpError("the errors of latents must be numbers")
        inversion_of(self.inversion)
        if self.x.dtype not in PRECISIONS or not self.x.isfinite().all():
            raise AsyrpError("latents must be finite; got values that are not")


def save_latents(path: Path, latents: Latents) -> None:
    """Write latents, whole or not at all."""
    header = {
        "format": KIND.format,
        "version": str(KIND.version),
        "names": json.dumps(latents.names),
        "steps": str(latents.steps),
        "fingerprint": latents.fingerprint,
        "errors": json.dumps(latents.errors),
        "inversion": latents.inversion,
    }
    save_tensors(path, {"x": latents.x}, header)


def load_latents(path: Path) -> Latents:
    """Read latents.

    Raises:
        AsyrpError: not a latent file, or damaged.
    """
    header, tensors = load_tensors(path, KIND)
    try:
        return Latents(
            tensors["x"],
            tuple(parse_json(header["names"])),
            int(header["steps"]),
            header["fingerprint"],
            tuple(parse_json(header["errors"])),
            cast(Name, header.get("inversion", "ddim")),  # of older files
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AsyrpError(
            f"{str(path)!r} is damaged: {first_line(error)}; invert the images again"
        ) from error
