"""The DDPM U-Net on its own state dict: a second formulation, to prove a conversion with.

Written from Ho et al. 2020 as pesser and ermongroup implemented it. It walks the keys and shares
nothing with the converter or with diffusers.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from asyrp.networks.convert.reference_adm import Weights, conv, linear


def forward(weights: Weights, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """(output of the mid block, output of the network).

    Args:
        weights: under the original names. x: (b, c, height, width). t: (b,).
    """
    emb = _time(weights, t)
    stack = [conv(weights, "conv_in", x)]
    level = 0
    while f"down.{level}.block.0.norm1.weight" in weights:
        for block in _blocks(weights, f"down.{level}"):
            h = _resnet(weights, f"down.{level}.block.{block}", stack[-1], emb)
            stack.append(_attend_if_there(weights, f"down.{level}.attn.{block}", h))
        if f"down.{level}.downsample.conv.weight" in weights:
            padded = functional.pad(stack[-1], (0, 1, 0, 1))
            stack.append(conv(weights, f"down.{level}.downsample.conv", padded, 2, 0))
        elif f"down.{level + 1}.block.0.norm1.weight" in weights:
            stack.append(functional.avg_pool2d(stack[-1], 2))
        level += 1
    h = _resnet(weights, "mid.block_1", stack[-1], emb)
    h = _attend_if_there(weights, "mid.attn_1", h)
    bottleneck = h = _resnet(weights, "mid.block_2", h, emb)
    for up in reversed(range(level)):
        for block in _blocks(weights, f"up.{up}"):
            h = torch.cat((h, stack.pop()), 1)
            h = _resnet(weights, f"up.{up}.block.{block}", h, emb)
            h = _attend_if_there(weights, f"up.{up}.attn.{block}", h)
        if up:
            h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
        if f"up.{up}.upsample.conv.weight" in weights:
            h = conv(weights, f"up.{up}.upsample.conv", h)
    return bottleneck, conv(weights, "conv_out", _swish(_norm(weights, "norm_out", h)))


def _blocks(weights: Weights, level: str) -> range:
    return range(sum(f"{level}.block.{k}.norm1.weight" in weights for k in range(len(weights))))


def _time(weights: Weights, t: Tensor) -> Tensor:
    half = weights["temb.dense.0.weight"].shape[1] // 2
    rates = torch.exp(torch.arange(half) * -(math.log(10000) / (half - 1)))
    angles = t.float()[:, None] * rates[None]
    emb = torch.cat((angles.sin(), angles.cos()), 1).to(weights["temb.dense.0.weight"].dtype)
    return linear(weights, "temb.dense.1", _swish(linear(weights, "temb.dense.0", emb)))


def _resnet(weights: Weights, name: str, x: Tensor, emb: Tensor) -> Tensor:
    h = conv(weights, f"{name}.conv1", _swish(_norm(weights, f"{name}.norm1", x)))
    h = h + linear(weights, f"{name}.temb_proj", _swish(emb))[..., None, None]
    h = conv(weights, f"{name}.conv2", _swish(_norm(weights, f"{name}.norm2", h)))
    shortcut = f"{name}.nin_shortcut"
    return h + (conv(weights, shortcut, x, 1, 0) if f"{shortcut}.weight" in weights else x)


def _attend_if_there(weights: Weights, name: str, x: Tensor) -> Tensor:
    if f"{name}.q.weight" not in weights:
        return x
    normed = _norm(weights, f"{name}.norm", x)
    q, k, v = (conv(weights, f"{name}.{part}", normed, 1, 0).flatten(2) for part in "qkv")
    scores = torch.einsum("bci,bcj->bij", q, k) * x.shape[1] ** -0.5
    mixed = torch.einsum("bij,bcj->bci", scores.softmax(-1), v).reshape(x.shape)
    return x + conv(weights, f"{name}.proj_out", mixed, 1, 0)


def _norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return functional.group_norm(x, 32, weight, bias, eps=1e-6)


def _swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)
