"""Pictures as a network of transformers wants them, from its own processor's file, in torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.runtime.offline import is_offline
from asyrp.storage.files import read_object
from asyrp.storage.untrusted.bounds import MOST_SIDE
from asyrp.storage.untrusted.pretrained import find_file

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP
_MODES = {2: "bilinear", 3: "bicubic"}  # PIL's numbers


class View(NamedTuple):
    """How a network wants its pictures.

    size: of the shorter side, or (height, width). crop: (height, width) of the centre that is
    kept, None for all. mean, std: of the channels in [0, 1]. mode: of the resampling.
    """

    size: int | tuple[int, int]
    crop: tuple[int, int] | None = None
    mean: tuple[float, ...] = _MEAN
    std: tuple[float, ...] = _STD
    mode: str = "bicubic"


def prepare(images: Tensor, view: View) -> Tensor:
    """Pictures as the network's own processor makes them, differentiable and not clamped.

    Resampling has antialias, as PIL's has; the official code's depends on its torchvision.

    Args:
        images: (b, 3, height, width) in [-1, 1].
    """
    height, width = images.shape[-2:]
    size = _scaled(height, width, view.size) if isinstance(view.size, int) else view.size
    pictures = (images + 1) / 2
    if size != (height, width):
        pictures = functional.interpolate(
            pictures, size, mode=view.mode, antialias=True, align_corners=False
        )
    if view.crop is not None:
        top, left = (size[0] - view.crop[0]) // 2, (size[1] - view.crop[1]) // 2
        pictures = pictures[..., top : top + view.crop[0], left : left + view.crop[1]]
    mean, std = (pictures.new_tensor(v).view(1, -1, 1, 1) for v in (view.mean, view.std))
    return (pictures - mean) / std


def _scaled(height: int, width: int, shorter: int) -> tuple[int, int]:
    if height <= width:
        return shorter, int(shorter * width / height)
    return int(shorter * height / width), shorter


def view_of(settings: Mapping[str, Any], size: int) -> View:
    """The view that a preprocessor_config.json describes; CLIP's of a size where it says nothing.

    Raises:
        AsyrpError: a resampling other than bilinear or bicubic, or what else is not known here.
    """
    for name in ("do_resize", "do_rescale"):
        if settings.get(name) is False:
            raise AsyrpError(f"a processor with {name} off is not known here; needed: on")
    mode = _MODES.get(settings.get("resample", 3))
    if mode is None:
        known = ", ".join(map(str, _MODES))
        raise AsyrpError(
            f"a processor's resampling must be one of {known}; got {settings['resample']}"
        )
    try:
        return _checked(View(*_sides(settings, size), *_statistics(settings), mode))
    except (KeyError, TypeError, ValueError) as error:
        told = {k: settings[k] for k in ("size", "crop_size", "image_mean") if k in settings}
        raise AsyrpError(f"a processor's settings are not known here: {told!r:.200}") from error


def _sides(
    settings: Mapping[str, Any], size: int
) -> tuple[int | tuple[int, int], tuple[int, int] | None]:
    resize = settings.get("size", size)
    if isinstance(resize, Mapping):
        resize = resize.get("shortest_edge") or (resize["height"], resize["width"])
    crop = _pair(settings.get("crop_size", size)) if settings.get("do_center_crop", True) else None
    if "crop_size" not in settings and crop is not None and not _fits(crop, resize):
        crop = None  # a processor that names no crop makes none
    return cast(Any, resize), crop


def _statistics(settings: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if settings.get("do_normalize") is False:
        return (0.0,) * 3, (1.0,) * 3
    return tuple(settings.get("image_mean", _MEAN)), tuple(settings.get("image_std", _STD))


def _checked(view: View) -> View:
    """The view, if its crop lies within what is resized: a processor would fill up with black."""
    sides = [view.size] if isinstance(view.size, int) else [*view.size]
    if not all(
        isinstance(side, int) and 0 < side <= MOST_SIDE for side in (*sides, *(view.crop or ()))
    ):
        raise ValueError(f"sides from 1 to {MOST_SIDE} pixels are needed")
    if view.crop is not None and not _fits(view.crop, view.size):
        raise ValueError("a crop larger than the picture")
    return view


def _fits(crop: tuple[int, int], size: int | tuple[int, int]) -> bool:
    height, width = (size, size) if isinstance(size, int) else size
    return crop[0] <= height and crop[1] <= width


def _pair(size: Any) -> tuple[int, int]:
    return (size["height"], size["width"]) if isinstance(size, Mapping) else (size, size)


def processor_settings(source: str | Path) -> Mapping[str, Any]:
    """The image half of a folder's or Hub id's processor files; empty where it has none."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        path = find_file(source, name, is_offline())
        if path is None:
            continue
        content = read_object(path)
        content = content.get("image_processor", content)
        if isinstance(content, Mapping) and "image_mean" in content:
            return cast(Mapping[str, Any], content)
    return {}
