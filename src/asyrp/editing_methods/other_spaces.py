"""Other places to shift than the bottleneck: a network whose `h` is something else.

The walk, training and directions take these where they take an `HSpaceUNet`.
"""

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.method.hspace import Encoded, HSpaceUNet
from asyrp.runtime.precision import autocast


class _Wrapped:
    """Everything but the cut is the network's own."""

    def __init__(self, model: HSpaceUNet) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        if name == "model":  # while it is being copied
            raise AttributeError(name)
        return getattr(self.model, name)

    @property
    def h_channels(self) -> int:
        """Channels of what stands for h."""
        return self.h_shape[0]

    @property
    def h_shape(self) -> tuple[int, ...]:
        """(c, h', w') of what stands for h."""
        with torch.no_grad():
            zeros = torch.zeros(1, *self.model.image_shape, device=self.model.device)
            return tuple(self.encode(zeros, 0).h.shape[1:])  # that of the kind of cut


class _EpsilonSpace(_Wrapped):
    """h is eps itself (Kwon et al. 2023, appendix D.1)."""

    def encode(self, x: Tensor, t: int | Tensor) -> Encoded:
        """eps in h's place."""
        encoded = self.model.encode(x, t)
        return encoded._replace(h=self.model.decode(encoded), skips=())

    def decode(self, encoded: Encoded, h: Tensor | None = None) -> Tensor:
        """The shifted eps."""
        return encoded.h if h is None else h


class _BehindDown(_Wrapped):
    """h is the output of a block before the bottleneck; its skip sees the shift too."""

    def __init__(self, model: HSpaceUNet, place: int) -> None:
        super().__init__(model)
        blocks = list(model.unet.down_blocks)
        self.rest = blocks[place + 1 :]
        head = {"down_blocks": nn.ModuleList(blocks[: place + 1]), "mid_block": _Pass()}
        self.head = _with_parts(model, head)

    def encode(self, x: Tensor, t: int | Tensor) -> Encoded:
        """The network up to and including the block."""
        return self.head.encode(x, t)

    def decode(self, encoded: Encoded, h: Tensor | None = None) -> Tensor:
        """The blocks behind it."""
        sample = encoded.h if h is None else h
        skips = (*encoded.skips[:-1], sample)
        with autocast(sample.device, self.model.dtype):
            for block in self.rest:
                sample, more = block(hidden_states=sample, temb=encoded.emb)
                skips += tuple(more)
            middle = self.model.unet.mid_block(sample, encoded.emb)
        return self.model.decode(encoded._replace(h=middle, skips=skips))


class _BehindUp(_Wrapped):
    """h is the output of a block after the bottleneck."""

    def __init__(self, model: HSpaceUNet, place: int) -> None:
        super().__init__(model)
        blocks = list(model.unet.up_blocks)
        self.first = blocks[: place + 1]
        self.tail = _with_parts(model, {"up_blocks": nn.ModuleList(blocks[place + 1 :])})

    def encode(self, x: Tensor, t: int | Tensor) -> Encoded:
        """The network up to and including the block."""
        encoded = self.model.encode(x, t)
        sample, skips = encoded.h, encoded.skips
        with autocast(sample.device, self.model.dtype):
            for block in self.first:
                count = len(block.resnets)
                sample, skips = block(sample, skips[-count:], encoded.emb), skips[:-count]
        return encoded._replace(h=sample, skips=skips)

    def decode(self, encoded: Encoded, h: Tensor | None = None) -> Tensor:
        """The blocks behind it."""
        return self.tail.decode(encoded, h)


class _Pass(nn.Module):
    """A mid block that does nothing."""

    def forward(self, sample: Tensor, emb: Tensor) -> Tensor:
        """The sample."""
        return sample


def _with_parts(model: HSpaceUNet, parts: dict[str, nn.Module]) -> HSpaceUNet:
    """The same network and weights with other parts; the network itself stays as it was."""
    unet = copy.copy(model.unet)
    unet._modules = {**unet._modules, **parts}
    other = copy.copy(model)
    other._modules = {**other._modules, "unet": unet}
    return other


def blocks(model: HSpaceUNet) -> list[str]:
    """The names of a network's blocks, in the order of computation."""
    down = [f"down {i}" for i in range(len(model.unet.down_blocks))]
    return [*down, "mid", *(f"up {i}" for i in range(len(model.unet.up_blocks)))]


def epsilon_space(model: HSpaceUNet) -> HSpaceUNet:
    """The network with eps in h's place."""
    return cast(HSpaceUNet, _EpsilonSpace(model))


def at_block(model: HSpaceUNet, block: str) -> HSpaceUNet:
    """The network cut behind another block, of `blocks(model)`; AsyrpError where it has no such."""
    if block not in blocks(model):
        known = ", ".join(blocks(model))
        raise AsyrpError(f"this network has no block {block!r}; it has: {known}")
    kind, _, place = block.partition(" ")
    if kind == "mid":
        return model
    wrapper = _BehindDown if kind == "down" else _BehindUp
    return cast(HSpaceUNet, wrapper(model, int(place)))
