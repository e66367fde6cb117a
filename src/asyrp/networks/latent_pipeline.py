"""Pipelines of latent diffusion: a network, its autoencoder, and for Stable Diffusion the text."""

from collections.abc import Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, VQModel

from asyrp.errors import AsyrpError, need
from asyrp.method.fingerprint import source_of
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_space import LatentSpace
from asyrp.method.text_conditioning import (
    FixedPrompt,
    pooled_states,
    prompt_states,
    text_and_sizes,
    text_states,
)
from asyrp.networks.diffusers_folder import (
    open_part,
    open_unet,
    read_json,
    refusing,
    scheduler_in,
    unet_folder,
    wrapped,
)
from asyrp.networks.scheduler_config import read_scheduler
from asyrp.networks.weights import read_weights
from asyrp.runtime.download import hub_folder
from asyrp.runtime.offline import is_offline
from asyrp.settings import Precision
from asyrp.storage.strict_loading import load_strictly
from asyrp.storage.untrusted.configs import check_config, check_values
from asyrp.storage.untrusted.encoder_configs import name_unread
from asyrp.storage.untrusted.revisions import pinned

_CODERS = ("vqvae", "vae")  # folders, as pipelines name them
_CLASSES: dict[str, Any] = {
    "VQModel": VQModel,
    "AutoencoderKL": AutoencoderKL,
    "UNet2DConditionModel": UNet2DConditionModel,
}
_TILE = 1024  # pixels a side above which an autoencoder works in overlapping tiles
_TEXTS = ("*.json", "*/*.json", "*/*.txt")
_PARTS = ("unet", "vae", "vqvae", "text_encoder", "text_encoder_2")


class Prompt(NamedTuple):
    """What a text-to-image network is told, fixed for all images.

    guidance: weight of the prompt against `negative`; 1 is the prompt alone.
    """

    text: str = ""
    guidance: float = 1.0
    negative: str = ""


NO_PROMPT = Prompt()


def is_latent(folder: Path) -> bool:
    """Whether a folder holds a pipeline with an autoencoder."""
    return any((folder / name / "config.json").is_file() for name in _CODERS)


def download(spec: str) -> Path | None:
    """The folder of a Hub id's pipeline with an autoencoder; None where the Hub shows none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    asked = pinned(spec)
    how: dict[str, Any] = {"revision": asked.revision, "local_files_only": is_offline()}
    try:
        index = read_json(Path(hf_hub_download(asked.name, "model_index.json", **how)))
    except (EntryNotFoundError, HfHubHTTPError, OSError, ValueError):
        return None
    return hub_folder(spec, _TEXTS, _PARTS) if any(map(index.get, _CODERS)) else None


def load_latent(
    folder: Path,
    device: str | torch.device = "cpu",
    dtype: Precision = "float32",
    prompt: Prompt = NO_PROMPT,
) -> HSpaceUNet:
    """A frozen network of latents, whose `space` leads to pictures and back.

    The fingerprint covers the network and, for Stable Diffusion, the prompt and its guidance; not
    the autoencoder, which a direction does not depend on.

    Raises:
        AsyrpError: a part is missing, broken or without h-space, or a prompt has no use.
    """
    usual = isinstance(prompt, Prompt) and isinstance(prompt.guidance, int | float)
    texts = (prompt.text, prompt.negative) if usual else (None,)
    if not all(isinstance(text, str) for text in texts) or not abs(prompt.guidance) < inf:
        raise AsyrpError(
            f"a prompt is Prompt(text, guidance, negative), guidance a number; got {prompt!r:.200}"
        )
    coder = next(folder / name for name in _CODERS if (folder / name).is_dir())
    space = LatentSpace(tiled(_part(coder)))
    network = _part(unet_folder(folder))
    if isinstance(network, UNet2DConditionModel):
        network = _with_prompt(folder, network, prompt, space)
    elif prompt != NO_PROMPT:
        raise AsyrpError(f"{str(folder)!r} takes no prompt: its network is unconditional")
    scheduler = scheduler_in(folder)
    if not scheduler:
        raise AsyrpError(f"needed scheduler/scheduler_config.json in {str(folder)!r}")
    wanted, has = network.config["in_channels"], int(space.coder.config["latent_channels"])
    if wanted != has:
        raise AsyrpError(
            f"the network of {str(folder)!r} takes {wanted} channels and its autoencoder makes "
            f"{has}; needed a text-to-image or unconditional pipeline, not one for inpainting"
        )
    return wrapped(network, read_scheduler(scheduler), device, dtype, space)


def tiled(coder: Any) -> Any:
    """Bound the memory of very large pictures, where an autoencoder can."""
    if isinstance(coder, AutoencoderKL):
        levels = len(coder.config["block_out_channels"])
        coder.enable_tiling()
        coder.tile_sample_min_size = _TILE
        coder.tile_latent_min_size = _TILE >> (levels - 1)
    return coder


def _part(folder: Path) -> Any:
    """A component, by the class that its config names."""
    config = read_json(folder / "config.json")
    name = config.get("_class_name")
    if name == "UNet2DModel":
        return open_unet(folder)
    if not isinstance(name, str) or name not in _CLASSES:
        known = ", ".join(["UNet2DModel", *_CLASSES])
        raise AsyrpError(f"needed one of {known} in {str(folder)!r}; it has {str(name)[:80]}")
    return open_part(folder, config, _CLASSES[name])


def _with_prompt(folder: Path, network: Any, prompt: Prompt, space: LatentSpace) -> FixedPrompt:
    need("transformers", "encoders")
    names = ("",) if network.config.get("addition_embed_type") is None else ("", "_2")
    zeros = read_json(folder / "model_index.json").get("force_zeros_for_empty_prompt", True)
    parts = [_text_part(folder, name) for name in names]
    found = prompted(network, parts, prompt, space, bool(zeros))
    digest = cast(Any, found.source)()
    found.source = lambda: digest  # which lets go of the text encoders
    return found


def prompted(
    network: Any,
    parts: Sequence[tuple[Any, Any]],
    prompt: Prompt,
    space: LatentSpace,
    zeros: bool,
    device: torch.device | None = None,
) -> FixedPrompt:
    """A text-to-image network that is told a prompt: states of texts, pooled texts with the size.

    Args:
        parts: tokenizer and text encoder, of Stable Diffusion XL both. zeros: whether going without
            a prompt is all zeros there. device: of the states.
    """
    text, guidance, negative = prompt
    side, added = network.config["sample_size"], None
    sides = (side, side) if isinstance(side, int) else tuple(side)
    _, *size = space.picture_shape((space.coder.config["latent_channels"], *sides))
    if len(parts) == 1:
        states = prompt_states(text_states(*parts[0]), text, negative, guidance)
    else:
        texts = [text] if guidance == 1 else [negative, text]
        states, pooled = pooled_states(parts, texts)
        if len(texts) == 2 and not negative and zeros:
            states[0], pooled[0] = 0, 0  # as it was trained to go without a prompt
        added = text_and_sizes(network, pooled, (size[0], size[1])).to(device)
    source = partial(source_of, [encoder for _, encoder in parts], *prompt, zeros, tuple(size))
    return FixedPrompt(network, states.to(device), guidance, added, source)


def _text_part(folder: Path, suffix: str) -> tuple[Any, Any]:
    """Tokenizer and text encoder of a pipeline; the second of Stable Diffusion XL is "_2"."""
    import transformers

    place, names = folder / f"text_encoder{suffix}", folder / f"tokenizer{suffix}"
    kind: Any = transformers.CLIPTextModelWithProjection if suffix else transformers.CLIPTextModel
    if not (place / "config.json").is_file():
        raise AsyrpError(
            f"needed a CLIP tokenizer and text encoder in {str(folder)!r}; it has no {place.name}"
        )
    config = read_json(place / "config.json")
    check_config(config, place)
    with refusing(folder, "CLIP tokenizer and text encoder"):
        tokenizer = transformers.CLIPTokenizer.from_pretrained(
            str(names), local_files_only=True, trust_remote_code=False
        )
        weights, told = read_weights(place), transformers.CLIPTextConfig(**config)
        name_unread(config, told, str(place))
        stored = sum(value.numel() for value in weights.values())
        check_values(lambda: kind(told), stored, place)
        text_encoder = load_strictly(kind, None, str(place), config=told, state_dict=weights)
    return tokenizer, text_encoder.float().eval()
