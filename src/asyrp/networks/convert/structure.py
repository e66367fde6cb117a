"""What the keys and shapes of a checkpoint tell about its network."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from torch import Tensor

from asyrp.errors import AsyrpError

MOST_LEVELS, MOST_BLOCKS = 9, 64  # of released networks: 6 and 3
Weights = Mapping[str, Tensor]
Resample = Literal["conv", "resnet", "none"]


@dataclass(frozen=True)
class Structure:
    """A network up to what its shapes do not tell.

    family: its name. widths: channels of each level, from the top; attends: whether the level has
    attention. blocks: resnets of a level on the way down (one more on the way up). resample: what
    learns where levels change size; "none" is plain averaging and repeating. classes: rows of the
    class embedding, None without one.
    """

    family: str
    widths: tuple[int, ...]
    attends: tuple[bool, ...]
    blocks: int
    in_channels: int
    out_channels: int
    emb_channels: int
    resample: Resample = "conv"
    scale_shift: bool = False
    classes: int | None = None

    @property
    def levels(self) -> int:
        """How many sizes the network works at."""
        return len(self.widths)

    @property
    def learned_sigma(self) -> bool:
        """Whether half of its output is a variance."""
        return self.out_channels == 2 * self.in_channels

    @property
    def attention_widths(self) -> tuple[int, ...]:
        """Channels of each attention layer's level, the bottleneck's last."""
        inner = [w for w, a in zip(self.widths, self.attends, strict=True) if a]
        return (*inner, self.widths[-1])


class Module(NamedTuple):
    """A module of the original network and its place in diffusers.

    leaves: names of its layers, original -> diffusers; {"": ""} for a layer itself.
    """

    original: str
    target: str
    leaves: Mapping[str, str]


class Family(NamedTuple):
    """A family of original networks: how a file of it is known, and how it becomes diffusers'.

    aliases: what hyper-parameters call it. signature: keys that tell it. constants: of its config
    in diffusers. structure_of: its tensors -> `Structure`. modules: every module that such a
    network may have. to_diffusers: (tensors under diffusers' names, heads of each attention layer,
    order of q, k, v) -> its state dict there; to_original: back. forward: (tensors, resolved
    hyper-parameters, x, t, labels) -> outputs of the mid block and of the network, by a second
    formulation that shares nothing with the others. openai: whether it follows OpenAI's scripts:
    several heads, betas that follow T, rescaled timesteps.
    """

    name: str
    aliases: tuple[str, ...]
    signature: tuple[str, ...]
    constants: Mapping[str, Any]
    structure_of: Callable[[Weights], Structure]
    modules: Callable[[Structure], Iterator[Module]]
    to_diffusers: Callable[[Weights, Mapping[str, int], bool], dict[str, Tensor]]
    to_original: Callable[[Weights, Mapping[str, int], bool], dict[str, Tensor]]
    forward: Callable[..., tuple[Tensor, Tensor]]
    openai: bool = False


def rows(weights: Weights, key: str) -> int:
    """Length of a tensor's first axis; AsyrpError where the checkpoint lacks it."""
    return columns(weights, key, 0)


def columns(weights: Weights, key: str, axis: int = 1) -> int:
    """Length of a tensor's second axis, or another."""
    if key not in weights:
        raise AsyrpError(f"the checkpoint lacks {key!r}; download it again")
    shape = weights[key].shape
    if len(shape) <= axis or not shape[axis]:
        raise AsyrpError(f"{key!r} has the shape {tuple(shape)}; needed: the weights of a layer")
    return shape[axis]


def count(weights: Iterable[str], pattern: str) -> int:
    """One more than the largest index that follows `pattern` (a regex) in the keys; 0 for none."""
    found = [m[1] for key in weights if (m := re.match(rf"{pattern}([0-9]+)\.", key))]
    if any(len(index) > 4 for index in found):
        raise AsyrpError(f"no network has as many parts as a key of this file says ({pattern})")
    return max(map(int, found), default=-1) + 1


def has(weights: Iterable[str], *prefixes: str) -> bool:
    """Whether any key begins with one of the prefixes."""
    return any(key.startswith(prefixes) for key in weights)


def check(
    structure: Structure, sinusoid: int, first: int, conditioned: tuple[int, ...] = ()
) -> Structure:
    """The structure; AsyrpError, and why, where `UNet2DModel` cannot express it.

    Args:
        sinusoid: channels of the timestep's sinusoid. first: of the first convolution.
        conditioned: channels that another image takes part of.
    """
    if structure.levels > MOST_LEVELS or structure.blocks > MOST_BLOCKS:
        raise AsyrpError(
            f"this network has {structure.levels} levels of {structure.blocks} blocks; needed: at "
            f"most {MOST_LEVELS} of {MOST_BLOCKS}"
        )
    inside, outside = structure.in_channels, structure.out_channels
    if sinusoid != structure.widths[0] or first != structure.widths[0]:
        raise AsyrpError(
            f"this network's sinusoid has {sinusoid} channels, its first convolution {first} and "
            f"its first level {structure.widths[0]}; diffusers' UNet2DModel ties the three "
            "together, so it cannot be converted (ADM-512 is such a network)"
        )
    if outside not in (inside, 2 * inside) or inside in conditioned:
        raise AsyrpError(
            f"this network turns {inside} channels into {outside}: it is conditioned on another "
            "image (super-resolution, inpainting); needed: one that makes images from noise alone"
        )
    odd = [width for width in structure.widths if width % 32]
    if odd:
        raise AsyrpError(
            f"the normalisation of these families has 32 groups, and {odd[0]} channels do not "
            "divide by it; the checkpoint is of a network that was changed"
        )
    return structure
