"""Blocks of diffusers that take less time on a CPU, with the same results to rounding.

Convolutions of small maps keep their weights in the order that the CPU's library wants, instead of
reordering them at every call; residual blocks write over what they alone hold, instead of taking
new memory for every sum; norms find their gradient by sums over places (`fast_norm`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import conv_flop_count, flop_registry, register_flop_formula

from asyrp.runtime.fast_norm import FastGroupNorm, in_forward_mode
from asyrp.runtime.precision import REDUCED

_pack = getattr(torch.ops.mkldnn, "_reorder_convolution_weight", None)
_convolve = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
AVAILABLE = torch.backends.mkldnn.is_available() and None not in (_pack, _convolve)
PRECISIONS = [torch.float32]
if AVAILABLE and torch.ops.mkldnn._is_mkldnn_bf16_supported():
    PRECISIONS.append(torch.bfloat16)
FEW = 1024  # places of a batch up to which reordering a weight is a part of the work that counts


def use_fast_blocks(network: nn.Module) -> None:
    """Change the classes of a network's residual blocks, convolutions and norms, in place.

    Weights and their names stay as they are. Results are those of the plain network to rounding; in
    float32 and `torch.channels_last` bit for bit, but for gradients, and for one small picture
    alone, whose convolutions torch gives to another library.
    """
    for module in list(network.modules()):
        module.__class__ = FAST.get(type(module), type(module))


class Packed(NamedTuple):
    """A weight in the library's order for inputs of a shape, and what it was packed from.

    source: held, so that no other weight comes to lie at its address.
    """

    weight: Tensor
    shape: torch.Size
    source: Tensor
    version: int

    def serves(self, weight: Tensor, shape: torch.Size) -> bool:
        """Whether it is this weight, unchanged, and for such inputs."""
        same = self.source.data_ptr() == weight.data_ptr() and self.version == weight._version
        return same and self.shape == shape


class PackedConv2d(nn.Conv2d):
    """A convolution that packs its weight again only where the weight or the input's shape changes.

    It sees changes that torch counts, as `load_state_dict` makes them; not those of `weight.data`.
    """

    _packed: Packed | None = None

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """As `nn.Conv2d` of this weight: (b, c, height, width) -> (b, c', height', width')."""
        if not self._packable(x) or _needs_gradient(self, x):
            return cast(Tensor, super()._conv_forward(x, weight, bias))
        if self._packed is None or not self._packed.serves(weight, x.shape):
            packed = _pack(weight.detach(), *self._layout, list(x.shape))  # type: ignore[misc]
            self._packed = Packed(packed, x.shape, weight.detach(), weight._version)
        return cast(Tensor, _convolve(x, self._packed.weight, bias, *self._layout, "none", [], ""))  # type: ignore[misc]

    @property
    def _layout(self) -> tuple[Any, ...]:
        return self.padding, self.stride, self.dilation, self.groups

    def _packable(self, x: Tensor) -> bool:
        """Whether the library takes it: plain numbers on the CPU, zeros around, nothing to cast."""
        cast_first = x.dtype not in REDUCED and torch.is_autocast_enabled("cpu")
        if cast_first or not (AVAILABLE and torch.backends.mkldnn.enabled):
            return False
        here = x.device.type == "cpu" and self.weight.device.type == "cpu"
        floats = x.dtype == self.weight.dtype and x.dtype in PRECISIONS
        plain = type(self.weight) is nn.Parameter and type(x) is Tensor and x.dim() == 4
        zeros = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        return here and floats and plain and zeros and 0 < x.numel() <= FEW * x.shape[1]

    def __getstate__(self) -> dict[str, Any]:
        """Without the packed weight: copies pack their own."""
        state = self.__dict__.copy()
        state.pop("_packed", None)
        return state


class InPlaceResnetBlock(ResnetBlock2D):  # type: ignore[misc]
    """A residual block that changes in place what nobody else holds."""

    def forward(self, x: Tensor, temb: Tensor | None, *args: Any, **kwargs: Any) -> Tensor:
        """As `ResnetBlock2D`: x (b, c, height, width), temb (b, e) -> (b, c', height, width)."""
        if args or kwargs or not self._usual() or _needs_gradient(self, x, temb):
            return cast(Tensor, super().forward(x, temb, *args, **kwargs))
        y, said = functional.silu(self.norm1(x), inplace=True), self._said(temb)
        if said is not None and self._folds(said):
            y = self.conv1._conv_forward(y, self.conv1.weight, self.conv1.bias + said.flatten())
            said = None
        else:
            y = self.conv1(y)
        y = cast(Tensor, self.conv2(functional.silu(self._timed(y, said), inplace=True)))
        y += x if self.conv_shortcut is None else self.conv_shortcut(x)
        return y if self.output_scale_factor == 1 else y.div_(float(self.output_scale_factor))

    def _said(self, temb: Tensor | None) -> Tensor | None:
        """What the timestep says, (rows, c', 1, 1); one row where all images have the same."""
        if temb is None or self.time_emb_proj is None:
            return None
        own = temb[:1] if temb.dtype != self.conv1.weight.dtype and temb.stride(0) == 0 else temb
        said: Tensor = self.time_emb_proj(own if self.skip_time_act else functional.silu(own))
        return said[:, :, None, None]

    def _folds(self, said: Tensor) -> bool:
        """Whether it is a part of the first convolution's bias, which saves a sum over the map.

        In reduced precision only: in float32 the order of sums stays as it is.
        """
        conv = self.conv1
        plain = type(conv) in (nn.Conv2d, PackedConv2d) and conv.bias is not None
        return (
            plain
            and said.dtype in REDUCED
            and self.time_embedding_norm == "default"
            and len(said) == 1
        )

    def _timed(self, y: Tensor, said: Tensor | None) -> Tensor:
        """Normalised, with what the timestep says before it or after it; writes over y."""
        if said is None:
            return cast(Tensor, self.norm2(y))
        if self.time_embedding_norm == "default":
            return cast(Tensor, self.norm2(y.add_(said)))
        scale, shift = said.chunk(2, dim=1)
        return cast(Tensor, self.norm2(y).mul_(1 + scale).add_(shift))

    def _usual(self) -> bool:
        resamples = self.upsample is not None or self.downsample is not None
        known = self.time_embedding_norm == "default" or self.time_emb_proj is not None
        return type(self.nonlinearity) is nn.SiLU and known and not resamples and not self.training


FAST: Mapping[type[nn.Module], type[nn.Module]] = {
    ResnetBlock2D: InPlaceResnetBlock,
    nn.Conv2d: PackedConv2d,
    nn.GroupNorm: FastGroupNorm,
}


def _needs_gradient(module: nn.Module, *inputs: Tensor | None) -> bool:
    if in_forward_mode():
        return True
    if not torch.is_grad_enabled():
        return False
    return any(x.requires_grad for x in (*inputs, *module.parameters()) if x is not None)


def _conv_flops(x: Sequence[int], w: Sequence[int], *_: Any, out_shape: Any, **__: Any) -> int:
    return int(conv_flop_count(list(x), list(w), out_shape))


if AVAILABLE and _convolve is not None:  # so that torch's counter knows what it counts
    register_flop_formula(_convolve)(_conv_flops)
    if _convolve not in flop_registry:  # torch 2.4 puts down its overloads, and looks for it
        flop_registry[_convolve] = flop_registry[_convolve.default]
