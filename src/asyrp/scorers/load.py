"""The encoders and distances by name, file, folder or Hub id."""

from pathlib import Path
from typing import cast

import torch

from asyrp.errors import AsyrpError
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import PerceptualDistance, TextImageEncoder
from asyrp.scorers.clip import DEFAULT, ClipEncoder, load_clip
from asyrp.scorers.decoded import decoded
from asyrp.scorers.lpips import Net, load_lpips
from asyrp.scorers.st_lpips import load_perceptual
from asyrp.scorers.word_encoder import WordEncoder, shipped_encoder
from asyrp.scorers.word_encoder import load_encoder as load_words

BUILT_IN = {"avatars-64-clip": "avatars", "photographs-64-clip": "photographs"}  # its domain
ENCODERS = (*BUILT_IN, "clip")
DISTANCES = ("st-lpips-alex", "lpips-alex", "lpips-vgg")


def load_encoder(
    name: str, device: str | torch.device = "cpu", precision: torch.dtype = torch.float32
) -> TextImageEncoder:
    """A frozen text-image encoder.

    Args:
        name: "avatars-64-clip" (built in), "clip" (the paper's CLIP ViT-B/16), or a CLIP-like
            model of transformers in a folder or on the Hub.
        precision: of its image tower's products; texts and features are float32 always.

    Raises:
        AsyrpError: unknown name, or an encoder that does not load.
    """
    if name in BUILT_IN:
        encoder: WordEncoder | ClipEncoder = load_words(shipped_encoder(BUILT_IN[name])).to(device)
    elif name == ENCODERS[-1] or "/" in name or Path(name).is_dir():
        encoder = load_clip(DEFAULT if name == ENCODERS[-1] else name, device)
    else:
        raise AsyrpError(
            f"unknown encoder {name!r}; needed one of: {', '.join(ENCODERS)}, a folder that "
            f"exists, or a Hub id such as {DEFAULT}"
        )
    encoder.precision = precision
    return encoder


def same_encoder(a: str, b: str) -> bool:
    """Whether two names mean one network, as "clip" and its Hub id or two ways to a folder do."""
    return _plain(a) == _plain(b)


def _plain(name: str) -> str:
    spec = DEFAULT if name == ENCODERS[-1] else name
    return str(Path(spec).resolve()) if Path(spec).is_dir() else spec


def load_distance(name: str, device: str | torch.device = "cpu") -> PerceptualDistance:
    """A frozen perceptual distance.

    Args:
        name: "st-lpips-alex" (built in), "lpips-alex" (the paper's) or "lpips-vgg", or a file of
            weights for LPIPS.

    Raises:
        AsyrpError: unknown name, or weights that cannot be had.
    """
    if name == DISTANCES[0]:
        return cast(PerceptualDistance, load_perceptual(None).to(device))
    if name in DISTANCES:
        return load_lpips(cast(Net, name.removeprefix("lpips-")), device=device)
    if Path(name).is_file():
        return load_lpips(path=Path(name), device=device)
    raise AsyrpError(
        f"unknown distance {name!r}; needed one of: {', '.join(DISTANCES)}, or a file of weights "
        "that exists"
    )


def check_rgb(model: HSpaceUNet, also: tuple[int, ...] = ()) -> None:
    """Raise AsyrpError for a network whose pictures have neither 3 channels nor one of `also`."""
    channels = model.picture_shape[0]
    if channels not in (3, *also):
        greys = " or one of greys" if 1 in also else ""
        raise AsyrpError(
            f"needed a network of RGB pictures{greys}; this one has {channels} channels"
        )


def encoder_for(model: HSpaceUNet, name: str) -> TextImageEncoder:
    """An encoder of a network's x: where and as precise as it is, and behind its decoder.

    Raises:
        AsyrpError: see `load_encoder`; or its pictures are not RGB.
    """
    check_rgb(model)
    encoder = load_encoder(name, model.device, model.dtype)
    return cast(TextImageEncoder, decoded(encoder, model.space))


def distance_for(model: HSpaceUNet, name: str) -> PerceptualDistance:
    """A distance of a network's x: on its device, and behind its decoder in a latent space.

    Raises:
        AsyrpError: see `load_distance`; or its pictures are not RGB, or too small for it.
    """
    check_rgb(model)
    distance = load_distance(name, model.device)
    blank = torch.zeros(1, *model.picture_shape, device=model.device)
    try:
        with torch.no_grad():
            distance(blank, blank)  # to fail before the long work rather than after it
    except AsyrpError as error:
        raise AsyrpError(
            f"{distance.name} cannot compare the pictures of this network ({error}); set t_start, "
            "t_edit and t_boost yourself, or name another distance"
        ) from error
    return cast(PerceptualDistance, decoded(distance, model.space))
