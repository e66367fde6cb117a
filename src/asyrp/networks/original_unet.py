"""A UNet2DModel for what its config cannot say, as heads of several widths."""

import inspect
from collections.abc import Sequence
from typing import Any

# a pipeline that loads a component looks for ModelMixin in the component's own module
from diffusers import ModelMixin, UNet2DModel  # noqa: F401
from diffusers.models.downsampling import Downsample2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

OWN = {"up_attention_head_dim": None, "time_scale": 1.0, "conv_resample": True}


class RescaledTimesteps(nn.Module):
    """The sinusoid of scale * t (`rescale_timesteps` of improved-diffusion: 1000 / T)."""

    def __init__(self, sinusoid: nn.Module, scale: float):
        super().__init__()
        self.sinusoid, self.scale = sinusoid, scale

    def forward(self, timesteps: Tensor) -> Tensor:
        """(b,) -> (b, channels)."""
        embedded: Tensor = self.sinusoid(timesteps.float() * self.scale)
        return embedded


class OriginalUNet2DModel(UNet2DModel):  # type: ignore[misc]
    """A UNet2DModel whose attention has its own number of channels a head at every level.

    A network with a fixed number of heads needs that. All of it is config, so it survives
    save_pretrained and from_pretrained; the plain UNet2DModel refuses the list (TypeError) and
    cannot be wrong in silence.

    Args:
        attention_head_dim: channels a head, a level each, from the top; the last is also the
            mid block's. None stands for one head.
        up_attention_head_dim: the same for the way up, in the same order; None for equal.
        time_scale: factor on timesteps.
        conv_resample: False where levels change size by averaging and repeating alone.
    """

    def __init__(
        self,
        *,
        attention_head_dim: Sequence[int | None],
        up_attention_head_dim: Sequence[int | None] | None = None,
        time_scale: float = 1.0,
        conv_resample: bool = True,
        **config: Any,
    ):
        super().__init__(**config, attention_head_dim=1)
        self.register_to_config(
            attention_head_dim=attention_head_dim,
            up_attention_head_dim=up_attention_head_dim,
            time_scale=time_scale,
            conv_resample=conv_resample,
        )
        up = up_attention_head_dim or attention_head_dim
        for block, width in zip(self.down_blocks, attention_head_dim, strict=True):
            _set_heads(block, width)
        _set_heads(self.mid_block, attention_head_dim[-1])
        for block, width in zip(self.up_blocks, reversed(up), strict=True):
            _set_heads(block, width)
        if not conv_resample:
            _without_convolutions([*self.down_blocks, *self.up_blocks])
        if time_scale != 1.0:
            sinusoid: nn.Module = self.time_proj  # type: ignore[has-type]
            self.time_proj = RescaledTimesteps(sinusoid, time_scale)


def _without_convolutions(blocks: Sequence[Any]) -> None:
    for block in blocks:
        for name, kind in (("downsamplers", Downsample2D), ("upsamplers", Upsample2D)):
            if getattr(block, name, None) is not None:
                channels = getattr(block, name)[0].channels
                setattr(block, name, nn.ModuleList([kind(channels, use_conv=False)]))


def _set_heads(block: nn.Module, head_dim: int | None) -> None:
    for layer in getattr(block, "attentions", None) or ():
        if layer is not None:  # a mid block without attention
            width = layer.inner_dim if head_dim is None else head_dim
            layer.heads = layer.sliceable_head_dim = layer.inner_dim // width
            layer.scale = width**-0.5


def _signature() -> inspect.Signature:
    """from_pretrained passes on what the signature names."""
    own = list(inspect.signature(UNet2DModel.__init__).parameters.values())
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in OWN.items()
    ]
    return inspect.Signature([*own, *extra])


OriginalUNet2DModel.__init__.__signature__ = _signature()  # type: ignore[attr-defined]
