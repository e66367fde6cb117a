"""Pictures in files <-> tensors."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.storage.images import (
    contact_sheet,
    find_images,
    from_uint8,
    read_folder,
    read_image,
    to_uint8,
    upright_shape,
    write_png,
)  # fmt: skip

SIZE = (16, 16)
FORMATS = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "TIFF": "tif", "WEBP": "webp", "BMP": "bmp"}


def pixels(height: int = 16, width: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read(path: Path, size: tuple[int, int] = SIZE) -> np.ndarray:
    """What `read_image` makes of a file, (height, width, 3) uint8."""
    image = read_image(path, size)
    assert image.dtype == torch.float32
    assert image.shape == (3, *size)
    assert float(image.abs().max()) <= 1
    return to_uint8(image[None])[0]


def png(width: int, height: int, depth: int, kind: int, data: bytes) -> bytes:
    """A PNG by hand; `kind` is its colour type."""

    def chunk(name: bytes, content: bytes) -> bytes:
        sum32 = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + sum32

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


# round trips


def test_every_byte_survives() -> None:
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    tensor = from_uint8(every)
    assert np.array_equal(to_uint8(tensor), every)
    assert (float(tensor.min()), float(tensor.max())) == (-1.0, 1.0)


def test_values_outside_the_range_are_clipped() -> None:
    image = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert to_uint8(image)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_a_png_holds_the_image_and_its_notes(tmp_path: Path) -> None:
    path, image = tmp_path / "a.png", from_uint8(pixels(8, 24)[None])[0]
    write_png(path, image, {"Edit": "face -> smiling face"})
    assert np.array_equal(read(path, (8, 24)), pixels(8, 24))
    with Image.open(path) as opened:
        assert opened.text == {"Edit": "face -> smiling face"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_formats_without_loss_are_read_exactly(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{FORMATS[kind]}"
    Image.fromarray(pixels()).save(path, kind, lossless=True)
    assert np.array_equal(read(path), pixels())


# odd pictures


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    """Every EXIF orientation of one corner, by the table of the EXIF standard."""
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8, :8] = (255, 0, 0)
    undo = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(np.ascontiguousarray(undo[orientation](upright))).save(path, exif=exif)
    assert np.array_equal(read(path), upright)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_is_none_turns_nothing(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(pixels()[:8]).save(path, exif=exif)
    assert np.array_equal(read(path, (8, 16)), pixels()[:8])
    assert upright_shape(path) == (8, 16)


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:, :, 0], rgba[:8, :, 3], rgba[0, 0, 3] = 200, 255, 51
    Image.fromarray(rgba).save(tmp_path / "a.png")
    found = read(tmp_path / "a.png")
    assert found[1, 1].tolist() == [200, 0, 0]
    assert found[9, 9].tolist() == [255, 255, 255]
    assert found[0, 0] == pytest.approx([244, 204, 204], abs=1)  # 51/255 of it over white


def test_a_palette_with_a_transparent_colour_is_laid_on_white(tmp_path: Path) -> None:
    picture = Image.new("P", (16, 16), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.putpixel((0, 0), 0)
    picture.save(tmp_path / "a.png", transparency=0)
    found = read(tmp_path / "a.png")
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[5, 5].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("mode", "value", "wanted"), [("L", 77, 77), ("1", 1, 255), ("LA", (77, 255), 77)]
)
def test_grey_becomes_rgb(tmp_path: Path, mode: str, value: int, wanted: int) -> None:
    Image.new(mode, (16, 16), value).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png") == wanted).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    grey = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / f"a.{suffix}")
    wanted = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(read(tmp_path / f"a.{suffix}"), wanted)


def test_sixteen_bit_colour_is_scaled(tmp_path: Path) -> None:
    row = b"\0" + bytes.fromhex("8080 4040 ffff") * 16
    (tmp_path / "a.png").write_bytes(png(16, 16, 16, 2, row * 16))
    assert read(tmp_path / "a.png")[3, 3].tolist() == [0x80, 0x40, 0xFF]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
def test_of_several_pictures_the_first_is_read_and_that_is_said(
    tmp_path: Path, suffix: str
) -> None:
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    path = tmp_path / f"moving.{suffix}"
    first.save(path, save_all=True, append_images=[second])
    with pytest.warns(UserWarning, match="holds several pictures; the first is read"):
        red, _, blue = read_image(path, (16, 16)).mean((1, 2))
    assert red > 0.9
    assert blue < -0.9
    first.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(path, (16, 16))


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((16, 16), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(AsyrpError, match="floating-point numbers of unknown range"):
        read_image(tmp_path / "a.tif", SIZE)


@pytest.mark.parametrize("value", [70_000, -1])
def test_whole_numbers_beyond_sixteen_bits_are_refused(tmp_path: Path, value: int) -> None:
    Image.fromarray(np.full((16, 16), value, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(AsyrpError, match="beyond 16 bits, of unknown range"):
        read_image(tmp_path / "a.tif", SIZE)


def test_cmyk_is_read(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg")[5, 5] == pytest.approx([0, 255, 255], abs=2)


def test_a_wide_picture_is_cut_at_the_sides_and_a_tall_one_above_and_below(tmp_path: Path) -> None:
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, 32:64] = (0, 255, 0)
    for name, array in (("wide", wide), ("tall", wide.swapaxes(0, 1))):
        Image.fromarray(np.ascontiguousarray(array)).save(tmp_path / f"{name}.png")
        inside = read(tmp_path / f"{name}.png")[2:-2, 2:-2]
        assert (inside == (0, 255, 0)).all()


def test_the_shape_is_height_then_width(tmp_path: Path) -> None:
    Image.fromarray(pixels(40, 40)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", (8, 24)).shape == (8, 24, 3)


# what is refused


@pytest.mark.parametrize("size", [(1, 1), (7, 40), (40, 7)])
def test_tiny_pictures_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    with pytest.raises(AsyrpError, match=f"at least 8 pixels .* is {size[0]} x {size[1]}; remove"):
        read_image(tmp_path / "a.png", SIZE)


@pytest.mark.parametrize("side", [8_001, 10_000, 20_000, 60_000])
def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path: Path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(png(side, side, 8, 2, b""))
    with pytest.raises(AsyrpError, match=r"at most 64,000,000 pixels; .*a.png' has"):
        read_image(tmp_path / "a.png", SIZE)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_file_is_read_or_refused_but_nothing_else(tmp_path: Path, kind: str) -> None:
    rng, buffer, path = np.random.default_rng(0), io.BytesIO(), tmp_path / "a"
    Image.fromarray(pixels()).save(buffer, kind)
    whole, refused = buffer.getvalue(), 0
    for trial in range(60):
        data = bytearray(whole)
        if trial % 2:
            data = data[: rng.integers(len(data))]
        else:
            data[rng.integers(min(len(data), 200))] = rng.integers(256)
        path.write_bytes(data)
        try:
            read(path)
        except AsyrpError:
            refused += 1
    assert refused > 15


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(AsyrpError, match=r"a.png' is not a readable image .*; remove it"):
        read_image(tmp_path / "a.png", SIZE)


# folders


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    names = ["b.png", "a.PNG", "c.jpg", "notes.txt", "10.png", "9.webp"]
    for index, name in enumerate(names):
        if not name.endswith("txt"):
            Image.fromarray(pixels(seed=index)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    wanted = ["10.png", "9.webp", "a.PNG", "b.png", "c.jpg"]
    with pytest.warns(UserWarning, match=r"1 file \('notes.txt'\).* 1 folder \('folder.png'\)"):
        assert [path.name for path in find_images(tmp_path)] == wanted
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "folder.png").rmdir()
    found = read_folder(tmp_path, SIZE, most=3)
    assert [one.path.name for one in found] == wanted[:3]
    assert np.array_equal(to_uint8(found[2].image[None])[0], pixels(seed=1))


def test_one_file_counts_as_a_folder_of_one(tmp_path: Path) -> None:
    Image.fromarray(pixels()).save(tmp_path / "a.png")
    (one,) = read_folder(tmp_path / "a.png", SIZE)
    assert one.path == tmp_path / "a.png"


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AsyrpError, match=r"needed at least one image \(.png, .* it has none"):
        find_images(tmp_path)
    with pytest.raises(AsyrpError, match=r"or one image; .*nowhere' does not exist"):
        find_images(tmp_path / "nowhere")


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        Image.fromarray(pixels()).save(tmp_path / name)
    with pytest.raises(AsyrpError, match=r"'a.jpg' and 'a.png' would share a name; rename one"):
        find_images(tmp_path)


# sheets


def test_a_contact_sheet_lays_rows_on_white() -> None:
    rows = [torch.full((3, 3, 4, 6), value) for value in (-1.0, 0.0)]
    sheet: Tensor = contact_sheet(rows, pad=2)
    assert sheet.shape == (3, 2 * (4 + 4), 3 * (6 + 4))
    assert (sheet[:, 2:6, 2:8] == -1).all()
    assert (sheet[:, 10:14, 22:28] == 0).all()
    assert int((sheet == 1).sum()) == sheet.numel() - 2 * 3 * 3 * 4 * 6
