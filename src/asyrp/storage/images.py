"""Pictures in files <-> tensors (b, 3, height, width) in [-1, 1]; uint8 ends here."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, features
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.storage.files import atomic_path
from asyrp.storage.finite import check_result

_AVIF = "avif" in features.modules and features.check("avif") is True  # Pillow 11.3 and later
_JPEG = (".jpg", ".jpeg", ".jfif", ".jpe")
_MAYBE = ("AVIF",) if _AVIF else ()
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", *_MAYBE)  # some others run programs
SUFFIXES = (".png", *_JPEG, ".webp", ".bmp", ".gif", ".tif", ".tiff", *([".avif"] * _AVIF))
RECORDS = (".json", ".csv", ".safetensors")  # what commands write beside pictures
SHEET = "sheet"  # the folder of overviews, in which no reader looks
LONGEST_STEM = 220  # bytes of a name without suffix; outputs add theirs, and a disk allows 255
KEYS = {"L;2": 85, "L;4": 17}  # what Pillow multiplies shallow greys with, but not their hidden one
BAND = 256  # rows
SMALLEST = 8  # pixels; anything smaller is no picture
LARGEST = 64_000_000  # pixels; anything larger is refused before it is decoded
MARK = "edited with asyrp"  # what edited pictures say of their software


class Picture(NamedTuple):
    """A file's picture: its path and (3, height, width) in [-1, 1]."""

    path: Path
    image: Tensor


def find_images(folder: Path) -> list[Path]:
    """The picture files directly in a folder, sorted by name; a warning names what else it holds.

    Raises:
        AsyrpError: no such folder, no picture in it, two pictures of one stem, or a name that is
            too long for outputs.
    """
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise AsyrpError(f"needed a folder of images; {str(folder)!r} does not exist")
    paths = sorted(p for p in folder.iterdir() if _is_picture(p))
    rest = passed_over(folder)
    if not paths:
        raise AsyrpError(
            f"needed at least one image ({', '.join(SUFFIXES)}) in {str(folder)!r}; it has none"
            + (f", but {told_of(rest)}" if rest else "")
        )
    if rest:
        warnings.warn(f"passed over in {str(folder)!r}: {told_of(rest)}", stacklevel=2)
    _check_names(paths)
    return paths


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file()


def passed_over(folder: Path) -> list[Path]:
    """What a folder holds besides pictures, its folders included, by name.

    Left out are records of commands and what a file manager hides, but for hidden pictures.
    """
    rest = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in rest if not _is_picture(path) and _counts(path)]


def _counts(path: Path) -> bool:
    suffix = path.suffix.lower()
    if path.name[0] == ".":
        return suffix in SUFFIXES
    return suffix not in RECORDS and path.name != SHEET


def told_of(rest: Sequence[Path]) -> str:
    """How many files and folders were passed over, the first ones by name, and what to do."""
    kinds = {
        "file": ([p for p in rest if not p.is_dir()], "no kind that is read here, convert to PNG"),
        "folder": ([p for p in rest if p.is_dir()], "name it itself to read what it holds"),
    }
    return "; ".join(
        f"{len(paths)} {kind}{'s' * (len(paths) > 1)} ({', '.join(repr(p.name) for p in paths[:4])}"
        f"{', ...' * (len(paths) > 4)}): {why}"
        for kind, (paths, why) in kinds.items()
        if paths
    )


def _check_names(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        if len(os.fsencode(path.stem)) > LONGEST_STEM:
            raise AsyrpError(
                f"outputs are named after inputs, so a name may have {LONGEST_STEM} bytes without "
                f"its suffix; rename {path.name[:40]!r}..., which has more"
            )
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
    return fit(_read(path), size)


def fit(rgb: Image.Image, size: tuple[int, int]) -> Tensor:
    """An RGB picture, centre-cropped to the shape of `size` and resized to it: see `read_image`."""
    height, width = size
    fitted = rgb if rgb.size == (width, height) else ImageOps.fit(rgb, (width, height), 3)
    return from_uint8(np.asarray(fitted)[None])[0]


def _read(path: Path) -> Image.Image:
    with _opened(path) as picture:
        return upright(picture)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture whose header was read; whatever is wrong with it becomes one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of large or slightly damaged files
            with Image.open(path, formats=FORMATS) as opened:
                _check_pixels(path, opened.size)
                yield opened
    except AsyrpError:
        raise
    except Image.DecompressionBombError as error:
        raise AsyrpError(
            f"an image may have at most {LARGEST:,} pixels; {str(path)!r} has far more"
        ) from error
    except Exception as error:  # a damaged file fails in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        suffix = path.suffix.lower() if isinstance(path, Path) else ""
        do = (
            "remove it" if suffix in ("", *SUFFIXES) else f"{suffix} is not read; convert it to PNG"
        )
        raise AsyrpError(f"{str(path)!r} is not a readable image ({reason}); {do}") from error


def upright(picture: Image.Image) -> Image.Image:
    """A picture as it is seen: EXIF rotation applied, on white, RGB; the one given may be loaded.

    Raises:
        ValueError: its pixels are floating-point numbers.
    """
    key, deep = picture.info.get("transparency"), _raw_mode(picture)
    if isinstance(key, int):
        key *= KEYS.get(deep, 1)
    elif isinstance(key, tuple) and deep.startswith("RGB;16"):
        key = tuple(value >> 8 for value in key)
    picture.load()
    turned = picture.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return _on_white(ImageOps.exif_transpose(picture) if turned else picture, key)


def upright_shape(path: Path) -> tuple[int, int]:
    """(height, width) of a picture after EXIF rotation, from its header alone.

    Raises:
        AsyrpError: see `read_image`.
    """
    with _opened(path) as picture:
        width, height = picture.size
        turned = picture.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        if picture.format == "TIFF":  # of which newer Pillows tell the size after rotation
            tags: Any = picture
            names = (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength)
            width, height = (int(tags.tag_v2[name]) for name in names)
    return (width, height) if turned else (height, width)


def _raw_mode(picture: Image.Image) -> str:
    """How the pixels lie in the file, as in "RGB;16B"; "" once they were read."""
    tiles = getattr(picture, "tile", None)
    return str(tiles[0][3]) if tiles and isinstance(tiles[0][3], str) else ""


def _on_white(picture: Image.Image, key: Any) -> Image.Image:
    """RGB, transparency laid on white; in bands, since the largest pictures would fill 1 GB.

    key: the colour that is transparent, as Pillow has it; None for none.
    """
    width, height = picture.size
    rgb = Image.new("RGB", picture.size)
    for top in range(0, height, BAND):
        band = picture.crop((0, top, width, min(top + BAND, height)))
        if key is not None:
            band.info["transparency"] = key
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
    values, key = np.asarray(picture), picture.info.get("transparency")
    grey = Image.fromarray((values / 257.0).round().clip(0, 255).astype(np.uint8))
    if key is None:
        return grey
    return Image.merge("LA", (grey, Image.fromarray((values != key).astype(np.uint8) * 255)))


def _check_pixels(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if min(width, height) < SMALLEST:
        raise AsyrpError(
            f"an image must be at least {SMALLEST} pixels wide and high; {str(path)!r} is "
            f"{width} x {height}; remove it or use a larger one"
        )
    if width * height > LARGEST:
        raise AsyrpError(
            f"an image may have at most {LARGEST:,} pixels; {str(path)!r} has {width * height:,}"
        )


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
    scaled = (
        check_result(images.detach(), "a picture").float().add(1).mul(127.5).round().clamp(0, 255)
    )
    return scaled.byte().permute(0, 2, 3, 1).cpu().numpy()


def write_png(path: Path, image: Tensor, notes: dict[str, str] | None = None) -> None:
    """One image (3 or 1, height, width) as a PNG of colours or greys, whole or not at all.

    Args:
        notes: its text chunks.

    Raises:
        AsyrpError: other channels, or a pixel that is no finite number.
    """
    from PIL.PngImagePlugin import PngInfo

    pixels = to_uint8(image[None])[0]
    if pixels.shape[-1] not in (1, 3):
        raise AsyrpError(f"a PNG needs 1 or 3 channels; this image has {pixels.shape[-1]}")
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    info = PngInfo()
    for key, value in (notes or {}).items():
        info.add_text(key, value)
    with atomic_path(path) as temporary:
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
            temporary, "PNG", pnginfo=info
        )


def contact_sheet(rows: Sequence[Tensor], pad: int = 2) -> Tensor:
    """Rows of images, each (n, 3, height, width), as one image (3, H, W) on white."""
    padded = [torch.nn.functional.pad(row, (pad, pad, pad, pad), value=1.0) for row in rows]
    return torch.cat([torch.cat(list(row), dim=2) for row in padded], dim=1)
