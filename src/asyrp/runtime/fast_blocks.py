"""Blocks of diffusers that take less time where no gradient is needed, with the same results.

Convolutions on a CPU keep their weights in the order that its library wants, instead of reordering
them at every call; residual blocks write over what they alone hold, instead of taking new memory
for every sum. Sums and their order stay as they are.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import conv_flop_count, register_flop_formula

_pack = getattr(torch.ops.mkldnn, "_reorder_convolution_weight", None)
_convolve = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
AVAILABLE = torch.backends.mkldnn.is_available() and None not in (_pack, _convolve)


def use_fast_blocks(network: nn.Module) -> None:
    """Change the classes of a network's residual blocks and convolutions, in place.

    Weights, their names, and calls that need a gradient stay as they are. Results are those of the
    plain network to rounding; in `torch.channels_last` bit for bit, but for one small picture
    alone, whose convolutions torch gives to another library.
    """
    classes = {ResnetBlock2D: InPlaceResnetBlock, nn.Conv2d: PackedConv2d}
    for module in list(network.modules()):
        module.__class__ = classes.get(type(module), type(module))


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

    def forward(self, x: Tensor) -> Tensor:
        """As `nn.Conv2d`: (b, c, height, width) -> (b, c', height', width')."""
        if not self._packable(x) or _needs_gradient(self, x):
            return super().forward(x)
        if self._packed is None or not self._packed.serves(self.weight, x.shape):
            self._packed = self._packed_for(x)
        given = (self.bias, *self._layout, "none", [], "")
        return cast(Tensor, _convolve(x, self._packed.weight, *given))  # type: ignore[misc]

    @property
    def _layout(self) -> tuple[Any, ...]:
        return self.padding, self.stride, self.dilation, self.groups

    def _packed_for(self, x: Tensor) -> Packed:
        source = self.weight.detach()
        weight = _pack(source, *self._layout, list(x.shape))  # type: ignore[misc]
        return Packed(weight, x.shape, source, self.weight._version)

    def _packable(self, x: Tensor) -> bool:
        """Whether the library takes it: plain numbers on the CPU, zeros around, no autocast."""
        if not (AVAILABLE and torch.backends.mkldnn.enabled) or torch.is_autocast_enabled("cpu"):
            return False
        here = x.device.type == "cpu" and self.weight.device.type == "cpu"
        floats = x.dtype == self.weight.dtype == torch.float32
        plain = type(self.weight) is nn.Parameter and type(x) is Tensor and x.dim() == 4
        zeros = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        return here and floats and plain and zeros and x.numel() > 0

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
        y = self.conv1(functional.silu(self.norm1(x), inplace=True))
        y = cast(Tensor, self.conv2(functional.silu(self._timed(y, temb), inplace=True)))
        y += x if self.conv_shortcut is None else self.conv_shortcut(x)
        return y if self.output_scale_factor == 1 else y.div_(float(self.output_scale_factor))

    def _timed(self, y: Tensor, temb: Tensor | None) -> Tensor:
        """Normalised, with what the timestep says before it or after it; writes over y."""
        if temb is None or self.time_emb_proj is None:
            return cast(Tensor, self.norm2(y))
        said = self.time_emb_proj(temb if self.skip_time_act else functional.silu(temb))
        said = said[:, :, None, None]
        if self.time_embedding_norm == "default":
            return cast(Tensor, self.norm2(y.add_(said)))
        scale, shift = said.chunk(2, dim=1)
        return cast(Tensor, self.norm2(y).mul_(1 + scale).add_(shift))

    def _usual(self) -> bool:
        resamples = self.upsample is not None or self.downsample is not None
        known = self.time_embedding_norm == "default" or self.time_emb_proj is not None
        return type(self.nonlinearity) is nn.SiLU and known and not resamples and not self.training


def _needs_gradient(module: nn.Module, *inputs: Tensor | None) -> bool:
    if _forward_mode():
        return True
    if not torch.is_grad_enabled():
        return False
    return any(x.requires_grad for x in (*inputs, *module.parameters()) if x is not None)


def _forward_mode() -> bool:
    """Whether tangents are carried along, which no `requires_grad` tells of."""
    inside = torch._C._functorch.peek_interpreter_stack() is not None
    return inside or torch.autograd.forward_ad._current_level >= 0


def _conv_flops(x: Sequence[int], w: Sequence[int], *_: Any, out_shape: Any, **__: Any) -> int:
    return int(conv_flop_count(list(x), list(w), out_shape))


if AVAILABLE:  # so that torch's counter knows what it counts
    register_flop_formula(_convolve)(_conv_flops)
