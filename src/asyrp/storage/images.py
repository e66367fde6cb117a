"""Pictures in files <-> tensors (b, 3, height, width) in [-1, 1]; uint8 ends here."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from asyrp.errors import AsyrpError, first_line
from asyrp.storage.files import atomic_path
from asyrp.storage.finite import check_result
from asyrp.storage.image_folders import SUFFIXES, find_images
from asyrp.storage.untrusted.bounds import MOST_PIXELS as LARGEST
from asyrp.storage.untrusted.pictures import open_picture
from asyrp.storage.untrusted.profiles import to_srgb

KEYS = {"L;2": 85, "L;4": 17}  # what Pillow multiplies shallow greys with, but not their hidden one

BAND = 256  # rows
SMALLEST = 8  # pixels; anything smaller is no picture
MARK = "edited with asyrp"  # what edited pictures say of their software


class Picture(NamedTuple):
    """A file's picture: its path and (3, height, width) in [-1, 1]."""

    path: Path
    image: Tensor


def read_image(path: Path, size: tuple[int, int]) -> Tensor:
    """One picture, upright, centre-cropped to the shape of `size` and resized to it.

    Transparency is laid on white, grey becomes RGB, 16 bits become 8, EXIF rotation is applied,
    colours are those of the picture's ICC profile.

    Args:
        size: (height, width) of the network's images.

    Returns:
        (3, height, width) in [-1, 1].

    Raises:
        AsyrpError: not a picture, broken, smaller than 8 or larger than 64 million pixels.
    """
    return fit(read_upright(path), size)


def fit(rgb: Image.Image, size: tuple[int, int]) -> Tensor:
    """An RGB picture, centre-cropped to the shape of `size` and resized to it: see `read_image`."""
    height, width = size
    fitted = rgb if rgb.size == (width, height) else ImageOps.fit(rgb, (width, height), 3)
    return from_uint8(np.asarray(fitted)[None])[0]


def read_upright(path: Path) -> Image.Image:
    """One picture as RGB in its own size, read as `read_image` says; of several the first."""
    with _opened(path) as picture:
        several = getattr(picture, "is_animated", False) and picture.format != "MPO"  # a preview
        rgb = upright(picture)
    if several:
        warnings.warn(f"{str(path)!r} holds several pictures; the first is read", stacklevel=2)
    return rgb


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture whose header was read; whatever is wrong with it becomes one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of large or slightly damaged files
            with open_picture(path) as opened:
                width, height = opened.size
                if min(width, height) < SMALLEST:
                    raise AsyrpError(
                        f"an image must be at least {SMALLEST} pixels wide and high; {str(path)!r} "
                        f"is {width} x {height}; remove it or use a larger one"
                    )
                yield opened
    except AsyrpError:
        raise
    except Image.DecompressionBombError as error:
        raise AsyrpError(
            f"an image may have at most {LARGEST:,} pixels; {str(path)!r} has far more"
        ) from error
    except Exception as error:  # a damaged file fails in any way
        suffix = path.suffix.lower() if isinstance(path, Path) else ""
        known = suffix in ("", *SUFFIXES)
        do = "remove it" if known else f"{suffix} is not read; convert it to PNG"
        raise AsyrpError(
            f"{str(path)!r} is not a readable image ({first_line(error)}); {do}"
        ) from error


def upright(picture: Image.Image) -> Image.Image:
    """A picture as it is seen: EXIF rotation applied, on white, sRGB; the one given may be loaded.

    Raises:
        ValueError: its pixels are floating-point numbers.
    """
    key, tiles = picture.info.get("transparency"), getattr(picture, "tile", None)
    # how the pixels lie in the file, as in "RGB;16B"; "" once they were read
    deep = str(tiles[0][3]) if tiles and isinstance(tiles[0][3], str) else ""
    if isinstance(key, int):
        key *= KEYS.get(deep, 1)
    elif isinstance(key, tuple) and deep.startswith("RGB;16"):
        key = tuple(value >> 8 for value in key)
    picture.load()
    turned = picture.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return _on_white(ImageOps.exif_transpose(picture) if turned else picture, key)


def upright_shape(path: Path) -> tuple[int, int]:
    """(height, width) of a picture after EXIF rotation, from its header alone."""
    with _opened(path) as picture:
        width, height = picture.size
        turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9)
        if picture.format == "TIFF":  # of which newer Pillows tell the size after rotation
            tags: Any = picture
            names = (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength)
            width, height = (int(tags.tag_v2[name]) for name in names)
    return (width, height) if turned else (height, width)


def _on_white(picture: Image.Image, key: Any) -> Image.Image:
    """RGB, transparency laid on white; in bands, since the largest pictures would fill 1 GB.

    key: the colour that is transparent, as Pillow has it; None for none.
    """
    width, height = picture.size
    rgb, change = Image.new("RGB", picture.size), to_srgb(picture)
    for top in range(0, height, BAND):
        band = picture.crop((0, top, width, min(top + BAND, height)))
        if key is not None:
            band.info["transparency"] = key
        shallow = _eight_bits(band)
        rgba = shallow.convert("RGBA")
        if change is not None:
            rgba = Image.merge("RGBA", (*change(shallow).split(), rgba.getchannel("A")))
        white = Image.new("RGBA", rgba.size, "white")
        rgb.paste(Image.alpha_composite(white, rgba).convert("RGB"), (0, top))
    return rgb


def _eight_bits(picture: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey, which Pillow would clip instead of scaling."""
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if not picture.mode.startswith("I"):
        return picture
    values, key = np.asarray(picture), picture.info.get("transparency")
    if values.max() > 65535 or values.min() < 0:
        raise ValueError("its pixels are whole numbers beyond 16 bits, of unknown range")
    grey = Image.fromarray((values / 257.0).round().clip(0, 255).astype(np.uint8))
    if key is None:
        return grey
    return Image.merge("LA", (grey, Image.fromarray((values != key).astype(np.uint8) * 255)))


def read_folder(folder: Path, size: tuple[int, int], most: int | None = None) -> list[Picture]:
    """The pictures of a folder (or one file), in the order of their names."""
    return [Picture(path, read_image(path, size)) for path in find_images(folder)[:most]]


def from_uint8(pictures: np.ndarray) -> Tensor:
    """(b, height, width, 3) uint8 -> (b, 3, height, width) float32 in [-1, 1]."""
    array = torch.from_numpy(np.array(pictures))
    return array.permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()


def to_uint8(images: Tensor) -> np.ndarray:
    """(b, c, height, width) -> (b, height, width, c) uint8; values outside [-1, 1] are clipped.

    Raises:
        AsyrpError: a pixel is no finite number.
    """
    finite = check_result(images.detach(), "a picture").float()
    scaled = finite.add(1).mul(127.5).round().clamp(0, 255)
    return scaled.byte().permute(0, 2, 3, 1).cpu().numpy()


def write_png(path: Path, image: Tensor, notes: dict[str, str] | None = None) -> None:
    """One image (3 or 1, height, width) as a PNG of colours or greys, whole or not at all.

    Args:
        notes: its text chunks.

    Raises:
        AsyrpError: other channels, or a pixel that is no finite number.
    """
    pixels = to_uint8(image[None])[0]
    if pixels.shape[-1] not in (1, 3):
        raise AsyrpError(f"a PNG needs 1 or 3 channels; this image has {pixels.shape[-1]}")
    grey = pixels.shape[-1] == 1
    save_png(path, Image.fromarray(pixels[..., 0] if grey else pixels), notes)


def save_png(path: Path, picture: Image.Image, notes: dict[str, str] | None = None) -> None:
    """The same for a picture of Pillow."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in (notes or {}).items():
        info.add_text(key, value)
    with atomic_path(path) as temporary:
        picture.save(temporary, "PNG", pnginfo=info)


def notes_of(path: Path) -> dict[str, str]:
    """The text chunks of a PNG; none for other files."""
    with open_picture(path) as opened:
        opened.load()
        return {key: str(value) for key, value in getattr(opened, "text", {}).items()}


def contact_sheet(rows: Sequence[Tensor], pad: int = 2) -> Tensor:
    """Rows of images, each (n, 3, height, width), as one image (3, H, W) on white."""
    padded = [torch.nn.functional.pad(row, (pad, pad, pad, pad), value=1.0) for row in rows]
    return torch.cat([torch.cat(list(row), dim=2) for row in padded], dim=1)
