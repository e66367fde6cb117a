"""Picture files, their pixels counted before any memory is taken for them."""

from contextlib import nullcontext
from pathlib import Path
from typing import IO

from PIL import Image, features

from asyrp.errors import AsyrpError
from asyrp.storage.untrusted.bounds import MOST_PIXELS, MOST_SCANS

HAS_AVIF = "avif" in features.modules and features.check("avif") is True  # Pillow 11.3
_MAYBE = ("AVIF",) if HAS_AVIF else ()
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", *_MAYBE)  # some others run programs
CHUNK = 1 << 20
SCAN = b"\xff\xda"  # where a scan of a JPEG begins; within one a zero follows every 0xff


def open_picture(source: Path | IO[bytes], most: int = MOST_PIXELS) -> Image.Image:
    """A picture as Pillow opens it, undecoded; close it, or use it in a `with`.

    Raises:
        AsyrpError: more pixels than `most`, or a JPEG that would be decoded without end.
        Exception: of any kind, for a damaged file.
    """
    if isinstance(source, Path) and source.exists() and not source.is_file():
        raise AsyrpError(f"{str(source)!r} is no ordinary file; needed a picture")
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
        head = file.read(32)
        _check_pixels(source, webp_size(head), most)
        if head.startswith(b"\xff\xd8"):
            _check_scans(source, file)
        file.seek(0)
    opened = Image.open(source, formats=FORMATS)
    try:
        _check_pixels(source, opened.size, most)
    except AsyrpError:
        opened.close()
        raise
    return opened


def webp_size(head: bytes) -> tuple[int, int]:
    """(width, height) of a WebP by its first 32 bytes, (0, 0) for other files.

    Pillow hands a WebP to its decoder when it is opened, and that takes memory for the whole
    canvas, several times over. The three layouts are those of Google's container specification.
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return 0, 0
    if head[12:16] == b"VP8X":
        return 1 + _number(head[24:27]), 1 + _number(head[27:30])
    if head[12:16] == b"VP8L":
        both = _number(head[21:25])
        return 1 + (both & 0x3FFF), 1 + (both >> 14 & 0x3FFF)
    return _number(head[26:28]) & 0x3FFF, _number(head[28:30]) & 0x3FFF


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _check_pixels(source: Path | IO[bytes], size: tuple[int, int], most: int) -> None:
    width, height = size
    if width * height > most:
        raise AsyrpError(
            f"an image may have at most {most:,} pixels; {str(source)!r} has {width * height:,}"
        )


def _check_scans(source: Path | IO[bytes], file: IO[bytes]) -> None:
    """Refuse a progressive JPEG of a thousand empty scans: each of them goes over all pixels."""
    file.seek(0)
    scans, last = 0, b""
    while scans <= MOST_SCANS and (block := file.read(CHUNK)):
        scans += (last + block).count(SCAN)
        last = block[-1:]
    if scans > MOST_SCANS:
        raise AsyrpError(
            f"{str(source)!r} would be decoded {scans:,} times over; save it anew, or remove it"
        )
