"""The ADM U-Net on its own state dict: a second formulation, to prove a conversion with.

Written from guided-diffusion and improved-diffusion (Dhariwal and Nichol 2021; Nichol and Dhariwal
2021). It walks the keys and shares nothing with the converter or with diffusers.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Weights = Mapping[str, Tensor]
HeadsAt = Callable[[int, bool], int]


class Net(NamedTuple):
    """A network as the original code holds it.

    weights: under the original names. heads_at: heads for (channels, on the way up).
    new_order: rows of qkv are ([q, k, v], head, channel). time_scale: factor on timesteps.
    """

    weights: Weights
    heads_at: HeadsAt
    new_order: bool = False
    time_scale: float = 1.0


def forward(
    net: Net, x: Tensor, t: Tensor, class_labels: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(output of the mid block, output of the network).

    Args:
        x: (b, c, height, width). t: (b,). class_labels: (b,), for class-conditional networks.
    """
    emb = _time(net, t)
    if class_labels is not None:
        emb = emb + net.weights["label_emb.weight"][class_labels]
    count = sum(bool(re.match(r"output_blocks\.\d+\.0\.in_layers\.0\.w", k)) for k in net.weights)
    growers = _growers(net.weights, count)
    stack = [conv(net.weights, "input_blocks.0.0", x)]
    for k in range(1, count):
        name = f"input_blocks.{k}"
        if count - 1 - k in growers:  # the way down mirrors the way up
            stack.append(_down(net, name, stack[-1], emb))
        else:
            h = _resnet(net, f"{name}.0", stack[-1], emb)
            stack.append(_attend_if_there(net, f"{name}.1", h, up=False))
    h = _resnet(net, "middle_block.0", stack[-1], emb)
    h = _attend_if_there(net, "middle_block.1", h, up=False)
    bottleneck = h = _resnet(net, "middle_block.2", h, emb)
    for k in range(count):
        h = torch.cat([h, stack.pop()], dim=1)
        h = _resnet(net, f"output_blocks.{k}.0", h, emb)
        h = _attend_if_there(net, f"output_blocks.{k}.1", h, up=True)
        if k in growers:
            h = _up(net, growers[k], h, emb)
    return bottleneck, conv(net.weights, "out.2", functional.silu(_norm(net, "out.0", h)))


def _growers(weights: Weights, count: int) -> dict[int, str | None]:
    """Output blocks that enlarge -> their upsampler; None where they only repeat, as the block
    that mirrors them only averages and has no weights."""
    found: dict[int, str | None] = {}
    for k in range(count):
        places = (f"output_blocks.{k}.1", f"output_blocks.{k}.2")
        kinds = ("conv.weight", "in_layers.0.weight")
        place = next((p for p in places if any(f"{p}.{kind}" in weights for kind in kinds)), None)
        if place or not _has(weights, f"input_blocks.{count - 1 - k}"):
            found[k] = place
    return found


def _has(weights: Weights, name: str) -> bool:
    return any(key.startswith(f"{name}.") for key in weights)


def _down(net: Net, name: str, x: Tensor, emb: Tensor) -> Tensor:
    if not _has(net.weights, name):
        return functional.avg_pool2d(x, 2)
    if f"{name}.0.op.weight" in net.weights:
        return conv(net.weights, f"{name}.0.op", x, stride=2)
    return _resnet(net, f"{name}.0", x, emb, lambda image: functional.avg_pool2d(image, 2))


def _up(net: Net, place: str | None, x: Tensor, emb: Tensor) -> Tensor:
    def double(image: Tensor) -> Tensor:
        return image.repeat_interleave(2, 2).repeat_interleave(2, 3)

    if place is None:
        return double(x)
    if f"{place}.conv.weight" in net.weights:
        return conv(net.weights, f"{place}.conv", double(x))
    return _resnet(net, place, x, emb, double)


def _time(net: Net, t: Tensor) -> Tensor:
    first = net.weights["time_embed.0.weight"]
    half = first.shape[1] // 2
    rates = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angles = (t.float() * net.time_scale)[:, None] * rates[None]
    emb = torch.cat([angles.cos(), angles.sin()], dim=-1).to(first.dtype)
    hidden = functional.silu(linear(net.weights, "time_embed.0", emb))
    return linear(net.weights, "time_embed.2", hidden)


def _resnet(
    net: Net, name: str, x: Tensor, emb: Tensor, resize: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    h = functional.silu(_norm(net, f"{name}.in_layers.0", x))
    if resize is not None:
        h, x = resize(h), resize(x)
    h = conv(net.weights, f"{name}.in_layers.2", h)
    shift = linear(net.weights, f"{name}.emb_layers.1", functional.silu(emb))[..., None, None]
    if shift.shape[1] == 2 * h.shape[1]:
        scale, shift = shift[:, : h.shape[1]], shift[:, h.shape[1] :]
        h = _norm(net, f"{name}.out_layers.0", h) * (1 + scale) + shift
    else:
        h = _norm(net, f"{name}.out_layers.0", h + shift)
    h = conv(net.weights, f"{name}.out_layers.3", functional.silu(h))
    skip = f"{name}.skip_connection"
    return h + (conv(net.weights, skip, x, padding=0) if f"{skip}.weight" in net.weights else x)


def _attend_if_there(net: Net, name: str, x: Tensor, up: bool) -> Tensor:
    if f"{name}.qkv.weight" not in net.weights:
        return x
    b, c, heads = x.shape[0], x.shape[1], net.heads_at(x.shape[1], up)
    normed = _norm(net, f"{name}.norm", x).flatten(2)
    qkv = _conv1(net.weights, f"{name}.qkv", normed)
    if net.new_order:
        q, k, v = (part.reshape(b * heads, c // heads, -1) for part in qkv.split(c, dim=1))
    else:
        q, k, v = qkv.reshape(b * heads, 3 * c // heads, -1).split(c // heads, dim=1)
    scale = (c // heads) ** -0.25
    scores = torch.einsum("nci,ncj->nij", q * scale, k * scale).softmax(dim=-1)
    mixed = torch.einsum("nij,ncj->nci", scores, v).reshape(b, c, -1)
    return x + _conv1(net.weights, f"{name}.proj_out", mixed).reshape(x.shape)


def _conv1(weights: Weights, name: str, x: Tensor) -> Tensor:
    return functional.conv1d(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def conv(weights: Weights, name: str, x: Tensor, stride: int = 1, padding: int = 1) -> Tensor:
    """A layer by its name, as `linear` is."""
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return functional.conv2d(x, weight, bias, stride, padding)


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    """x W^T + b."""
    return functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _norm(net: Net, name: str, x: Tensor) -> Tensor:
    weight, bias = net.weights[f"{name}.weight"], net.weights[f"{name}.bias"]
    return functional.group_norm(x, 32, weight, bias, eps=1e-5)
