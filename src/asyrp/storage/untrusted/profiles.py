"""Colour profiles (ICC) that pictures carry: what their numbers mean, beside sRGB."""

import io
from collections.abc import Callable

from PIL import Image, features

from asyrp.storage.untrusted.bounds import LARGEST_PROFILE

# mode of Pillow -> that of its profile's colours, and the name that profiles have for it
MODES = {"L": ("L", "GRAY"), "LA": ("L", "GRAY"), "I;16": ("L", "GRAY"), "CMYK": ("CMYK", "CMYK")}
MODES |= dict.fromkeys(("RGB", "RGBA", "P", "PA"), ("RGB", "RGB"))
Change = Callable[[Image.Image], Image.Image]


def to_srgb(picture: Image.Image) -> Change | None:
    """What turns 8-bit pixels of a picture into RGB in sRGB, keeping no opacity.

    None where they mean sRGB already: without a profile, or with one that is damaged or of another
    kind of pixels, as browsers do.
    """
    profile = picture.info.get("icc_profile")
    if not isinstance(profile, bytes) or len(profile) > LARGEST_PROFILE:
        return None
    if not features.check("littlecms2"):
        return None
    from PIL import ImageCms

    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode, colours = MODES[picture.mode]
        described = ImageCms.getProfileDescription(own).lower()
        if own.profile.xcolor_space.strip() != colours or "srgb" in described:
            return None
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(own, srgb, mode, "RGB")
    except (ImageCms.PyCMSError, KeyError, OSError, TypeError, ValueError):
        return None
    return lambda part: transform.apply(part.convert(mode))
