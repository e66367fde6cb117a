"""Pictures in files <-> tensors (b, 3, height, width) in [-1, 1]; uint8 ends here."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.storage.files import atomic_path
from asyrp.storage.untrusted.bounds import MOST_PIXELS as LARGEST
from asyrp.storage.untrusted.pictures import open_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
BAND = 256  # rows
SMALLEST = 8  # pixels; anything smaller is no picture
MARK = "edited with asyrp"  # what edited pictures say of their software


class Picture(NamedTuple):
    """A file's picture: its path and (3, height, width) in [-1, 1]."""

    path: Path
    image: Tensor


def find_images(folder: Path) -> list[Path]:
    """The picture files directly in a folder, sorted by name.

    Raises:
        AsyrpError: no such folder, no picture in it, or two pictures of one stem.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise AsyrpError(f"needed a folder of images; {str(folder)!r} does not exist")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise AsyrpError(
            f"needed at least one image ({', '.join(SUFFIXES)}) in {str(folder)!r}; it has none"
        )
    _check_stems(paths)
    return paths


def _check_stems(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        if path.stem in seen:
            raise AsyrpError(
                f"outputs are named after inputs, and {seen[path.stem].name!r} and {path.name!r} "
                "would share a name; rename one of them"
            )
        seen[path.stem] = path


def read_image(path: Path, size: tuple[int, int]) -> Tensor:
    """One picture, upright, centre-cropped to the shape of `size` and resized to it.

    Transparency is laid on white, grey becomes RGB, 16 bits become 8, EXIF rotation is applied.

    Args:
        size: (height, width) of the network's images.

    Returns:
        (3, height, width) in [-1, 1].

    Raises:
        AsyrpError: not a picture, broken, smaller than 8 or larger than 64 million pixels.
    """
    rgb = _upright(path)
    height, width = size
    fitted = rgb if rgb.size == (width, height) else ImageOps.fit(rgb, (width, height), 3)
    return from_uint8(np.asarray(fitted)[None])[0]


def _upright(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of large or slightly damaged files
            with open_picture(path) as opened:
                _check_smallest(path, opened.size)
                opened.load()
                ImageOps.exif_transpose(opened, in_place=True)
                return _on_white(opened)
    except AsyrpError:
        raise
    except Image.DecompressionBombError as error:
        raise AsyrpError(
            f"an image may have at most {LARGEST:,} pixels; {str(path)!r} has far more"
        ) from error
    except Exception as error:  # a damaged file fails in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise AsyrpError(f"{str(path)!r} is not a readable image ({reason}); remove it") from error


def _on_white(picture: Image.Image) -> Image.Image:
    """RGB, transparency laid on white; in bands, since the largest pictures would fill 1 GB."""
    width, height = picture.size
    rgb = Image.new("RGB", picture.size)
    for top in range(0, height, BAND):
        band = picture.crop((0, top, width, min(top + BAND, height)))
        rgba = _eight_bits(band).convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        rgb.paste(Image.alpha_composite(white, rgba).convert("RGB"), (0, top))
    return rgb


def _eight_bits(picture: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey, which Pillow would clip instead of scaling."""
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if not picture.mode.startswith("I"):
        return picture
    scaled = np.asarray(picture).astype(np.float64) / 257
    return Image.fromarray(scaled.round().clip(0, 255).astype(np.uint8))


def _check_smallest(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if min(width, height) < SMALLEST:
        raise AsyrpError(
            f"an image must be at least {SMALLEST} pixels wide and high; {str(path)!r} is "
            f"{width} x {height}; remove it or use a larger one"
        )


def read_folder(folder: Path, size: tuple[int, int], most: int | None = None) -> list[Picture]:
    """The pictures of a folder (or one file), in the order of their names."""
    return [Picture(path, read_image(path, size)) for path in find_images(folder)[:most]]


def from_uint8(pictures: np.ndarray) -> Tensor:
    """(b, height, width, 3) uint8 -> (b, 3, height, width) float32 in [-1, 1]."""
    array = torch.from_numpy(np.array(pictures))
    return array.permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()


def to_uint8(images: Tensor) -> np.ndarray:
    """(b, 3, height, width) -> (b, height, width, 3) uint8; values outside [-1, 1] are clipped."""
    scaled = images.detach().float().add(1).mul(127.5).round().clamp(0, 255)
    return scaled.byte().permute(0, 2, 3, 1).cpu().numpy()


def write_png(path: Path, image: Tensor, notes: dict[str, str] | None = None) -> None:
    """One image (3, height, width) as a PNG, whole or not at all; `notes` are its text chunks."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in (notes or {}).items():
        info.add_text(key, value)
    with atomic_path(path) as temporary:
        Image.fromarray(to_uint8(image[None])[0]).save(temporary, "PNG", pnginfo=info)


def contact_sheet(rows: Sequence[Tensor], pad: int = 2) -> Tensor:
    """Rows of images, each (n, 3, height, width), as one image (3, H, W) on white."""
    padded = [torch.nn.functional.pad(row, (pad, pad, pad, pad), value=1.0) for row in rows]
    return torch.cat([torch.cat(list(row), dim=2) for row in padded], dim=1)
