"""ADM checkpoints: guided-diffusion, improved-diffusion, P2-weighting, ILVR.

Attention keeps q, k and v in one matrix. Its rows are ordered (head, [q, k, v], channel) in
improved-diffusion and, by default, in guided-diffusion; ([q, k, v], head, channel) in
guided-diffusion's new order. diffusers wants three matrices with rows (head, channel).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.networks.convert import reference_adm
from asyrp.networks.convert.structure import (
    Family,
    Module,
    Resample,
    Structure,
    Weights,
    check,
    columns,
    count,
    has,
    rows,
)

ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
    "label_emb": "class_embedding",
}
LAYER = {"": ""}
RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
ATTENTION = {"norm": "group_norm", "qkv": "qkv", "proj_out": "to_out.0"}
IMPROVED = ("iddpm", "improved-diffusion", "improved_diffusion")


def structure_of(weights: Weights) -> Structure:
    """What keys and shapes tell; AsyrpError where keys lack or diffusers has no such network."""
    levels, blocks = _sizes(weights)
    samplers = _samplers(weights)
    resample: Resample = "conv" if samplers or levels == 1 else "none"  # conv_resample off
    if any("out_layers" in key for key in samplers):
        resample = "resnet"
    first = [f"input_blocks.{1 + i * (blocks + 1)}" for i in range(levels)]
    widths = tuple(rows(weights, f"{name}.0.out_layers.3.weight") for name in first)
    found = Structure(
        family="adm",
        widths=widths,
        attends=tuple(has(weights, f"{name}.1.qkv.") for name in first),
        blocks=blocks,
        in_channels=columns(weights, "input_blocks.0.0.weight"),
        out_channels=rows(weights, "out.2.weight"),
        emb_channels=rows(weights, "time_embed.2.weight"),
        resample=resample,
        scale_shift=rows(weights, f"{first[0]}.0.emb_layers.1.weight") == 2 * widths[0],
        classes=rows(weights, "label_emb.weight") if "label_emb.weight" in weights else None,
    )
    sinusoid = columns(weights, "time_embed.0.weight")
    return check(found, sinusoid, rows(weights, "input_blocks.0.0.weight"), conditioned=(6,))


def _sizes(weights: Weights) -> tuple[int, int]:
    """Levels, and resnets of a level on the way down."""
    if not has(weights, "middle_block."):
        raise AsyrpError(
            "h-space is the output of the mid block, and this network has none (middle_block.)"
        )
    outputs = count(weights, r"output_blocks\.")
    if not outputs:
        raise AsyrpError("this network has no decoder (output_blocks.): it is a classifier")
    gaps = [k for k in range(outputs) if not has(weights, f"input_blocks.{k}.")]
    growing = {key.split(".")[1] for key in _samplers(weights)}
    levels = 1 + len(growing or gaps)
    blocks = outputs // levels - 1
    if gaps and (growing or gaps != [i * (blocks + 1) for i in range(1, levels)]):
        raise AsyrpError(
            f"the checkpoint lacks all of input_blocks.{gaps[0]}; download it again, or name the "
            "right file"
        )
    if outputs % levels or outputs < 2 * levels:
        raise AsyrpError(
            f"{outputs} output_blocks do not divide into {levels} levels: keys are missing, or "
            "levels have different numbers of blocks, which UNet2DModel does not have"
        )
    return levels, blocks


def _samplers(weights: Weights) -> list[str]:
    """Keys of the upsamplers: the last module of an output block, neither resnet nor attention."""
    parts = [(key, key.split(".")) for key in weights if key.startswith("output_blocks.")]
    return [key for key, p in parts if p[2] != "0" and p[3] in ("conv", "in_layers", "out_layers")]


def modules(structure: Structure) -> Iterator[Module]:
    """Every module that such a network may have, with its place in diffusers."""
    for original, target in ENDS.items():
        yield Module(original, target, LAYER)
    yield from _down(structure)
    yield Module("middle_block.0", "mid_block.resnets.0", RESNET)
    yield Module("middle_block.1", "mid_block.attentions.0", ATTENTION)
    yield Module("middle_block.2", "mid_block.resnets.1", RESNET)
    yield from _up(structure)


def _down(structure: Structure) -> Iterator[Module]:
    k = 1
    for level, attends in enumerate(structure.attends):
        for j in range(structure.blocks):
            yield Module(f"input_blocks.{k}.0", f"down_blocks.{level}.resnets.{j}", RESNET)
            if attends:
                target = f"down_blocks.{level}.attentions.{j}"
                yield Module(f"input_blocks.{k}.1", target, ATTENTION)
            k += 1
        target = f"down_blocks.{level}.downsamplers.0"
        if structure.resample == "resnet":
            yield Module(f"input_blocks.{k}.0", target, RESNET)
        else:
            yield Module(f"input_blocks.{k}.0.op", f"{target}.conv", LAYER)
        k += 1


def _up(structure: Structure) -> Iterator[Module]:
    k = 0
    for block, attends in enumerate(reversed(structure.attends)):
        for j in range(structure.blocks + 1):
            yield Module(f"output_blocks.{k}.0", f"up_blocks.{block}.resnets.{j}", RESNET)
            if attends:
                yield Module(f"output_blocks.{k}.1", f"up_blocks.{block}.attentions.{j}", ATTENTION)
            k += 1
        original, target = f"output_blocks.{k - 1}.{1 + attends}", f"up_blocks.{block}.upsamplers.0"
        if structure.resample == "resnet":
            yield Module(original, target, RESNET)
        else:
            yield Module(f"{original}.conv", f"{target}.conv", LAYER)


def to_diffusers(renamed: Weights, heads: Mapping[str, int], new_order: bool) -> dict[str, Tensor]:
    """q, k and v apart, and the 1x1 convolutions of attention as matrices.

    Args:
        heads: of each attention layer, by its name in diffusers.
    """
    state = {}
    for key, value in renamed.items():
        value = value[:, :, 0] if ".attentions." in key and value.ndim == 3 else value
        layer, joined, kind = key.partition(".qkv.")
        if not joined:
            state[key] = value
            continue
        for name, part in zip("qkv", split(value, heads[layer], new_order), strict=True):
            state[f"{layer}.to_{name}.{kind}"] = part
    return state


def to_original(state: Weights, heads: Mapping[str, int], new_order: bool) -> dict[str, Tensor]:
    """q, k and v joined and matrices as 1x1 convolutions, still under diffusers' names."""
    renamed = {}
    for key, value in state.items():
        layer, _, rest = key.partition(".to_")
        if ".attentions." not in key or rest[:1] not in ("q", "k", "v"):
            renamed[key] = value
        elif rest[0] == "q":
            kind = rest[2:]
            parts = [state[f"{layer}.to_{name}.{kind}"] for name in "qkv"]
            renamed[f"{layer}.qkv.{kind}"] = join(parts, heads[layer], new_order)
    return {
        key: value[:, :, None] if ".attentions." in key and value.ndim == 2 else value
        for key, value in renamed.items()
    }


def split(qkv: Tensor, heads: int, new_order: bool) -> tuple[Tensor, ...]:
    """(3 c, ...) -> q, k and v, each (c, ...) with rows (head, channel)."""
    if new_order:
        return qkv.chunk(3)
    by_head = qkv.reshape(heads, 3, -1, *qkv.shape[1:])
    return tuple(part.reshape(-1, *qkv.shape[1:]) for part in by_head.unbind(1))


def join(parts: list[Tensor], heads: int, new_order: bool) -> Tensor:
    """The inverse of `split`."""
    if new_order:
        return torch.cat(parts)
    by_head = [part.reshape(heads, -1, *part.shape[1:]) for part in parts]
    return torch.stack(by_head, dim=1).reshape(-1, *parts[0].shape[1:])


def forward(
    weights: Weights, resolved: Any, x: Tensor, t: Tensor, labels: Tensor | None
) -> tuple[Tensor, Tensor]:
    """See `reference_adm`."""
    how = (resolved.heads_at, resolved.new_order, resolved.time_scale)
    return reference_adm.forward(reference_adm.Net(weights, *how), x, t, labels)


ADM = Family(
    name="adm",
    aliases=("adm", *IMPROVED, "guided-diffusion", "p2", "ilvr"),
    signature=("time_embed.0.weight", "input_blocks.0.0.weight"),
    constants={
        "norm_eps": 1e-5,
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "attn_norm_num_groups": 32,
    },
    structure_of=structure_of,
    modules=modules,
    to_diffusers=to_diffusers,
    to_original=to_original,
    forward=forward,
    openai=True,
)
