"""What a checkpoint holds, by its keys: a network's family, or a direction's layout."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.networks.convert.families import FAMILIES
from asyrp.storage.untrusted.tensors import open_safetensors, tensor_dicts

DIRECTIONS = {  # layout of f_t -> keys that tell it
    "ddpm direction": ("temb_proj.weight", "norm2.weight", "conv2.weight"),
    "adm direction": ("emb_layers.1.weight", "out_layers.3.weight"),
}

# a part of a key -> why such a network cannot be converted
REFUSED = {
    "cond_stage_model.": "a Stable Diffusion checkpoint in one file; make a folder of it with "
    "diffusers, StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER), or use its "
    "Hub id",
    "conditioner.embedders.": "a Stable Diffusion XL checkpoint, with inputs besides a prompt; "
    "needed: version 1.x or 2.x",
    "first_stage_model.": "a latent diffusion checkpoint in one file; make a folder of it with "
    "diffusers' convert_ldm_original_checkpoint_to_diffusers.py, or use CompVis/ldm-celebahq-256",
    ".transformer_blocks.": "a network with cross-attention (latent diffusion); use its Hub id",
    "all_modules.": "a score-SDE network, with continuous time; needed: discrete timesteps",
    "time_embedding.linear_1.": "already a diffusers network; load its folder, with config.json",
    "map_layer0.": "an EDM network, with continuous noise levels; needed: discrete timesteps",
    "low_res": "a super-resolution network; needed: one that makes images from noise alone",
}


BESIDE = {"optimizer", "scheduler"}  # what the official code saves with a direction
AVERAGED = re.compile("ema|averag|shadow|swa(?![a-z])", re.IGNORECASE)  # what an average is called
MEANS = "means"  # place of a table whose entry 0 is the mean of the others


class Detected(NamedTuple):
    """The tensors of one network or direction, prefixes removed.

    kind: the name of a family, "ddpm direction", "adm direction" or "table direction". place: where
    in the file they lay, "" for the whole of it, or MEANS.
    """

    kind: str
    tensors: dict[str, Tensor]
    place: str


def detect(content: Any, what: str) -> Detected:
    """The network or direction in a checkpoint; of several, the averaged (EMA) one.

    Args:
        content: as `read_checkpoint` gives it. what: the file's name, for errors.

    Raises:
        AsyrpError: nothing that can be converted, and what it seems to be instead.
    """
    if table := _table(content):
        return table
    found, keys = [], []
    for place, tensors in tensor_dicts(content):
        keys += list(tensors)
        kind, prefix = _kind(tensors)
        if kind:
            own = {key.removeprefix(prefix): value for key, value in tensors.items()}
            where = "/".join(part for part in (place, prefix.rstrip(".")) if part)
            found.append(Detected(kind, own, where))
    if not found:
        raise AsyrpError(f"{what} {_explained(keys)}")
    blocks = [one.place for one in found if one.kind.endswith("direction")]
    if len(blocks) > 1:
        raise AsyrpError(
            f"{what} holds {len(blocks)} delta blocks ({', '.join(blocks)}); needed: one, as the "
            "released files have; save each in a file of its own"
        )
    averaged = [one for one in found if AVERAGED.search(one.place)]
    # ermongroup's training state is a list with the averaged weights last
    is_list = all(one.place[:1].isdigit() for one in found) and len(found) > 1
    taken = (averaged or found)[-1 if is_list else 0]
    if others := [repr(one.place) for one in found if one is not taken]:
        kind = "the average over the training" if averaged or is_list else "the first"
        warnings.warn(
            f"{what} holds several networks: {taken.place!r} is taken, {kind}, and not "
            f"{', '.join(others):.300}",
            stacklevel=2,
        )
    return taken


def _table(content: Any) -> Detected | None:
    """dh by timestep: texts for `train_delta_h`, numbers for means over images; None for others.

    With `ignore_timesteps` there is only "0", and None stands at the timesteps.
    """
    if not isinstance(content, Mapping):
        return None
    entries = {key: value for key, value in content.items() if key not in BESIDE}
    if any(not str(key).isdigit() for key in entries):
        return None
    tensors = {str(key): value for key, value in entries.items() if value is not None}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        return None
    numbered = any(isinstance(key, int) for key in entries)
    detached = {key: value.detach() for key, value in tensors.items()}
    return Detected("table direction", detached, MEANS if numbered else "")


def is_original(path: Path) -> bool:
    """Whether a file is a torch checkpoint, or safetensors with the names of a family."""
    with path.open("rb") as file:
        head = file.read(2)
    if head == b"PK" or head[:1] == b"\x80":
        return True
    try:
        with open_safetensors(path) as tensors:
            names = tensors.keys()
    except (SafetensorError, OSError):
        return False
    firsts = tuple(family.signature[0] for family in FAMILIES.values())
    return any(name.endswith(firsts) for name in names)


def _kind(tensors: Mapping[str, Tensor]) -> tuple[str, str]:
    """The kind, "" for none, and what stands before its keys.

    A direction is one block of ten tensors at most; networks have blocks of the same names.
    """
    networks = {family.name: family.signature for family in FAMILIES.values()}
    for kind, (first, *rest) in (networks | DIRECTIONS).items():
        for key in tensors:
            prefix = key.removesuffix(first)
            if prefix == key or prefix[-1:] not in ("", "."):
                continue
            one_block = len(tensors) <= 10 and all(other.startswith(prefix) for other in tensors)
            if all(prefix + other in tensors for other in rest) and (kind in networks or one_block):
                return kind, prefix
    return "", ""


def _explained(keys: Sequence[str]) -> str:
    for part, reason in REFUSED.items():
        if any(part in key for key in keys):
            return f"holds {reason}"
    if any(key.endswith("input_blocks.0.0.weight") for key in keys):
        return "is of the ADM family but lacks its time embedding (time_embed.0.weight)"
    few = ", ".join(key[:100] for key in sorted(keys)[:3]) or "none"
    return (
        f"holds no network or direction of a known family (tensors: {few}, {len(keys)} in all); "
        "needed: DDPM (temb.dense.*, down.*) or ADM (time_embed.*, input_blocks.*)"
    )
