"""Pictures as a network of transformers wants them, from its own processor's file, in torch."""

from collections.abc import Mapping
from math import inf, isfinite
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.runtime.offline import is_offline
from asyrp.runtime.transfer import numbers
from asyrp.storage.config_fields import name_passed_over, refuse_others, said
from asyrp.storage.files import read_object
from asyrp.storage.untrusted.bounds import MOST_SIDE
from asyrp.storage.untrusted.pretrained import find_file

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP
_MODES = {2: "bilinear", 3: "bicubic"}  # PIL's numbers

OBEYED = {"size", "crop_size", "do_center_crop", "resample"}
OBEYED |= {"do_normalize", "image_mean", "image_std"}
ONLY: dict[str, Any] = {
    "do_resize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_pad": False,
    "do_flip_channel_order": False,
    "do_grayscale": False,
    "keep_aspect_ratio": False,
    "ensure_multiple_of": 1,
    "crop_pct": None,
    "max_num_patches": None,
}
WHY = "of a processor makes other pictures than any that are made here"
# what says nothing of values: pictures are RGB here, and labels are not read
SILENT = {"do_convert_rgb", "do_reduce_labels", "processor_class", "data_format"}
SILENT |= {"image_processor_type", "feature_extractor_type", "input_data_format", "patch_size"}
# processors to whom one number is the shorter side; to all others it is both
_SHORTER = ("CLIP", "ChineseCLIP", "Bit", "ConvNext", "Levit", "MobileNet", "PoolFormer")


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
    size = view.size
    if isinstance(size, int):  # of the shorter side
        wide = height <= width
        size = (size, int(size * width / height)) if wide else (int(size * height / width), size)
    pictures = (images + 1) / 2
    if size != (height, width):
        pictures = functional.interpolate(
            pictures, size, mode=view.mode, antialias=True, align_corners=False
        )
    if view.crop is not None:
        top, left = (size[0] - view.crop[0]) // 2, (size[1] - view.crop[1]) // 2
        pictures = pictures[..., top : top + view.crop[0], left : left + view.crop[1]]
    mean, std = (numbers(v, pictures).view(1, -1, 1, 1) for v in (view.mean, view.std))
    return (pictures - mean) / std


def view_of(settings: Mapping[str, Any], size: int) -> View:
    """The view that a preprocessor_config.json describes; AsyrpError where it is not known here."""
    refuse_others(settings, ONLY, dict.fromkeys(ONLY, WHY))
    name_passed_over(
        {k: v for k, v in said(settings).items() if k not in (*OBEYED, *ONLY, *SILENT)},
        "preprocessor_config.json",
        "nothing here knows such a setting",
    )
    resample = settings.get("resample", 3)
    mode = _MODES.get(resample) if isinstance(resample, int) else None
    if mode is None:
        known = ", ".join(map(str, _MODES))
        raise AsyrpError(f"a processor's resampling must be one of {known}; got {resample!r:.80}")
    try:
        return _checked(View(*_sides(settings, size), *_statistics(settings), mode))
    except (KeyError, TypeError, ValueError) as error:
        names = ("size", "crop_size", "image_mean", "image_std")
        told = {k: settings.get(k) for k in names}
        raise AsyrpError(f"a processor's settings are not known here: {told!r:.200}") from error


def _sides(
    settings: Mapping[str, Any], size: int
) -> tuple[int | tuple[int, int], tuple[int, int] | None]:
    resize = settings.get("size", size)
    if isinstance(resize, Mapping):
        resize = resize.get("shortest_edge") or (resize["height"], resize["width"])
    elif not _kind_of(settings).startswith(_SHORTER):
        resize = _pair(resize)
    crops = settings.get("do_center_crop", "crop_size" in settings or "size" not in settings)
    return cast(Any, resize), _pair(settings.get("crop_size", size)) if crops else None


def _kind_of(settings: Mapping[str, Any]) -> str:
    """The class of a processor; CLIP's where a file does not say."""
    names = ("image_processor_type", "feature_extractor_type")
    return next((str(settings[name]) for name in names if settings.get(name)), "CLIP")


def _statistics(settings: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not settings.get("do_normalize", True):
        return (0.0,) * 3, (1.0,) * 3
    if not _kind_of(settings).startswith("CLIP"):
        mean, std = settings["image_mean"], settings["image_std"]
    else:
        mean, std = settings.get("image_mean", _MEAN), settings.get("image_std", _STD)
    return tuple(map(float, mean)), tuple(map(float, std))


def _checked(view: View) -> View:
    """The view, if its crop lies within what is resized: a processor would fill up with black."""
    height, width = (view.size, view.size) if isinstance(view.size, int) else view.size
    crop = view.crop or (1, 1)
    sides = (height, width, *crop)
    if not all(type(side) is int and 0 < side <= MOST_SIDE for side in sides):
        raise ValueError(f"sides from 1 to {MOST_SIDE} pixels are needed")
    if len(view.mean) != 3 or len(view.std) != 3:
        raise ValueError("a number for each of three channels is needed")
    if not all(isfinite(v) for v in view.mean) or not all(0 < v < inf for v in view.std):
        raise ValueError("no statistics of pictures")
    if crop[0] > height or crop[1] > width:
        raise ValueError("a crop larger than the picture")
    return view


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
        if isinstance(content, dict) and content.keys() & {*OBEYED, *ONLY}:
            return content
    return {}
