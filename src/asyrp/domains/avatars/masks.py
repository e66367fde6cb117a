"""Exact part masks of drawn faces: which part of the artwork each pixel shows.

Every part is taken out of the drawing in turn; the pixels that change are where it shows.
"""

import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import numpy as np
from PIL import Image

from asyrp.domains.avatars.avatars import SIZE, Face, svg
from asyrp.errors import need

# in the order in which they are painted; the nose is a faint shadow and counts as skin
PARTS = (
    "background", "skin", "shirt", "mouth", "eyes", "brows", "hair", "facial_hair", "eyewear",
)  # fmt: skip
_GROUPS = {
    "skin": "transparent_Body",
    "shirt": "transparent_Clothing",
    "mouth": "transparent_Mouth",
    "eyes": "transparent_Eyes",
    "brows": "transparent_Eyebrow",
}
_NESTED = {"facial_hair": "_Facial-Hair", "eyewear": "_Accessory"}  # groups inside the hair's
FINE = 3  # pixels of the fine drawing along a pixel of the picture
FAINTEST = 3  # levels of 255 by which a pixel must change
_PAPER = "#808080"
_LOUD = {"_Facial-Hair-Color": "#FF00FF", "_Hair-Color": "#00FF00"}  # a beard on hair must show


def draw_mask(face: Face, size: int = SIZE) -> np.ndarray:
    """The part that covers most of each pixel, (size, size) uint8, indices into PARTS.

    Raises:
        MissingExtra: python_avatars or resvg_py is not installed.
    """
    text = _loud(svg(face, size * FINE))
    whole = _raster(text)
    top = np.zeros(whole.shape[:2], np.uint8)
    for index, part in enumerate(PARTS[1:], 1):
        if face.parts.get(part) != "NONE":
            top[np.abs(whole - _raster(_without(text, part))).max(2) >= FAINTEST] = index
    return _majority(top, size)


def _majority(top: np.ndarray, size: int) -> np.ndarray:
    blocks = top.reshape(size, FINE, size, FINE)
    counts = np.stack([(blocks == index).sum((1, 3)) for index in range(len(PARTS))])
    largest: np.ndarray = counts.argmax(0).astype(np.uint8)
    return largest


def _raster(text: str) -> np.ndarray:
    png = need("resvg_py", "world").svg_to_bytes(svg_string=text, background=_PAPER)
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB")).astype(np.int16)


def _loud(text: str) -> str:
    """The drawing with hair and beard in colours that nothing else has."""
    root = ElementTree.fromstring(text)
    for element in root.iter():
        for ending, color in _LOUD.items():
            if element.get("id", "").endswith(ending):
                element.set("fill", color)
    return ElementTree.tostring(root, encoding="unicode")


def _without(text: str, part: str) -> str:
    """The drawing with the paint of one part taken out."""
    root = ElementTree.fromstring(text)
    if part == "hair":
        _strip_hair(_group(root, "transparent_Top"))
    else:
        for group in _groups(root, part):
            group.clear()
    return ElementTree.tostring(root, encoding="unicode")


def _groups(root: ElementTree.Element, part: str) -> list[ElementTree.Element]:
    if part in _GROUPS:
        return [_group(root, _GROUPS[part])]
    return [found for found in root.iter() if found.get("id", "").endswith(_NESTED[part])]


def _group(root: ElementTree.Element, name: str) -> ElementTree.Element:
    return next(found for found in root.iter() if found.get("id") == name)


def _strip_hair(top: ElementTree.Element) -> None:
    """Hide every shape that is neither in a mask or definition nor in a nested part."""
    for shape in _hair_shapes(top):
        shape.set("display", "none")


def _hair_shapes(element: ElementTree.Element) -> Iterator[ElementTree.Element]:
    for child in element:
        kind = child.tag.rpartition("}")[2]
        nested = child.get("id", "").endswith(tuple(_NESTED.values()))
        if kind in ("defs", "mask", "clipPath", "filter") or nested:
            continue
        if kind == "g":
            yield from _hair_shapes(child)
        else:
            yield child
