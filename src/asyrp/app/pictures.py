"""Pictures on the page: what people send is checked here, and PNG data goes back."""

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from asyrp.domains.avatars.avatars import SIZE, draw, sample_face
from asyrp.errors import AsyrpError, MissingExtra
from asyrp.storage.face_alignment import Square, put_back
from asyrp.storage.images import fit, from_uint8, read_upright, to_uint8
from asyrp.storage.untrusted.pictures import FORMATS, open_picture

LONGEST_NAME = 60
LONGEST_SIDE = 1280  # pixels of a photograph that an edit is put back into


@dataclass(frozen=True)
class Limits:
    """The largest upload: bytes of the file, and pixels of the picture."""

    size: int = 20_000_000
    pixels: int = 64_000_000


class Photo(NamedTuple):
    """A photograph, the square of its face, that one cut out, and how many faces were found."""

    whole: Image.Image
    square: Square
    aligned: Image.Image
    faces: int


Aligner = Callable[[Image.Image, str], Photo]
"""(RGB, its name) -> its largest face; raises AsyrpError where none can be aligned."""


@dataclass(frozen=True)
class Picture:
    """A picture to edit.

    image: (3, height, width) in [-1, 1]. origin: where it comes from, for run.json. latent: x_T,
    (1, 3, height, width), where it is known without inversion. number: of its noise generator.
    photo: the photograph whose face it is.
    """

    name: str
    image: Tensor
    origin: Mapping[str, Any] = field(default_factory=dict)
    latent: Tensor | None = None
    number: int = 0
    photo: Photo | None = None

    def shown(self, edit: Tensor | None = None) -> str:
        """Itself as an address of data, or its edit, in the photograph whose face it is."""
        if self.photo is None:
            return data_uri(png(self.image if edit is None else edit))
        return data_uri(jpeg(self.in_photo(edit)), "image/jpeg")

    def in_photo(self, edit: Tensor | None = None) -> Image.Image:
        """Its photograph, with an edit put back."""
        assert self.photo is not None
        if edit is None:
            return self.photo.whole
        edited = Image.fromarray(to_uint8(edit[None])[0])
        return put_back(self.photo.whole, self.photo.square, self.photo.aligned, edited)


def uploaded(path: str, folder: Path) -> Path:
    """A file that somebody sent.

    Args:
        path: as the page names it; anything outside `folder` is refused.

    Raises:
        AsyrpError: no upload.
    """
    file = Path(path).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise AsyrpError("needed a picture that was uploaded here; got something else; upload it")
    return file


def read_upload(
    path: str, folder: Path, size: tuple[int, int], limits: Limits, align: Aligner | None = None
) -> tuple[Picture, str]:
    """A picture that somebody sent, and a line about its face; see `uploaded`.

    Args:
        size: (height, width) of the network's images.
        align: finds the face of a photograph; without one, or a face, the middle is taken.

    Raises:
        AsyrpError: no upload, too large, or no picture. It names the file, not its path.
    """
    file = uploaded(path, folder)
    try:
        _check(file, limits)
        rgb = read_upright(file)
    except AsyrpError as error:
        raise AsyrpError(str(error).replace(str(file), file.name)) from None
    origin = {"kind": "upload", "name": file.name}
    middle = Picture(short(file.name), fit(rgb, size), origin)
    if align is None or rgb.size == (size[1], size[0]):
        return middle, ""
    rgb.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    try:
        photo = align(rgb, short(file.name))
    except AsyrpError as error:
        return middle, f"The middle of the picture was taken: {error}."
    face = from_uint8(np.asarray(photo.aligned)[None])[0]
    told = "" if photo.faces == 1 else f"It shows {photo.faces} faces; the largest was taken."
    return Picture(middle.name, face, origin, photo=photo), told


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
        images = [from_uint8(draw(sample_face("test", index))[None])[0] for index in range(count)]
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


def jpeg(picture: Image.Image, note: str = "") -> bytes:
    """A photograph as a JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92, comment=note.encode())
    return buffer.getvalue()


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Content as an address that needs no server."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
