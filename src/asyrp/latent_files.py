"""Latent files: x_T of named images, in safetensors with the network's fingerprint."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.files import atomic_path

FORMAT = "asyrp-latents"


@dataclass(frozen=True)
class Latents:
    """x_T of images.

    x: (n, c, height, width). names: of the images. steps: length of the grid they were inverted
    on. fingerprint: of the network. errors: mean squared reconstruction error of each.
    """

    x: Tensor
    names: tuple[str, ...]
    steps: int
    fingerprint: str
    errors: tuple[float, ...]


def save_latents(path: Path, latents: Latents) -> None:
    """Write latents, whole or not at all."""
    header = {
        "format": FORMAT,
        "version": "1",
        "names": json.dumps(latents.names),
        "steps": str(latents.steps),
        "fingerprint": latents.fingerprint,
        "errors": json.dumps(latents.errors),
    }
    with atomic_path(path) as temporary:
        save_file({"x": latents.x.detach().cpu().contiguous()}, temporary, header)


def load_latents(path: Path) -> Latents:
    """Read latents.

    Raises:
        AsyrpError: not a latent file, or damaged.
    """
    if not path.is_file():
        raise AsyrpError(f"needed a latent file; {str(path)!r} does not exist")
    try:
        with safe_open(path, "pt") as file:
            header = dict(file.metadata() or {})
            if header.get("format") != FORMAT:
                raise AsyrpError(f"{str(path)!r} is no latent file; make one with: asyrp invert")
            return Latents(
                file.get_tensor("x"),
                tuple(json.loads(header["names"])),
                int(header["steps"]),
                header["fingerprint"],
                tuple(json.loads(header["errors"])),
            )
    except AsyrpError:
        raise
    except (SafetensorError, KeyError, ValueError) as error:
        raise AsyrpError(f"{str(path)!r} is damaged: {error}; invert the images again") from error
