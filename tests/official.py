"""The official fixtures as our own objects: original key names -> UNet2DModel and f_t."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from diffusers import UNet2DModel
from safetensors.torch import load_file
from torch import Tensor

from asyrp.method.directions import ImplicitDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import linear

Weights = Mapping[str, Tensor]
Renamed = Iterator[tuple[str, str]]

DDPM_RESNET = {"temb_proj": "time_emb_proj", "nin_shortcut": "conv_shortcut"}
DDPM_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}
ADM_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
ADM_ATTENTION = {"norm": "group_norm", "proj_out": "to_out.0"}
ADM_ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
DDPM_F = {"conv1": "conv_in", "temb_proj": "time_proj", "norm2": "norm_out", "conv2": "conv_out"}
ADM_F = {
    "in_layers.0": "norm_in",
    "in_layers.2": "conv_in",
    "emb_layers.1": "time_proj",
    "out_layers.0": "norm_out",
    "out_layers.3": "conv_out",
}


class Official(NamedTuple):
    """A network of the official code, its f_t, and what the official code computed with them."""

    model: HSpaceUNet
    direction: ImplicitDirection
    expected: Weights
    layout: str


def load(folder: Path, name: str) -> Official:
    """The fixture `name` (ddpm, adm or iddpm)."""
    settings = json.loads((folder / f"{name}.json").read_text())
    layout = "ddpm" if settings["family"] == "ddpm" else "adm"
    unet = ddpm_unet(settings) if layout == "ddpm" else adm_unet(settings)
    rename = renamed_ddpm if layout == "ddpm" else renamed_adm
    weights = load_file(folder / f"{name}.unet.safetensors")
    unet.load_state_dict(rename(weights, settings), strict=True)
    f_t = direction(load_file(folder / f"{name}.direction.safetensors"), layout)
    expected = load_file(folder / f"{name}.expected.safetensors")
    return Official(HSpaceUNet(unet, linear()), f_t, expected, layout)


def direction(weights: Weights, layout: str) -> ImplicitDirection:
    """f_t from the official delta block."""
    names = DDPM_F if layout == "ddpm" else ADM_F
    state = {_swapped(key, names): value for key, value in weights.items()}
    emb_to_channels = state["time_proj.weight"]
    made = ImplicitDirection(emb_to_channels.shape[0], emb_to_channels.shape[1], layout)
    made.load_state_dict(state, strict=True)
    return made


def ddpm_unet(settings: Mapping[str, Any]) -> UNet2DModel:
    """DDPM: convolutions resample, one attention head, sinusoid [sin, cos]."""
    down = ["AttnDownBlock2D" if a else "DownBlock2D" for a in _attends(settings)]
    up = ["AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(_attends(settings))]
    return UNet2DModel(
        **_common(settings, down, up),
        attention_head_dim=None,
        norm_eps=1e-6,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
    )


def adm_unet(settings: Mapping[str, Any]) -> UNet2DModel:
    """ADM and iDDPM: resnets resample, scale-shift norm, sinusoid [cos, sin]."""
    attends = _attends(settings)
    down = ["AttnDownBlock2D" if a else "ResnetDownsampleBlock2D" for a in attends]
    up = ["AttnUpBlock2D" if a else "ResnetUpsampleBlock2D" for a in reversed(attends)]
    return UNet2DModel(
        **_common(settings, down, up),
        attention_head_dim=settings["head_channels"],
        attn_norm_num_groups=32,
        norm_eps=1e-5,
        resnet_time_scale_shift="scale_shift",
        downsample_type="resnet",
        upsample_type="resnet",
        flip_sin_to_cos=True,
        freq_shift=0,
    )


def _common(settings: Mapping[str, Any], down: list[str], up: list[str]) -> dict[str, Any]:
    widths = tuple(settings["channels"] * m for m in settings["channel_mult"])
    return {
        "sample_size": settings["image_size"],
        "out_channels": 6 if settings["learned_sigma"] else 3,
        "layers_per_block": settings["res_blocks"],
        "block_out_channels": widths,
        "down_block_types": tuple(down),
        "up_block_types": tuple(up),
        "norm_num_groups": 32,
    }


def _attends(settings: Mapping[str, Any]) -> list[bool]:
    sizes = [settings["image_size"] // 2**i for i in range(len(settings["channel_mult"]))]
    return [size in settings["attention_resolutions"] for size in sizes]


def renamed_ddpm(weights: Weights, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Keys of DDPM -> keys of diffusers; the 1x1 convolutions of attention become matrices."""
    state = {}
    for key, value in weights.items():
        name = _ddpm_name(key, len(settings["channel_mult"]))
        matrix = ".attentions." in name and value.dim() == 4
        state[name] = value[:, :, 0, 0] if matrix else value
    return state


def _ddpm_name(key: str, levels: int) -> str:
    parts = key.split(".")
    if parts[0] == "temb":
        return f"time_embedding.linear_{int(parts[2]) + 1}.{parts[3]}"
    if parts[0] == "norm_out":
        return f"conv_norm_out.{parts[1]}"
    if parts[0] == "mid":
        kind, index = parts[1].split("_")
        return _ddpm_layer("mid_block", kind, int(index) - 1, parts[2:])
    if parts[0] == "down":
        return _ddpm_layer(f"down_blocks.{parts[1]}", parts[2], parts[3], parts[4:])
    if parts[0] == "up":
        block = f"up_blocks.{levels - 1 - int(parts[1])}"
        return _ddpm_layer(block, parts[2], parts[3], parts[4:])
    return key


def _ddpm_layer(block: str, kind: str, index: int | str, rest: list[str]) -> str:
    if kind == "block":
        return f"{block}.resnets.{index}.{DDPM_RESNET.get(rest[0], rest[0])}.{rest[1]}"
    if kind == "attn":
        return f"{block}.attentions.{index}.{DDPM_ATTENTION[rest[0]]}.{rest[1]}"
    return f"{block}.{kind}rs.0.{index}.{rest[0]}"


def renamed_adm(weights: Weights, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Keys of ADM -> keys of diffusers; qkv in legacy order is split head by head."""
    levels, count = len(settings["channel_mult"]), settings["res_blocks"]
    state: dict[str, Tensor] = {}
    for old, new in ADM_ENDS.items():
        state |= {f"{new}.{kind}": weights[f"{old}.{kind}"] for kind in ("weight", "bias")}
    for old, new in [*_adm_down(levels, count), *_adm_middle(), *_adm_up(weights, levels, count)]:
        own = {k[len(old) + 1 :]: v for k, v in weights.items() if k.startswith(f"{old}.")}
        make = _adm_attention if "attentions" in new else _adm_resnet
        state |= {f"{new}.{k}": v for k, v in make(own, settings["head_channels"]).items()}
    return state


def _adm_down(levels: int, count: int) -> Renamed:
    k = 1
    for level in range(levels):
        for j in range(count):
            yield f"input_blocks.{k}.0", f"down_blocks.{level}.resnets.{j}"
            yield f"input_blocks.{k}.1", f"down_blocks.{level}.attentions.{j}"
            k += 1
        yield f"input_blocks.{k}.0", f"down_blocks.{level}.downsamplers.0"
        k += 1


def _adm_middle() -> Renamed:
    yield "middle_block.0", "mid_block.resnets.0"
    yield "middle_block.1", "mid_block.attentions.0"
    yield "middle_block.2", "mid_block.resnets.1"


def _adm_up(weights: Weights, levels: int, count: int) -> Renamed:
    for k in range(levels * (count + 1)):
        block, j = divmod(k, count + 1)
        yield f"output_blocks.{k}.0", f"up_blocks.{block}.resnets.{j}"
        attention = f"output_blocks.{k}.1.qkv.weight" in weights
        if attention:
            yield f"output_blocks.{k}.1", f"up_blocks.{block}.attentions.{j}"
        if j == count:
            yield f"output_blocks.{k}.{1 + attention}", f"up_blocks.{block}.upsamplers.0"


def _adm_resnet(own: Weights, head_channels: int) -> dict[str, Tensor]:
    return {_swapped(key, ADM_RESNET): value for key, value in own.items()}


def _adm_attention(own: Weights, head_channels: int) -> dict[str, Tensor]:
    state = {}
    for key, value in own.items():
        value = value[:, :, 0] if value.dim() == 3 else value
        if not key.startswith("qkv"):
            state[_swapped(key, ADM_ATTENTION)] = value
            continue
        rows = value.reshape(-1, 3, head_channels, *value.shape[1:])  # (head, qkv, row, ...)
        for part, kind in zip(rows.unbind(1), "qkv", strict=True):
            state[f"to_{kind}.{key.split('.')[1]}"] = part.reshape(-1, *value.shape[1:])
    return state


def _swapped(key: str, names: Mapping[str, str]) -> str:
    place, _, kind = key.rpartition(".")
    return f"{names[place]}.{kind}"
