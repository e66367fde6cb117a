"""Direction files: safetensors with a JSON card in the header."""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError, first_line
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.directions import GlobalDirection, ImplicitDirection, Layout, TimestepDirection
from asyrp.method.editing_interval import edit_interval
from asyrp.method.hspace import HSpaceUNet
from asyrp.settings import Region, checked_region
from asyrp.storage.config_fields import name_passed_over
from asyrp.storage.files import Kind, load_tensors, parse_json, save_tensors
from asyrp.storage.finite import check_finite

_TIMESTEP = re.compile(r"0|[1-9][0-9]{0,6}")
MOST = 10**6  # of a timestep, of steps, and of a strength
KIND = Kind("direction", "asyrp-direction", 1, "asyrp train")


@dataclass(frozen=True)
class DirectionCard:
    """What travels with a direction.

    t_edit, t_boost: timesteps of its three phases; t_start: where the first begins, None for T.
    trained_steps: S. fingerprint: of the network it was trained on, "" where a released file does
    not say. text_cosine: cos(source, target) by `encoder`. strength: the factor that `--strength 1`
    stands for. enough: the least E(x) . dT at which the target shows, where validation images told;
    `edit` then gives each image as much as it needs. region: where P_t changes, () for everywhere.
    training: settings and outcome, free form.
    """

    source: str
    target: str
    t_edit: int
    t_boost: int
    trained_steps: int
    fingerprint: str
    encoder: str = ""
    text_cosine: float = 0.0
    strength: float = 1.0
    t_start: int | None = None
    enough: float | None = None
    region: Region = ()
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted: dict[str, type] = {"source": str, "target": str, "fingerprint": str, "encoder": str}
        wanted |= {"t_edit": int, "t_boost": int, "trained_steps": int, "training": dict}
        for name, kind in wanted.items():
            if not isinstance(getattr(self, name), kind):
                raise AsyrpError(f"a direction's {name} must be {kind.__name__}")
        if not isinstance(self.t_start, int | None):
            raise AsyrpError("a direction's t_start must be int or null")
        for name in ("strength", "text_cosine", "t_edit", "t_boost", "trained_steps"):
            _check_number(name, getattr(self, name))
        for name in ("t_start", "enough"):
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name))
        if self.trained_steps < 1:
            raise AsyrpError(f"trained_steps must be 1 or more; got {self.trained_steps}")
        edit_interval(self.t_start, self.t_edit, self.t_boost)
        if not isinstance(self.region, list | tuple):
            raise AsyrpError("a direction's region must be a list of numbers")
        object.__setattr__(self, "region", checked_region(self.region))


def _check_number(name: str, value: object) -> None:
    usual = isinstance(value, float | int) and not isinstance(value, bool)
    if not (usual and abs(cast(float, value)) <= MOST):
        raise AsyrpError(f"a direction's {name} must be a number of at most {MOST:,}")


class SavedDirection(NamedTuple):
    """A direction and its card."""

    direction: nn.Module
    card: DirectionCard

    def attribute(
        self,
        strength: float | None = None,
        t_edit: int | None = None,
        t_start: int | None = None,
        region: Region | None = None,
    ) -> Attribute:
        """As it is applied: the card's strength, interval and region unless others are given."""
        return Attribute(
            cast(Any, self.direction),
            self.card.t_edit if t_edit is None else t_edit,
            self.card.strength if strength is None else strength,
            self.card.trained_steps,
            self.card.t_start if t_start is None else t_start,
            self.card.region if region is None else region,
        )


def save_direction(path: Path, direction: nn.Module, card: DirectionCard) -> None:
    """Write a direction, whole or not at all."""
    tensors, layout = _tensors(direction)
    header = {"format": KIND.format, "version": str(KIND.version), "layout": json.dumps(layout)}
    header["card"] = json.dumps(asdict(card))
    save_tensors(path, tensors, header)


def load_direction(path: Path | str, model: HSpaceUNet, force: bool = False) -> SavedDirection:
    """Read a direction for a network.

    Args:
        force: use it on another network than it was trained on, if the shapes allow.

    Raises:
        AsyrpError: not a direction file, broken, not finite, or trained on another network.
    """
    header, tensors = load_tensors(Path(path), KIND)
    card = _card(path, header)
    try:
        check_finite(tensors)
        direction = _rebuild(
            parse_json(header["layout"]), {k: v.float() for k, v in tensors.items()}
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise AsyrpError(f"{str(path)!r} is damaged: {first_line(error)}") from error
    check_fits(path, direction, model)
    if not force and card.fingerprint not in ("", model.fingerprint()):
        raise AsyrpError(
            f"{str(path)!r} was trained on another network (fingerprint "
            f"{card.fingerprint[:12]}..., this one is {model.fingerprint()[:12]}...); load the "
            "network it was trained on, or use it at your own risk: --force, force=True"
        )
    if not card.fingerprint:
        warnings.warn(
            f"{str(path)!r} names no network (no fingerprint): only its shapes were compared with "
            "this one, and on another network than its own it edits nothing that it was made for",
            stacklevel=2,
        )
    return SavedDirection(direction.to(model.device).requires_grad_(False).eval(), card)


def read_card(path: Path | str) -> DirectionCard:
    """The card alone, for looking at a file without its network."""
    return _card(path, load_tensors(Path(path), KIND).header)


def _card(path: Path | str, header: Mapping[str, str]) -> DirectionCard:
    try:
        content = dict(parse_json(header["card"]))
        known = {f.name for f in fields(DirectionCard)}
        name_passed_over(
            {k: v for k, v in content.items() if k not in known},
            str(path),
            "this asyrp's directions have no such fields",
        )
        return DirectionCard(**{k: v for k, v in content.items() if k in known})
    except (KeyError, TypeError, ValueError) as error:
        raise AsyrpError(f"{str(path)!r} has no readable card: {first_line(error)}") from error


def _tensors(direction: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if isinstance(direction, ImplicitDirection):
        layout = {"kind": "implicit", "layout": direction.layout, "use_time": direction.use_time}
        return dict(direction.state_dict()), layout
    if isinstance(direction, TimestepDirection):
        return {str(t): dh for t, dh in direction.table.items()}, {"kind": "timestep"}
    if isinstance(direction, GlobalDirection):
        return {"dh": direction.dh.detach()}, {"kind": "global"}
    raise AsyrpError(f"a {type(direction).__name__} cannot be saved; save its parts instead")


def _rebuild(layout: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    if not all(torch.isfinite(value).all() for value in tensors.values()):
        raise AsyrpError("it holds values that are not finite")
    if layout["kind"] == "implicit":
        return restored(tensors, layout["layout"], bool(layout["use_time"]))
    if layout["kind"] == "timestep":
        if odd := [name for name in tensors if not _TIMESTEP.fullmatch(name)]:
            raise AsyrpError(f"{odd[0][:80]!r} is no timestep")
        return TimestepDirection({int(t): dh for t, dh in tensors.items()})
    if layout["kind"] == "global":
        dh, odd = tensors["dh"], sorted(tensors.keys() - {"dh"})
        if odd:
            raise AsyrpError(f"{odd[0][:80]!r} is no part of it")
        return GlobalDirection(dh)
    raise AsyrpError(f"unknown kind of direction {layout['kind']!r}")


def restored(tensors: Mapping[str, Tensor], layout: Layout, use_time: bool) -> ImplicitDirection:
    """f_t around the tensors of a file; no memory is taken for shapes that only one of them claims.

    Raises:
        ValueError, RuntimeError: they are not those of one f_t.
    """
    channels, emb_channels = tensors["time_proj.weight"].shape
    if 0 in (channels, emb_channels):
        raise ValueError("time_proj.weight holds nothing")
    with torch.device("meta"):
        direction = ImplicitDirection(channels, emb_channels, layout, use_time=use_time)
    direction.load_state_dict(tensors, assign=True)
    return direction


def check_fits(path: Path | str, direction: nn.Module, model: HSpaceUNet) -> None:
    """Raise AsyrpError where a direction has other channels or another shape than h has."""
    if isinstance(direction, ImplicitDirection):
        needed: tuple[int, ...] = (model.h_channels, model.emb_channels)
        has: set[tuple[int, ...]] = {
            (direction.time_proj.out_features, direction.time_proj.in_features)
        }
        what = "a bottleneck and time embedding of channels"
    else:
        needed, what = model.h_shape, "a bottleneck of shape"
        has = {tuple(p.shape) for p in direction.parameters()}
        has -= {(needed[0], 1, 1)}  # the same shift at every place
    if has - {needed}:
        raise AsyrpError(f"{str(path)!r} is for {what} {max(has)}; this network has {needed}")
