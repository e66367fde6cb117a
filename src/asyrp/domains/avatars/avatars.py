"""The faces of the built-in world: independent factors, drawn from the avataaars artwork.

A face is one value for every factor below, drawn independently, so that whatever else an edit
changes can be measured. Drawing needs the `world` extra (python_avatars, resvg_py).
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from asyrp.errors import need
from asyrp.storage.shipped import shipped_tables

SIZE = 64
CROP = "48 40 168 168"  # x, y, width, height of the artwork's 264 x 280 canvas: the face, close

FACTORS: Mapping[str, Mapping[str, tuple[str, ...]]] = shipped_tables(__package__, "factors.toml")
"""factor -> value -> the artwork's parts that show it."""

# Values the diffusion model never sees: the counterpart of the paper's unseen-domain edits.
UNSEEN: Mapping[str, str] = {"hair_color": "blue", "skin": "green"}

_WEIGHTS: Mapping[str, tuple[float, ...]] = {
    "eyewear": (0.5, 0.3, 0.2),
    "facial_hair": (0.5, 0.25, 0.25),
    "hair": (0.15, 0.35, 0.3, 0.2),
    "eyes": (0.4, 0.2, 0.2, 0.2),
    "mouth": (0.3, 0.3, 0.2, 0.2),
    "brows": (0.4, 0.3, 0.3),
}
_UNJUDGED = {"nose": ("DEFAULT", "SMALL", "WIDE"), "collar": ("SHIRT_CREW_NECK", "HOODIE")}

# Every use of the pictures has seeds of its own; no face is in two of them but by chance.
SPLITS: Mapping[str, int] = {
    "train": 1, "validation": 2, "test": 3, "encoder": 4, "encoder_validation": 5, "judge": 6,
    "judge_validation": 7,
}  # fmt: skip


@dataclass(frozen=True)
class Face:
    """One value of every factor, and the artwork's part that shows it."""

    values: Mapping[str, str]
    parts: Mapping[str, str]

    def label(self, factor: str) -> str | None:
        """The factor's value, or None where the picture does not show it."""
        return self.values[factor] if visible(self.values, factor) else None

    def replaced(self, factor: str, value: str, part: str = "") -> "Face":
        """The same face with another value, shown by one of its parts (the first by default)."""
        part = part or FACTORS[factor][value][0]
        return Face({**self.values, factor: value}, {**self.parts, factor: part})


def visible(values: Mapping[str, str], factor: str) -> bool:
    """Whether a factor shows: sunglasses hide eyes; a bald, shaven head has no hair colour."""
    if factor == "eyes":
        return values["eyewear"] != "sunglasses"
    if factor == "hair_color":
        return not (values["hair"] == "bald" and values["facial_hair"] == "none")
    return True


def sample_face(split: str, index: int, unseen: float = 0.0) -> Face:
    """The face number `index` of a split; `unseen` is the chance of each value in UNSEEN."""
    rng = np.random.default_rng([SPLITS[split], index])
    values, parts = {}, {}
    for factor, table in FACTORS.items():
        value = _draw_value(rng, factor, unseen)
        values[factor] = value
        parts[factor] = str(rng.choice(table[value]))
    for name, options in _UNJUDGED.items():
        parts[name] = str(rng.choice(options))
    return Face(values, parts)


def _draw_value(rng: np.random.Generator, factor: str, unseen: float) -> str:
    seen = [value for value in FACTORS[factor] if UNSEEN.get(factor) != value]
    value = str(rng.choice(seen, p=_WEIGHTS.get(factor)))
    lucky = rng.random() < unseen  # always drawn, so that `unseen` moves no other number
    return UNSEEN[factor] if lucky and factor in UNSEEN else value


def draw(face: Face, size: int = SIZE) -> np.ndarray:
    """Draw a face.

    Returns:
        (size, size, 3) uint8, RGB.

    Raises:
        MissingExtra: python_avatars or resvg_py is not installed.
    """
    resvg = need("resvg_py", "world")
    background = face.parts["background"]
    png = resvg.svg_to_bytes(svg_string=svg(face, size), background=background)
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))


def svg(face: Face, size: int = SIZE) -> str:
    """The face as an SVG document of size x size pixels, cropped to CROP."""
    pa = need("python_avatars", "world")
    text = pa.Avatar(style=pa.AvatarStyle.TRANSPARENT, **_artwork(pa, face.parts)).render()
    box = f'width="{size}" height="{size}" viewBox="{CROP}"'
    return re.sub(r'width="264px" height="280px" viewBox="0 0 264 280"', box, text, count=1)


def _artwork(pa: Any, parts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "mouth": pa.MouthType[parts["mouth"]],
        "eyebrows": pa.EyebrowType[parts["brows"]],
        "eyes": pa.EyeType[parts["eyes"]],
        "accessory": pa.AccessoryType[parts["eyewear"]],
        "facial_hair": pa.FacialHairType[parts["facial_hair"]],
        "top": pa.HairType[parts["hair"]],
        "nose": pa.NoseType[parts["nose"]],
        "clothing": pa.ClothingType[parts["collar"]],
        "hair_color": parts["hair_color"],
        "facial_hair_color": parts["hair_color"],
        "skin_color": parts["skin"],
        "clothing_color": parts["shirt"],
    }
