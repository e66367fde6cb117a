"""Pipelines of latent diffusion: a network, its autoencoder, and for Stable Diffusion the text."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, VQModel

from asyrp.errors import AsyrpError
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_space import LatentSpace
from asyrp.method.schedule import from_config
from asyrp.method.text_conditioning import (
    FixedPrompt,
    pooled_states,
    prompt_states,
    text_and_sizes,
    text_states,
)
from asyrp.networks.config_sizes import (
    check_config,
    check_sample_size,
    check_values,
    count_pickled,
    count_safe,
)
from asyrp.networks.convert.read import read_checkpoint
from asyrp.networks.diffusers_folder import open_unet, read_json
from asyrp.runtime.fast_blocks import use_fast_blocks
from asyrp.runtime.offline import is_offline

Precision = Literal["float32", "bfloat16"]

_CODERS = ("vqvae", "vae")  # folders, as pipelines name them
_CLASSES: dict[str, Any] = {
    "VQModel": VQModel,
    "AutoencoderKL": AutoencoderKL,
    "UNet2DConditionModel": UNet2DConditionModel,
}
_TEXTS = ("*.json", "*/*.json", "*/*.txt")
_WEIGHTS = ("unet/{}", "vae/{}", "vqvae/{}", "text_encoder/{}", "text_encoder_2/{}")
_SAFE = ("diffusion_pytorch_model.safetensors", "model.safetensors")
_PICKLED = ("diffusion_pytorch_model.bin", "pytorch_model.bin")


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
    """The folder of a Hub id's pipeline with an autoencoder; None where the Hub shows none.

    Takes safetensors where there are some, and else pickles, of which only tensors are read.

    Raises:
        AsyrpError: there is one, and it does not download.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    local = is_offline()
    try:
        index = read_json(Path(hf_hub_download(spec, "model_index.json", local_files_only=local)))
    except (EntryNotFoundError, HfHubHTTPError, OSError, ValueError):
        return None
    if not any(index.get(name) for name in _CODERS):
        return None
    try:
        for names in (_SAFE, _PICKLED):
            wanted = _patterns(names)
            folder = Path(snapshot_download(spec, allow_patterns=wanted, local_files_only=local))
            if any((folder / "unet" / name).is_file() for name in names):
                break
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise AsyrpError(f"the parts of {spec!r} do not download: {reason}") from error
    return folder


def _patterns(names: tuple[str, ...]) -> list[str]:
    return [*_TEXTS, *(place.format(name) for place in _WEIGHTS for name in names)]


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
        AsyrpError: a part is missing, broken or of a kind that has no h-space, or a prompt for a
            network that takes none.
    """
    coder = next(folder / name for name in _CODERS if (folder / name).is_dir())
    space = LatentSpace(_part(coder).float())
    network = _part(folder / "unet").float()
    if isinstance(network, UNet2DConditionModel):
        network = _with_prompt(folder, network, prompt, space)
    elif prompt != NO_PROMPT:
        raise AsyrpError(f"{str(folder)!r} takes no prompt: its network is unconditional")
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    if not scheduler:
        raise AsyrpError(f"needed scheduler/scheduler_config.json in {str(folder)!r}")
    schedule, kind = from_config(scheduler), scheduler.get("prediction_type", "epsilon")
    model = HSpaceUNet(network, schedule, kind, space=space)
    _check_fits(model, space, folder)
    if dtype != "float32":
        origin = model.fingerprint()
        model = HSpaceUNet(network, schedule, kind, origin=origin, space=space)
    if str(device) == "cpu":
        model.unet.to(memory_format=torch.channels_last)
    use_fast_blocks(model.unet)
    moved: HSpaceUNet = model.to(device=device, dtype=getattr(torch, dtype))
    return moved


def _part(folder: Path) -> Any:
    """A component, by the class that its config names."""
    config = read_json(folder / "config.json")
    name = config.get("_class_name")
    if name == "UNet2DModel":
        return open_unet(folder)
    if not isinstance(name, str) or name not in _CLASSES:
        known = ", ".join(["UNet2DModel", *_CLASSES])
        raise AsyrpError(f"needed one of {known} in {str(folder)!r}; it has {str(name)[:80]}")
    safe = any(folder.glob("*.safetensors"))
    check_config(config, folder)
    if name == "UNet2DConditionModel":
        check_sample_size(config, folder)
    try:
        stored = count_safe(folder) if safe else _count_pickled(folder)
        check_values(lambda: _CLASSES[name].from_config(dict(config)), stored, folder)
        return _CLASSES[name].from_pretrained(
            str(folder), use_safetensors=safe, low_cpu_mem_usage=False, local_files_only=True
        )
    except AsyrpError:
        raise
    except Exception as error:  # a damaged or unsafe file fails in any way
        reason = " ".join(str(error).split())[:200]
        raise AsyrpError(f"{str(folder)!r} does not load as a {name}: {reason}") from error


def _count_pickled(folder: Path) -> int:
    found = (folder / name for name in _PICKLED if (folder / name).is_file())
    return sum(count_pickled(read_checkpoint(path)) for path in found)


def _with_prompt(folder: Path, network: Any, prompt: Prompt, space: LatentSpace) -> FixedPrompt:
    parts = [_text_part(folder, "")]
    if network.config.get("addition_embed_type") is None:
        encode = text_states(*parts[0])
        context = prompt_states(encode, prompt.text, prompt.negative, prompt.guidance)
        return FixedPrompt(network, context, prompt.guidance)
    parts.append(_text_part(folder, "_2"))
    texts = [prompt.text] if prompt.guidance == 1 else [prompt.negative, prompt.text]
    states, pooled = pooled_states(parts, texts)
    index = read_json(folder / "model_index.json")
    if len(texts) == 2 and not prompt.negative and index.get("force_zeros_for_empty_prompt", True):
        states[0], pooled[0] = 0, 0  # as it was trained to go without a prompt
    side = network.config["sample_size"]
    sides = (side, side) if isinstance(side, int) else tuple(side)
    _, *size = space.picture_shape((space.coder.config["latent_channels"], *sides))
    added = text_and_sizes(network, pooled, (size[0], size[1]))
    return FixedPrompt(network, states, prompt.guidance, added)


def _text_part(folder: Path, suffix: str) -> tuple[Any, Any]:
    """Tokenizer and text encoder of a pipeline; the second of Stable Diffusion XL is "_2"."""
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTextModelWithProjection,
        CLIPTokenizer,
    )

    place, names = folder / f"text_encoder{suffix}", folder / f"tokenizer{suffix}"
    kind: Any = CLIPTextModelWithProjection if suffix else CLIPTextModel
    if not (place / "config.json").is_file():
        raise AsyrpError(
            f"needed a CLIP tokenizer and text encoder in {str(folder)!r}; it has no {place.name}"
        )
    config = read_json(place / "config.json")
    check_config(config, place)
    try:
        safe = any(place.glob("*.safetensors"))
        stored = count_safe(place) if safe else _count_pickled(place)
        check_values(lambda: kind(CLIPTextConfig(**config)), stored, place)
        tokenizer = CLIPTokenizer.from_pretrained(str(names), local_files_only=True)
        text_encoder = kind.from_pretrained(str(place), local_files_only=True)
    except AsyrpError:
        raise
    except Exception as error:  # as above
        reason = " ".join(str(error).split())[:200]
        raise AsyrpError(
            f"needed a CLIP tokenizer and text encoder in {str(folder)!r} ({reason})"
        ) from error
    return tokenizer, text_encoder.float().eval()


def _check_fits(model: HSpaceUNet, space: LatentSpace, folder: Path) -> None:
    wanted, has = model.image_shape[0], int(space.coder.config["latent_channels"])
    if wanted != has:
        raise AsyrpError(
            f"the network of {str(folder)!r} takes {wanted} channels and its autoencoder makes "
            f"{has}; needed a text-to-image or unconditional pipeline, not one for inpainting"
        )
