"""What a caller gives a pipeline: arguments of the right kind, and pictures in any usual form."""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.image_processor import VaeImageProcessor
from PIL import Image, ImageOps
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.storage.images import fit, upright

OUTPUTS = ("pil", "np", "pt", "latent")
TEXTS = ("prompt", "negative_prompt")
REAL = ("guidance_scale", "strength")
_NUMBER: Any = Real
_INTEGER: Any = Integral
LEAST = {"batch_size": 1} | dict.fromkeys(
    ("refinements", "class_label", "t_edit", "t_start", "t_boost"), 0
)


def check_arguments(given: Mapping[str, Any]) -> None:
    """Raise AsyrpError for the first argument of a call, by name, of a wrong kind or size."""
    for name, value in given.items():
        if value is None:
            continue
        if name in TEXTS and not isinstance(value, str):
            raise AsyrpError(f"{name} must be one text for all images; got {value!r:.80}")
        if name in REAL and not (isinstance(value, _NUMBER) and abs(value) < np.inf):
            raise AsyrpError(f"{name} must be a number; got {value!r:.80}")
        if name == "num_inference_steps" and not isinstance(value, _INTEGER):
            raise AsyrpError(f"{name} must be an integer; got {value!r:.80}")
        if name in LEAST and not (isinstance(value, _INTEGER) and value >= LEAST[name]):
            raise AsyrpError(
                f"{name} must be an integer of {LEAST[name]} or more, the same for all images; "
                f"got {value!r:.80}"
            )
    if given.get("output_type", "pil") not in OUTPUTS:
        told = given["output_type"]
        raise AsyrpError(f"output_type must be one of {', '.join(OUTPUTS)}; got {told!r:.80}")
    if not callable(given.get("callback_on_step_end") or str):
        raise AsyrpError("callback_on_step_end must be a function of (pipe, step, t, tensors)")
    latents = given.get("latents")
    if latents is not None and not (isinstance(latents, Tensor) and latents.is_floating_point()):
        told = getattr(latents, "dtype", type(latents).__name__)
        raise AsyrpError(f"latents must be a tensor of floating-point numbers; got {told}")


class PictureProcessor(VaeImageProcessor):  # type: ignore[misc]
    """A pipeline's image processor whose pictures are those of the commands."""

    def preprocess(self, image: Any, height: int, width: int, **_: Any) -> Tensor:
        """See `read_pictures`."""
        return read_pictures(image, (height, width))


def read_pictures(given: Any, size: tuple[int, int]) -> Tensor:
    """Pictures as `images.read_image` reads files: upright, on white, cropped, in RGB.

    Args:
        given: a PIL picture, an array or a tensor, or a list of them. Arrays are (height, width),
            (height, width, c) or (n, height, width, c), tensors (c, height, width) or (n, c,
            height, width), with c of 1 (grey), 3 or 4 (with opacity); bytes, or numbers in [0, 1].
        size: (height, width) of the network's pictures.

    Returns:
        (n, 3, height, width) in [-1, 1].

    Raises:
        AsyrpError: none, or of another kind, shape or range.
    """
    several = isinstance(given, list | tuple)
    found = [_read(one, size) for one in (given if several else [given])]
    if not found:
        raise AsyrpError("needed at least one image; got an empty list")
    return torch.cat(found)


def _read(one: Any, size: tuple[int, int]) -> Tensor:
    if isinstance(one, Image.Image):
        try:
            return fit(upright(one), size)[None]
        except (OSError, ValueError) as error:
            raise AsyrpError(f"needed a readable picture; got {one!r:.80}: {error}") from error
    if isinstance(one, np.ndarray):
        one = one[..., None] if one.ndim == 2 else one
        one = torch.from_numpy(one.copy()).moveaxis(-1, -3) if one.dtype != object else None
    if not isinstance(one, Tensor) or one.ndim not in (3, 4) or one.shape[-3] not in (1, 3, 4):
        told = tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__
        raise AsyrpError(
            "needed PIL pictures, arrays (n, height, width, c) or tensors (n, c, height, width) "
            f"with 1, 3 or 4 channels; got {told}"
        )
    batch = one.detach().cpu()[None] if one.ndim == 3 else one.detach().cpu()
    if not len(batch):
        raise AsyrpError("needed at least one image; got an empty batch")
    return torch.stack([_fitted(_on_white(row), size) for row in _unit(batch)]) * 2 - 1


def _unit(batch: Tensor) -> Tensor:
    """Pixels in [0, 1], float32."""
    if batch.dtype == torch.uint8:
        return batch.float() / 255
    known = batch.numel() and not batch.is_complex()
    known = known and batch.dtype not in (torch.uint16, torch.uint32, torch.uint64)
    low, high = (batch.min().item(), batch.max().item()) if known else (np.nan, np.nan)
    if not batch.is_floating_point() or not (low >= 0 and high <= 1):
        kind = str(batch.dtype).removeprefix("torch.")
        raise AsyrpError(
            f"needed pixels as bytes or as numbers in [0, 1]; got {kind} from {low:.6g} to "
            f"{high:.6g}; pictures in [-1, 1] get there by x / 2 + 0.5"
        )
    return batch.float()


def _on_white(picture: Tensor) -> Tensor:
    """(1, 3 or 4, height, width) -> (3, height, width), in [0, 1]."""
    if len(picture) == 4:
        return picture[:3] * picture[3:] + 1 - picture[3:]
    return picture.expand(3, -1, -1)


def _fitted(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """The centre-crop and the bicubic resampling of PIL pictures, in floating-point numbers."""
    height, width = size
    if tuple(picture.shape[-2:]) == size:
        return picture
    planes: Sequence[Image.Image] = [Image.fromarray(plane.numpy()) for plane in picture]
    fitted = [np.asarray(ImageOps.fit(plane, (width, height), 3)) for plane in planes]
    return torch.from_numpy(np.stack(fitted)).clamp(0, 1)


def check_names(names: Sequence[str], known: Sequence[str]) -> None:
    """Raise AsyrpError for what no callback gets."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise AsyrpError(f"a callback gets {', '.join(known)}; it asked for {', '.join(unknown)}")


def answered(answer: Any, x: Tensor) -> Tensor:
    """The latents of a callback's answer; x where it gives none, AsyrpError for anything else."""
    told = {} if answer is None else answer
    found = told.get("latents", x) if isinstance(told, Mapping) else told
    if not isinstance(found, Tensor) or found.shape != x.shape:
        raise AsyrpError(
            f"a callback answers None, or {{'latents': x}} with x of shape {tuple(x.shape)}; "
            f"got {answer!r:.80}"
        )
    return found


def generators_of(
    given: torch.Generator | Sequence[torch.Generator] | None, count: int
) -> list[torch.Generator]:
    """One an image; a single one, or torch's own, is drawn from in order."""
    if given is None or isinstance(given, torch.Generator):
        return [given or torch.default_generator] * count
    if not isinstance(given, Sequence) or not all(isinstance(g, torch.Generator) for g in given):
        raise AsyrpError(f"generator must be a torch.Generator, or one an image; got {given!r:.80}")
    if len(given) != count:
        raise AsyrpError(f"{count} images need {count} generators, one each; got {len(given)}")
    return list(given)


def check_components(parts: Mapping[str, Any]) -> None:
    """Raise AsyrpError for a pipeline without a part that its network needs."""
    latent = isinstance(parts["unet"], UNet2DConditionModel)
    if parts["unet"] is None or parts["scheduler"] is None:
        raise AsyrpError("a pipeline needs its unet and its scheduler")
    if latent and parts["vae"] is None and parts["vqvae"] is None:
        raise AsyrpError("a text-to-image network works in latents: it needs its vae")


TEXT_PARTS = ("tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2")


def text_parts_of(network: Any, parts: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Tokenizer and text encoder; of Stable Diffusion XL both pairs.

    Args:
        parts: as TEXT_PARTS names them; AsyrpError where one that is needed is None.
    """
    count = 2 if network.config.get("addition_embed_type") is None else 4
    missing = [name for name, one in zip(TEXT_PARTS[:count], parts, strict=False) if one is None]
    if missing:
        needed = " and ".join(TEXT_PARTS[count - 2 : count])
        raise AsyrpError(f"a text-to-image network needs its {needed}; it has no {missing[0]}")
    return list(zip(parts[:count:2], parts[1:count:2], strict=True))
