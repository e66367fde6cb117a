"""What a network computes as a hash, which machines and versions of diffusers agree on."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from asyrp.storage.config_fields import Fields, defaults_of, differs, said


def fingerprint_of(unet: Any, alpha_bars: Sequence[float], *told: object) -> str:
    """SHA-256 (hex) of a network: config, weights in float32, schedule, and what else is told.

    Fields that have their defaults do not count, so that a version of diffusers with more of them
    says the same; of the schedule six digits do; and of a prompt the texts and the weights of who
    read them (`FixedPrompt.source`), not its states, whose last bits depend on the machine.
    """
    schedule = [f"{value:.6g}" for value in alpha_bars]
    read = getattr(unet, "source", None)
    fixed = [settings_of(unet), schedule, *told, None if read is None else read()]
    computed = ("context", "added") if read is not None else ()
    weights = ((k, v) for k, v in sorted(unet.state_dict().items()) if k not in computed)
    return _hash(json.dumps(fixed), weights, torch.float32)


def settings_of(unet: Any) -> Fields:
    """The fields of a network's config that differ from the defaults of its class, by name."""
    defaults: Fields = {}
    for kind in reversed(type(getattr(unet, "network", unet)).__mro__):
        if "__init__" in vars(kind):
            defaults |= defaults_of(kind)
    changed = said(unet.config).items()
    return {k: v for k, v in sorted(changed) if k not in defaults or differs(v, defaults[k])}


def source_of(encoders: Iterable[nn.Module], *texts: object) -> str:
    """SHA-256 (hex) of texts and of the networks that read them, in whichever precision."""
    weights = ((f"{i}{k}", v) for i, e in enumerate(encoders) for k, v in e.state_dict().items())
    return _hash(json.dumps(texts), weights, torch.float16)


def _hash(text: str, weights: Iterable[tuple[str, Tensor]], dtype: torch.dtype) -> str:
    digest = hashlib.sha256(text.encode())
    for name, value in weights:
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().to("cpu", dtype).contiguous().numpy().tobytes())
    return digest.hexdigest()
