"""A diffusers network from a structure and its hyper-parameters, and the way back."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import UNet2DModel

from asyrp.errors import AsyrpError
from asyrp.networks.convert.families import FAMILIES, family_of
from asyrp.networks.convert.hyperparameters import Resolved
from asyrp.networks.convert.structure import Resample, Structure
from asyrp.networks.original_unet import OriginalUNet2DModel
from asyrp.storage.config_fields import defaults_of


def unet_config(structure: Structure, resolved: Resolved) -> dict[str, Any]:
    """The arguments of `UNet2DModel`; of `OriginalUNet2DModel` where it has to be that."""
    resnet = structure.resample == "resnet"
    down = "ResnetDownsampleBlock2D" if resnet else "DownBlock2D"
    up = "ResnetUpsampleBlock2D" if resnet else "UpBlock2D"
    emb = structure.emb_channels
    return {
        "sample_size": resolved.image_size,
        "in_channels": structure.in_channels,
        "out_channels": structure.out_channels,
        "layers_per_block": structure.blocks,
        "block_out_channels": structure.widths,
        "down_block_types": [("AttnDownBlock2D" if a else down) for a in structure.attends],
        "up_block_types": [("AttnUpBlock2D" if a else up) for a in reversed(structure.attends)],
        "time_embedding_dim": None if emb == 4 * structure.widths[0] else emb,
        "norm_num_groups": 32,
        "act_fn": "silu",
        "resnet_time_scale_shift": "scale_shift" if structure.scale_shift else "default",
        "downsample_type": "resnet" if resnet else "conv",
        "upsample_type": "resnet" if resnet else "conv",
        "num_class_embeds": structure.classes,
        **family_of(structure).constants,
        **_attention(structure, resolved),
    }


def _attention(structure: Structure, resolved: Resolved) -> dict[str, Any]:
    """One number of channels a head where all levels agree on it, else one a level.

    One a level too where the network needs `OriginalUNet2DModel` for another reason.
    """
    used = structure.attention_widths
    down = {width: width // resolved.heads_at(width, up=False) for width in used}
    up = {width: width // resolved.heads_at(width, up=True) for width in used[:-1]}
    every = {*down.values(), *up.values()}
    single = all(dim == width for dims in (down, up) for width, dim in dims.items())
    plain = resolved.time_scale == 1.0 and structure.resample != "none"
    if plain and (single or len(every) == 1):
        return {"attention_head_dim": None if single else every.pop()}
    return {
        "attention_head_dim": [down.get(width) for width in structure.widths],
        "up_attention_head_dim": [up.get(width) for width in structure.widths],
        "time_scale": resolved.time_scale,
        "conv_resample": structure.resample != "none",
    }


def new_unet(config: Mapping[str, Any]) -> UNet2DModel:
    """A network of a config, on the device of the context (meta for its shapes alone)."""
    listed = isinstance(config.get("attention_head_dim"), list | tuple)
    kind = OriginalUNet2DModel if listed else UNet2DModel
    known = defaults_of(kind)  # an older diffusers has fewer fields
    return kind(**{k: v for k, v in config.items() if v is not None or k in known})


def unet_shapes(config: Mapping[str, Any]) -> dict[str, torch.Size]:
    """Names and shapes of a network's tensors, without making them."""
    with torch.device("meta"):
        return {key: value.shape for key, value in new_unet(config).state_dict().items()}


def head_counts(config: Mapping[str, Any]) -> dict[str, int]:
    """Heads of every attention layer, by its name."""
    with torch.device("meta"):
        layers = new_unet(config).named_modules()
        return {name: int(layer.heads) for name, layer in layers if hasattr(layer, "to_q")}


def structure_of_config(config: Mapping[str, Any]) -> Structure:
    """The structure of a diffusers network; AsyrpError for one that neither family has."""
    families = FAMILIES.values()
    family = next((one for one in families if _fits(config, one.constants)), None)
    types = [*config["down_block_types"], *config["up_block_types"]]
    if family is None or config.get("time_embedding_type", "positional") != "positional":
        raise AsyrpError(
            "this network has no original form: needed the sinusoid, norm_eps and padding of the "
            "DDPM or ADM family; networks that diffusers trained itself have others"
        )
    groups, kinds = config.get("norm_num_groups"), {kind[:4] for kind in types}
    if not kinds <= {"Attn", "Down", "UpBl", "Resn"} or groups != 32:
        raise AsyrpError(
            "this network has no original form: needed plain, attention or resnet blocks and 32 "
            f"groups of normalisation; it has {', '.join(types)} and {groups} groups"
        )
    widths = tuple(config["block_out_channels"])
    all_attend = kinds == {"Attn"} and config.get("downsample_type") == "resnet"
    resample: Resample = "resnet" if "Resn" in kinds or all_attend else "conv"
    return Structure(
        family=family.name,
        widths=widths,
        attends=tuple(kind.startswith("Attn") for kind in config["down_block_types"]),
        blocks=config["layers_per_block"],
        in_channels=config["in_channels"],
        out_channels=config["out_channels"],
        emb_channels=config.get("time_embedding_dim") or 4 * widths[0],
        resample=resample if config.get("conv_resample", True) else "none",
        scale_shift=config.get("resnet_time_scale_shift") == "scale_shift",
        classes=config.get("num_class_embeds"),
    )


def _fits(config: Mapping[str, Any], fixed: Mapping[str, Any]) -> bool:
    """Whether a config has a family's constants; the padding of resnet resampling is not used."""
    usual = {"norm_eps": 1e-5, "downsample_padding": 1, "flip_sin_to_cos": True, "freq_shift": 0}
    return all(config.get(name, value) == fixed[name] for name, value in usual.items())
