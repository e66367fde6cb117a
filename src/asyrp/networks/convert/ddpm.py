"""DDPM checkpoints (Ho et al. 2020, in pesser's, ermongroup's and SDEdit's PyTorch names)."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.networks.convert import reference_ddpm
from asyrp.networks.convert.structure import (
    Family,
    Module,
    Structure,
    Weights,
    check,
    columns,
    count,
    has,
    rows,
)

ENDS = {
    "temb.dense.0": "time_embedding.linear_1",
    "temb.dense.1": "time_embedding.linear_2",
    "conv_in": "conv_in",
    "norm_out": "conv_norm_out",
    "conv_out": "conv_out",
}
LAYER = {"": ""}
RESNET = {
    "norm1": "norm1",
    "conv1": "conv1",
    "temb_proj": "time_emb_proj",
    "norm2": "norm2",
    "conv2": "conv2",
    "nin_shortcut": "conv_shortcut",
}
ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}


def structure_of(weights: Weights) -> Structure:
    """What keys and shapes tell; AsyrpError where keys lack or diffusers has no such network."""
    if not has(weights, "mid."):
        raise AsyrpError("h-space is the output of the mid block, and this network has none (mid.)")
    levels, blocks = count(weights, r"down\."), count(weights, r"down\.0\.block\.")
    learned = levels == 1 or any("sample.conv." in key for key in weights)  # resamp_with_conv
    found = Structure(
        family="ddpm",
        widths=tuple(rows(weights, f"down.{i}.block.0.conv1.weight") for i in range(levels)),
        attends=tuple(has(weights, f"down.{i}.attn.", f"up.{i}.attn.") for i in range(levels)),
        blocks=blocks,
        in_channels=columns(weights, "conv_in.weight"),
        out_channels=rows(weights, "conv_out.weight"),
        emb_channels=rows(weights, "temb.dense.1.weight"),
        resample="conv" if learned else "none",
    )
    sinusoid = columns(weights, "temb.dense.0.weight")
    return check(found, sinusoid, rows(weights, "conv_in.weight"))


def modules(structure: Structure) -> Iterator[Module]:
    """Every module that such a network may have, with its place in diffusers."""
    for original, target in ENDS.items():
        yield Module(original, target, LAYER)
    for i in range(structure.levels):
        yield from _level(f"down.{i}", f"down_blocks.{i}", structure.blocks, "downsample")
        up = f"up_blocks.{structure.levels - 1 - i}"
        yield from _level(f"up.{i}", up, structure.blocks + 1, "upsample")
    yield Module("mid.block_1", "mid_block.resnets.0", RESNET)
    yield Module("mid.attn_1", "mid_block.attentions.0", ATTENTION)
    yield Module("mid.block_2", "mid_block.resnets.1", RESNET)


def _level(original: str, target: str, blocks: int, resample: str) -> Iterator[Module]:
    for j in range(blocks):
        yield Module(f"{original}.block.{j}", f"{target}.resnets.{j}", RESNET)
        yield Module(f"{original}.attn.{j}", f"{target}.attentions.{j}", ATTENTION)
    yield Module(f"{original}.{resample}.conv", f"{target}.{resample}rs.0.conv", LAYER)


def to_diffusers(renamed: Weights, heads: Mapping[str, int], new_order: bool) -> dict[str, Tensor]:
    """The 1x1 convolutions of attention as matrices."""
    return {
        key: value[:, :, 0, 0] if ".attentions." in key and value.ndim == 4 else value
        for key, value in renamed.items()
    }


def to_original(state: Weights, heads: Mapping[str, int], new_order: bool) -> dict[str, Tensor]:
    """The matrices of attention as 1x1 convolutions, still under diffusers' names."""
    return {
        key: value[:, :, None, None] if ".attentions." in key and value.ndim == 2 else value
        for key, value in state.items()
    }


DDPM = Family(
    name="ddpm",
    aliases=("ddpm", "ddim", "sdedit", "pesser"),
    signature=("temb.dense.0.weight", "down.0.block.0.conv1.weight"),
    constants={
        "norm_eps": 1e-6,
        "downsample_padding": 0,  # diffusers then pads right and below alone, as DDPM does
        "flip_sin_to_cos": False,
        "freq_shift": 1,
    },
    structure_of=structure_of,
    modules=modules,
    to_diffusers=to_diffusers,
    to_original=to_original,
    forward=lambda weights, resolved, x, t, labels: reference_ddpm.forward(weights, x, t),
)
