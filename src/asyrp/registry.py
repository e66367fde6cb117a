"""The encoders and distances by name."""

from typing import cast

from asyrp.errors import AsyrpError
from asyrp.scorers import PerceptualDistance, TextImageEncoder

ENCODERS = ("avatars-64-clip",)
DISTANCES = ("st-lpips-alex",)


def load_encoder(name: str) -> TextImageEncoder:
    """A frozen text-image encoder.

    Raises:
        AsyrpError: unknown name.
    """
    if name != ENCODERS[0]:
        raise AsyrpError(f"unknown encoder {name!r}; needed one of: {', '.join(ENCODERS)}")
    from asyrp.world.encoder import load_encoder as load

    return cast(TextImageEncoder, load(None))


def load_distance(name: str) -> PerceptualDistance:
    """A frozen perceptual distance.

    Raises:
        AsyrpError: unknown name.
    """
    if name != DISTANCES[0]:
        raise AsyrpError(f"unknown distance {name!r}; needed one of: {', '.join(DISTANCES)}")
    from asyrp.world.perceptual import load_perceptual

    return cast(PerceptualDistance, load_perceptual(None))
