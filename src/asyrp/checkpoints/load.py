"""load_model: a name, a diffusers folder or a Hub id becomes an HSpaceUNet."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import UNet2DModel

from asyrp.errors import AsyrpError
from asyrp.schedule import from_config, linear
from asyrp.unet import HSpaceUNet

BUILT_IN = ("avatars-64",)
Precision = Literal["float32", "bfloat16"]


def load_model(
    spec: str | Path, device: str | torch.device = "cpu", dtype: Precision = "float32"
) -> HSpaceUNet:
    """A frozen network, ready to edit with.

    Args:
        spec: a built-in name ("avatars-64"), a diffusers folder (of a pipeline, or of a
            `UNet2DModel` alone), or a Hub id ("google/ddpm-ema-celebahq-256").

    Raises:
        AsyrpError: nothing by that name, or a network that has no h-space.
    """
    if str(spec) in BUILT_IN:
        folder = Path(str(files("asyrp.world").joinpath("weights", str(spec))))
        return _from_folder(folder, device, dtype)
    if Path(spec).is_dir():
        return _from_folder(Path(spec), device, dtype)
    if _is_hub_id(str(spec)):
        return _from_hub(str(spec), device, dtype)
    raise AsyrpError(
        f"unknown model {str(spec)!r}; needed: a built-in name ({', '.join(BUILT_IN)}), "
        "a diffusers folder that exists, or a Hub id such as google/ddpm-ema-celebahq-256"
    )


def _is_hub_id(spec: str) -> bool:
    owner, slash, name = spec.partition("/")
    return bool(slash and owner and name) and "/" not in name and not owner.startswith((".", "~"))


def _from_folder(folder: Path, device: str | torch.device, dtype: Precision) -> HSpaceUNet:
    root = folder / "unet" if (folder / "unet" / "config.json").is_file() else folder
    if not (root / "config.json").is_file():
        raise AsyrpError(
            f"{str(folder)!r} is not a diffusers folder: it has neither config.json nor unet/"
        )
    scheduler = _read_json(folder / "scheduler" / "scheduler_config.json")
    scheduler = scheduler or _read_json(folder / "scheduler_config.json")
    return _wrapped(str(root), {}, scheduler, device, dtype)


def _from_hub(spec: str, device: str | torch.device, dtype: Precision) -> HSpaceUNet:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    scheduler: Mapping[str, Any] = {}
    try:
        scheduler = _read_json(Path(hf_hub_download(spec, "scheduler_config.json")))
    except LocalEntryNotFoundError as error:
        raise AsyrpError(
            f"{spec!r} is neither a folder here nor in the local Hub cache, and the Hub cannot be "
            "reached; check the name or the network"
        ) from error
    except EntryNotFoundError:
        scheduler = _read_json(
            Path(hf_hub_download(spec, "scheduler_config.json", subfolder="scheduler"))
        )
        return _wrapped(spec, {"subfolder": "unet"}, scheduler, device, dtype)
    except (HfHubHTTPError, OSError) as error:
        raise AsyrpError(f"the Hub has no usable {spec!r}: {str(error).splitlines()[0]}") from error
    return _wrapped(spec, {}, scheduler, device, dtype)


def _read_json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise AsyrpError(f"{str(path)!r} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise AsyrpError(f"{str(path)!r} must hold a JSON object")
    return content


def _wrapped(
    source: str,
    where: Mapping[str, str],
    scheduler: Mapping[str, Any],
    device: str | torch.device,
    dtype: Precision,
) -> HSpaceUNet:
    try:
        unet = UNet2DModel.from_pretrained(
            source, **where, use_safetensors=True, low_cpu_mem_usage=False
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise AsyrpError(
            f"{source!r} does not load as a UNet2DModel: {str(error).strip().splitlines()[0]}"
        ) from error
    schedule = from_config(scheduler) if scheduler else linear()
    prediction = scheduler.get("prediction_type", "epsilon")
    model = HSpaceUNet(unet.float(), schedule, prediction)
    if str(device) == "cpu":
        model.unet.to(memory_format=torch.channels_last)
    moved: HSpaceUNet = model.to(device=device, dtype=getattr(torch, dtype))
    return moved
