"""Random networks under original key names, laid out as the original constructors do it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

State = dict[str, Tensor]


@dataclass(frozen=True)
class Ddpm:
    """Hyper-parameters of a DDPM network."""

    channels: int = 32
    mult: Sequence[int] = (1, 2)
    blocks: int = 1
    attends: Sequence[bool] = (False, True)
    inside: int = 3
    outside: int = 3


@dataclass(frozen=True)
class Adm:
    """Hyper-parameters of an ADM or iDDPM network, as far as they set shapes."""

    channels: int = 32
    mult: Sequence[int] = (1, 2)
    blocks: int = 1
    attends: Sequence[bool] = (False, True)
    inside: int = 3
    outside: int = 6
    scale_shift: bool = True
    updown: bool = True
    classes: int | None = None


class Draw:
    """Collects random tensors by name."""

    def __init__(self, seed: int):
        self.state: State = {}
        self.generator = torch.Generator().manual_seed(seed)

    def layer(self, name: str, outside: int, inside: int, *kernel: int) -> None:
        """A convolution or a matrix."""
        scale = 1 / math.sqrt(inside * math.prod(kernel))
        self.state[f"{name}.weight"] = scale * self._normal(outside, inside, *kernel)
        self.state[f"{name}.bias"] = 0.1 * self._normal(outside)

    def norm(self, name: str, channels: int) -> None:
        """A normalisation."""
        self.state[f"{name}.weight"] = 1 + 0.1 * self._normal(channels)
        self.state[f"{name}.bias"] = 0.1 * self._normal(channels)

    def table(self, name: str, rows: int, columns: int) -> None:
        """An embedding."""
        self.state[f"{name}.weight"] = self._normal(rows, columns)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)


def ddpm_weights(net: Ddpm, seed: int = 0) -> State:
    """A DDPM network."""
    draw, ch = Draw(seed), net.channels
    emb = 4 * ch
    draw.layer("temb.dense.0", emb, ch)
    draw.layer("temb.dense.1", emb, emb)
    draw.layer("conv_in", ch, net.inside, 3, 3)
    widths = [ch * m for m in net.mult]
    skips, now = [ch], ch
    for i, width in enumerate(widths):
        for j in range(net.blocks):
            _ddpm_resnet(draw, f"down.{i}.block.{j}", now, width, emb)
            now = width
            if net.attends[i]:
                _ddpm_attention(draw, f"down.{i}.attn.{j}", now)
            skips.append(now)
        if i < len(widths) - 1:
            draw.layer(f"down.{i}.downsample.conv", now, now, 3, 3)
            skips.append(now)
    _ddpm_resnet(draw, "mid.block_1", now, now, emb)
    _ddpm_attention(draw, "mid.attn_1", now)
    _ddpm_resnet(draw, "mid.block_2", now, now, emb)
    for i in reversed(range(len(widths))):
        for j in range(net.blocks + 1):
            _ddpm_resnet(draw, f"up.{i}.block.{j}", now + skips.pop(), widths[i], emb)
            now = widths[i]
            if net.attends[i]:
                _ddpm_attention(draw, f"up.{i}.attn.{j}", now)
        if i:
            draw.layer(f"up.{i}.upsample.conv", now, now, 3, 3)
    draw.norm("norm_out", now)
    draw.layer("conv_out", net.outside, now, 3, 3)
    return draw.state


def _ddpm_resnet(draw: Draw, name: str, inside: int, outside: int, emb: int) -> None:
    draw.norm(f"{name}.norm1", inside)
    draw.layer(f"{name}.conv1", outside, inside, 3, 3)
    draw.layer(f"{name}.temb_proj", outside, emb)
    draw.norm(f"{name}.norm2", outside)
    draw.layer(f"{name}.conv2", outside, outside, 3, 3)
    if inside != outside:
        draw.layer(f"{name}.nin_shortcut", outside, inside, 1, 1)


def _ddpm_attention(draw: Draw, name: str, channels: int) -> None:
    draw.norm(f"{name}.norm", channels)
    for part in ("q", "k", "v", "proj_out"):
        draw.layer(f"{name}.{part}", channels, channels, 1, 1)


def adm_weights(net: Adm, seed: int = 0) -> State:
    """An ADM network."""
    draw, ch = Draw(seed), net.channels
    emb = 4 * ch
    draw.layer("time_embed.0", emb, ch)
    draw.layer("time_embed.2", emb, emb)
    if net.classes is not None:
        draw.table("label_emb", net.classes, emb)
    draw.layer("input_blocks.0.0", ch, net.inside, 3, 3)
    skips = _adm_down(draw, net, emb)
    now = skips[-1]
    _adm_resnet(draw, "middle_block.0", now, now, emb, net)
    _adm_attention(draw, "middle_block.1", now)
    _adm_resnet(draw, "middle_block.2", now, now, emb, net)
    k = 0
    for i in reversed(range(len(net.mult))):
        for j in range(net.blocks + 1):
            name, width = f"output_blocks.{k}", ch * net.mult[i]
            _adm_resnet(draw, f"{name}.0", now + skips.pop(), width, emb, net)
            now, last = width, 1
            if net.attends[i]:
                _adm_attention(draw, f"{name}.1", now)
                last = 2
            if i and j == net.blocks:
                _adm_sampler(draw, f"{name}.{last}", "conv", now, emb, net)
            k += 1
    draw.norm("out.0", now)
    draw.layer("out.2", net.outside, now, 3, 3)
    return draw.state


def _adm_down(draw: Draw, net: Adm, emb: int) -> list[int]:
    """The encoder; channels of every skip."""
    now, k = net.channels, 1
    skips = [now]
    for i, m in enumerate(net.mult):
        for _ in range(net.blocks):
            _adm_resnet(draw, f"input_blocks.{k}.0", now, net.channels * m, emb, net)
            now = net.channels * m
            if net.attends[i]:
                _adm_attention(draw, f"input_blocks.{k}.1", now)
            skips.append(now)
            k += 1
        if i < len(net.mult) - 1:
            _adm_sampler(draw, f"input_blocks.{k}.0", "op", now, emb, net)
            skips.append(now)
            k += 1
    return skips


def _adm_sampler(draw: Draw, name: str, leaf: str, now: int, emb: int, net: Adm) -> None:
    if net.updown:
        _adm_resnet(draw, name, now, now, emb, net)
    else:
        draw.layer(f"{name}.{leaf}", now, now, 3, 3)


def _adm_resnet(draw: Draw, name: str, inside: int, outside: int, emb: int, net: Adm) -> None:
    draw.norm(f"{name}.in_layers.0", inside)
    draw.layer(f"{name}.in_layers.2", outside, inside, 3, 3)
    draw.layer(f"{name}.emb_layers.1", outside * (2 if net.scale_shift else 1), emb)
    draw.norm(f"{name}.out_layers.0", outside)
    draw.layer(f"{name}.out_layers.3", outside, outside, 3, 3)
    if inside != outside:
        draw.layer(f"{name}.skip_connection", outside, inside, 1, 1)


def _adm_attention(draw: Draw, name: str, channels: int) -> None:
    draw.norm(f"{name}.norm", channels)
    draw.layer(f"{name}.qkv", 3 * channels, channels, 1)
    draw.layer(f"{name}.proj_out", channels, channels, 1)
