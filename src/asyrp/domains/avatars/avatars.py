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

SIZE = 64
CROP = "48 40 168 168"  # x, y, width, height of the artwork's 264 x 280 canvas: the face, close

# factor -> value -> the artwork's parts that show it (a value's parts are equally likely)
FACTORS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "mouth": {
        "smiling": ("SMILE", "TWINKLE", "BIG_SMILE"),
        "neutral": ("SERIOUS",),
        "sad": ("SAD", "DISBELIEF"),
        "surprised": ("SCREAM_OPEN",),
    },
    "brows": {
        "neutral": ("DEFAULT_NATURAL", "FLAT_NATURAL"),
        "angry": ("ANGRY_NATURAL", "ANGRY"),
        "raised": ("RAISED_EXCITED_NATURAL", "RAISED_EXCITED"),
    },
    "eyes": {
        "open": ("DEFAULT",),
        "closed": ("CLOSED",),
        "winking": ("WINK",),
        "wide": ("SURPRISED",),
    },
    "eyewear": {
        "none": ("NONE",),
        "glasses": ("PRESCRIPTION_2", "ROUND", "PRESCRIPTION_1"),
        "sunglasses": ("SUNGLASSES", "WAYFARERS", "KURT"),
    },
    "facial_hair": {
        "none": ("NONE",),
        "beard": ("BEARD_LIGHT", "BEARD_MEDIUM"),
        "moustache": ("MOUSTACHE_FANCY", "MOUSTACHE_MAGNUM"),
    },
    "hair": {
        "bald": ("NONE",),
        "short": ("SHORT_FLAT", "SHORT_ROUND", "SHORT_WAVED"),
        "long": ("STRAIGHT_1", "LONG_NOT_TOO_LONG", "BOB"),
        "afro": ("FRO", "CURLY"),
    },
    "hair_color": {
        "black": ("#2C1B18",),
        "brown": ("#724133",),
        "blonde": ("#D6B370",),
        "red": ("#C93305",),
        "grey": ("#E8E1E1",),
        "blue": ("#3F63D9",),
    },
    "skin": {
        "pale": ("#FFDBB4",),
        "light": ("#EDB98A",),
        "brown": ("#AE5D29",),
        "dark": ("#805A43",),
        "green": ("#86B85C",),
    },
    "shirt": {
        "white": ("#F4F4F4",),
        "black": ("#262E33",),
        "red": ("#FF5C5C",),
        "blue": ("#5199E4",),
        "yellow": ("#F7D74C",),
    },
    "background": {
        "white": ("#FAFAFA",),
        "blue": ("#A7D3F2",),
        "green": ("#BFE3C0",),
        "pink": ("#F6C6D4",),
        "purple": ("#B9A7DE",),
    },
}

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
