"""load_model: a name, a folder, a file, a URL or a Hub id becomes an HSpaceUNet."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from asyrp.errors import AsyrpError
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import linear
from asyrp.networks.convert.hyperparameters import read_hyperparameters
from asyrp.networks.diffusers_folder import (
    check_index,
    open_unet,
    scheduler_in,
    unet_folder,
    wrapped,
)
from asyrp.networks.latent_pipeline import NO_PROMPT, Prompt, is_latent, load_latent
from asyrp.networks.resolve import BUILT_IN, folder_of
from asyrp.networks.scheduler_config import Noise, read_scheduler
from asyrp.runtime.offline import hub
from asyrp.runtime.waiting import warn_if_overbooked
from asyrp.settings import Precision

__all__ = ["BUILT_IN", "Precision", "load_model"]


def load_model(
    spec: str | Path,
    device: str | torch.device = "cpu",
    dtype: Precision = "float32",
    config: Mapping[str, Any] | None = None,
    prompt: Prompt = NO_PROMPT,
    class_label: int | None = None,
) -> HSpaceUNet:
    """A frozen network, ready to edit with.

    Args:
        spec: a built-in name ("avatars-64"); a preset ("celeba-hq"); a diffusers folder (of a
            pipeline, or of a `UNet2DModel` alone); an original DDPM or ADM checkpoint, which is
            converted and kept in the cache folder; "URL#sha256=HEX" of one; or a Hub id
            ("google/ddpm-ema-celebahq-256").
        config: the original hyper-parameters of a checkpoint, where its shapes do not tell.
        prompt: of a text-to-image pipeline (Stable Diffusion), fixed for all images.
        class_label: of a class-conditional network, 0 or more, fixed for all images.

    Raises:
        AsyrpError: nothing by that name, or a network that has no h-space.
    """
    warn_if_overbooked()
    said = read_hyperparameters(config)[0] if config else None
    with hub():
        folder = folder_of(str(spec), said)
    check_index(folder)
    if is_latent(folder):
        if class_label is not None:
            raise AsyrpError(f"{str(spec)!r} takes no class: it is a network of latents")
        return load_latent(folder, device, dtype, prompt)
    if prompt != NO_PROMPT:
        raise AsyrpError(f"{str(spec)!r} takes no prompt: its network is unconditional")
    root, noise = unet_folder(folder), Noise(linear(), "epsilon")
    if scheduler := scheduler_in(folder):
        noise = read_scheduler(scheduler, quiet=str(spec) in BUILT_IN)
    else:
        warnings.warn(
            f"{str(folder)!r} has no scheduler_config.json: linear betas and epsilon prediction "
            "are assumed; a network of another kind will draw noise",
            stacklevel=2,
        )
    return wrapped(open_unet(root), noise, device, dtype, class_label=class_label)
