"""Pictures on the page: what people send is checked here, and PNG data goes back."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from asyrp.domains.avatars.avatars import SIZE, draw, sample_face
from asyrp.domains.avatars.diffusion import to_unit
from asyrp.errors import AsyrpError, MissingExtra
from asyrp.storage.images import read_image, to_uint8
from asyrp.storage.untrusted.pictures import FORMATS, open_picture

LONGEST_NAME = 60


@dataclass(frozen=True)
class Limits:
    """The largest upload: bytes of the file, and pixels of the picture."""

    size: int = 10_000_000
    pixels: int = 16_000_000


@dataclass(frozen=True)
class Picture:
    """A picture to edit.

    image: (3, height, width) in [-1, 1]. origin: where it comes from, for run.json. latent: x_T,
    (1, 3, height, width), where it is known without inversion. number: of its noise generator.
    """

    name: str
    image: Tensor
    origin: Mapping[str, Any] = field(default_factory=dict)
    latent: Tensor | None = None
    number: int = 0


def read_upload(path: str, folder: Path, size: tuple[int, int], limits: Limits) -> Picture:
    """A file that somebody sent.

    Args:
        path: as the page names it; anything outside `folder` is refused.
        size: (height, width) of the network's images.

    Raises:
        AsyrpError: no upload, too large, or no picture. It names the file, not its path.
    """
    file = Path(path).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise AsyrpError("needed a picture that was uploaded here; got something else; upload it")
    try:
        _check(file, limits)
        image = read_image(file, size)
    except AsyrpError as error:
        raise AsyrpError(str(error).replace(str(file), file.name)) from None
    return Picture(short(file.name), image, {"kind": "upload", "name": file.name})


def _check(file: Path, limits: Limits) -> None:
    size = file.stat().st_size
    if size > limits.size:
        raise AsyrpError(
            f"an upload may have at most {limits.size / 1e6:g} MB; "
            f"{file.name!r} has {size / 1e6:.1f}; make it smaller"
        )
    try:
        open_picture(file, limits.pixels).close()
    except AsyrpError:
        raise
    except Exception as error:  # a damaged file fails in any way
        raise AsyrpError(
            f"needed a picture ({', '.join(FORMATS)}); {file.name!r} is none that can be read"
        ) from error


def short(name: str) -> str:
    """A name for a caption."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def world_faces(count: int, size: tuple[int, int]) -> list[Picture]:
    """Faces of the built-in world that no network was trained on; none without its extra."""
    if size != (SIZE, SIZE):
        return []
    try:
        images = [to_unit(draw(sample_face("test", index))[None])[0] for index in range(count)]
    except MissingExtra:
        return []
    return [
        Picture(f"Face {index + 1}", image, {"kind": "world", "split": "test", "index": index})
        for index, image in enumerate(images)
    ]


def random_faces(images: Tensor, latents: Tensor, seed: int) -> list[Picture]:
    """Samples of the network, whose x_T is known."""
    return [
        Picture(
            f"Random face {index + 1} of seed {seed}",
            image,
            {"kind": "random", "seed": seed, "index": index},
            latents[index : index + 1],
            index,
        )
        for index, image in enumerate(images)
    ]


def png(image: Tensor, notes: Mapping[str, str] | None = None) -> bytes:
    """(3, height, width) as a PNG; `notes` are its text chunks."""
    info = PngInfo()
    for key, value in (notes or {}).items():
        info.add_itxt(key, value)
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(image[None])[0]).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Content as an address that needs no server."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def row(images: Tensor, pad: int = 2) -> Tensor:
    """(n, 3, height, width) side by side on white, (3, height, width')."""
    padded = torch.nn.functional.pad(images, (pad, pad, pad, pad), value=1.0)
    return torch.cat(list(padded), dim=2)
