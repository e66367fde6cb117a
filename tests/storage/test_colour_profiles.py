"""Colours of pictures that carry an ICC profile."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from asyrp.storage.images import read_image, to_uint8


def read(path: Path) -> np.ndarray:
    return to_uint8(read_image(path, (16, 16))[None])[0]


def swapped_profile() -> bytes:
    """An ICC profile of sRGB whose red is green, and the other way round."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = {made[at : at + 4]: made[at + 4 : at + 8] for at in range(132, 132 + 12 * 16, 12)}
    red, green = (int.from_bytes(tags[name], "big") for name in (b"rXYZ", b"gXYZ"))
    profile = bytearray(made)
    profile[red : red + 20], profile[green : green + 20] = (
        made[green : green + 20],
        made[red : red + 20],
    )
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "Mine".encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_are_those_of_the_profile(tmp_path: Path, mode: str) -> None:
    """Those of telephones are Display P3, those of cameras often Adobe RGB."""
    path = tmp_path / "a.png"
    picture = Image.new("RGB", (16, 16), (200, 30, 60)).convert(mode)
    picture.save(path, icc_profile=swapped_profile())
    wanted = picture.convert("RGB").getpixel((0, 0))
    assert read(path)[0, 0].tolist() == pytest.approx([wanted[1], wanted[0], wanted[2]], abs=1)


@pytest.mark.parametrize(
    ("mode", "profile"), [("RGB", b"none"), ("L", swapped_profile()), ("CMYK", swapped_profile())]
)
def test_a_profile_that_is_none_of_the_picture_changes_nothing(
    tmp_path: Path, mode: str, profile: bytes
) -> None:
    pictures = [tmp_path / "plain.tif", tmp_path / "told.tif"]
    made = Image.new("RGB", (16, 16), (200, 30, 60)).convert(mode)
    made.save(pictures[0])
    made.save(pictures[1], icc_profile=profile)
    assert np.array_equal(*(read(path) for path in pictures))
