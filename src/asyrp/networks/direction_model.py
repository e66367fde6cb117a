"""A direction as a model of diffusers: a folder of config.json and safetensors, or the Hub."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Literal, cast

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.method.direction_file import DirectionCard, SavedDirection
from asyrp.method.directions import GlobalDirection, ImplicitDirection, TimestepDirection

DirectionKind = Literal["implicit", "timestep", "global"]


class DirectionModel(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """f_t, a table of dh or one dh, with what its card says as the config.

    Called as every direction is: `(h, emb, t) -> dh`.

    Args:
        kind: which of the three.
        channels, emb_channels, layout, use_time: of f_t; see `ImplicitDirection`.
        times: timesteps of a table, ascending. shape: of a dh, (c, h', w').
        card: fields of its `DirectionCard`: texts, interval, strength, fingerprint, encoder.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        kind: DirectionKind = "implicit",
        channels: int = 512,
        emb_channels: int = 512,
        layout: Literal["ddpm", "adm"] = "ddpm",
        use_time: bool = True,
        times: Sequence[int] = (),
        shape: Sequence[int] = (),
        card: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        if kind == "implicit":
            made: nn.Module = ImplicitDirection(channels, emb_channels, layout, use_time=use_time)
        elif kind == "timestep":
            made = TimestepDirection({t: torch.zeros(*shape) for t in times})
        else:
            made = GlobalDirection(torch.zeros(*shape))
        self.direction = made.requires_grad_(False)

    def forward(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """dh at timestep t, broadcastable to h."""
        return cast(Tensor, self.direction(h, emb, t))

    @property
    def card(self) -> DirectionCard:
        """What travels with it; AsyrpError where the config has no card, or a broken one."""
        known = {field.name for field in fields(DirectionCard)}
        try:
            return DirectionCard(**{k: v for k, v in self.config["card"].items() if k in known})
        except (AttributeError, TypeError) as error:
            raise AsyrpError(
                "this direction has no card with texts and interval in its config.json; make it "
                "with DirectionModel.of(load_direction(...))"
            ) from error

    @classmethod
    def of(cls, saved: SavedDirection) -> "DirectionModel":
        """The model of a direction file, as `load_direction` returns it."""
        own = saved.direction
        options: dict[str, Any] = {"card": asdict(saved.card)}
        if isinstance(own, ImplicitDirection):
            channels, emb_channels = own.time_proj.weight.shape
            options |= {"channels": channels, "emb_channels": emb_channels, "layout": own.layout}
            options["use_time"] = own.use_time
        elif isinstance(own, TimestepDirection):
            shape = list(own.values[0].shape)
            options |= {"kind": "timestep", "times": list(own.times), "shape": shape}
        elif isinstance(own, GlobalDirection):
            options |= {"kind": "global", "shape": list(own.dh.shape)}
        else:
            raise AsyrpError(f"a {type(own).__name__} has no form of diffusers; save its parts")
        model = cls(**options)
        model.direction.load_state_dict(own.state_dict())
        return cast(DirectionModel, model.eval())

    def saved(self) -> SavedDirection:
        """As a direction file holds it; `save_direction(path, *model.saved())` writes one."""
        return SavedDirection(self.direction, self.card)
