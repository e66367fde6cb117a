"""Picture files: damaged, lying about their size, or with more in them than a picture."""

import io
import random
import struct
import zlib

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from faults.damage import EDGES, damaged

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK")
SIZES = ((0, 0), (1, 1), (7, 9), (65_535, 65_535), (8000, 8000), (2**31 - 1, 1), (2**31, 2**31))


def changed(kind: str, rng: random.Random) -> bytes:
    """A file of a format, of any mode, with some damage."""
    way = rng.random()
    if way < 0.02:
        return rng.choice(_foreign())
    if kind == "PNG" and way < 0.4:
        return _other_chunks(rng)
    return damaged(picture(kind, rng), rng)


def picture(kind: str, rng: random.Random) -> bytes:
    """A whole file."""
    mode = rng.choice(MODES)
    size = (rng.randrange(1, 60), rng.randrange(1, 60))
    values = np.frombuffer(rng.randbytes(size[0] * size[1] * 3), np.uint8).reshape(*size, 3)
    image = Image.fromarray(values).convert(mode) if mode != "I;16" else _grey16(values)
    out = io.BytesIO()
    try:
        image.save(out, kind, **_extras(kind, image, rng))
    except Exception:  # not every mode and extra goes with every format
        out = io.BytesIO()
        image.convert("RGB").save(out, kind)
    return out.getvalue()


def _grey16(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values[..., 0].astype(np.uint16) * 257)


def _extras(kind: str, image: Image.Image, rng: random.Random) -> dict[str, object]:
    exif = Image.Exif()
    exif[0x0112] = rng.choice((1, 3, 6, 8, 9, 60_000))
    exif[0x010E] = "x" * rng.choice((0, 5000))
    more: dict[str, object] = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}
    if kind in ("GIF", "WEBP", "TIFF", "PNG") and rng.random() < 0.2:
        more |= {"save_all": True, "append_images": [image, image]}
    if kind == "TIFF":
        more["compression"] = rng.choice((None, "tiff_lzw", "tiff_adobe_deflate"))
    if kind == "JPEG":
        more |= {"progressive": rng.random() < 0.5, "icc_profile": rng.randbytes(200)}
    return more


def chunk(name: bytes, data: bytes) -> bytes:
    """A PNG chunk with its right checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width: int, height: int, data: bytes, bits: int = 8, color: int = 2) -> bytes:
    """A PNG that claims a size, with any packed pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    whole = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + whole


def _other_chunks(rng: random.Random) -> bytes:
    """Chunks whose checksums are right and whose contents are not."""
    way = rng.random()
    if way < 0.4:
        width, height = rng.choice(SIZES)
        bits, color = rng.choice((1, 8, 16)), rng.choice((0, 2, 3, 4, 6))
        return png_of(width % 2**32, height % 2**32, zlib.compress(bytes(10**6)), bits, color)
    notes, out = PngInfo(), io.BytesIO()
    if way < 0.6:
        notes.add_text("Edit", "x" * rng.choice((10, 5_000_000)), zip=True)
    elif way < 0.8:
        notes.add(
            rng.choice((b"iCCP", b"eXIf", b"tRNS", b"PLTE", b"iTXt", b"zTXt")), rng.randbytes(50)
        )
    Image.new(rng.choice(("RGB", "P", "L")), (20, 20)).save(out, "PNG", pnginfo=notes)
    data = bytearray(out.getvalue())
    if way > 0.8:  # a chunk's length, with nothing else changed
        data[33:37] = (rng.choice(EDGES) % 2**32).to_bytes(4, "big")
    return bytes(data)


def _foreign() -> list[bytes]:
    """Other formats that Pillow knows, one of which it would hand to a program."""
    script = (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n(x) print\nshowpage\n"
    )
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, "ICO")
    return [
        script,
        svg,
        out.getvalue(),
        b"P6 99999 99999 255\n",
        b"P5 " + b"9" * 5000,
        b"qoif" + bytes(20),
    ]


LARGEST = (  # width, height, bits, kind of colour
    (8000, 8000, 8, 2), (8000, 8000, 8, 6), (8000, 8000, 16, 0), (8000, 8000, 1, 0),
    (8000, 8000, 16, 6), (12_000, 12_000, 8, 2),
)  # fmt: skip


def large(width: int, height: int, bits: int, color: int) -> bytes:
    """A whole picture of a few thousand bytes that unpacks to as much as is allowed, or more."""
    values = {0: 1, 2: 3, 6: 4}[color]
    row = 1 + (width * values * bits + 7) // 8
    packer = zlib.compressobj(9)
    data = b"".join([packer.compress(bytes(row)) for _ in range(height)]) + packer.flush()
    return png_of(width, height, data, bits, color)
