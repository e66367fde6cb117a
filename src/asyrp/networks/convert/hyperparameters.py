"""What shapes cannot tell: hyper-parameters from a preset, a JSON file, or the usual defaults."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from asyrp.errors import AsyrpError
from asyrp.method.hspace import Prediction
from asyrp.networks.convert.families import aliases, family_of
from asyrp.networks.convert.structure import Structure


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value):
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def switch(value: Any) -> bool:
    """True or false, also as scripts write them: "True", 1, "no"; else ValueError."""
    text = str(value).lower()
    if text not in ("true", "false", "1", "0", "yes", "no"):
        raise ValueError(f"{value!r} is neither true nor false")
    return text in ("true", "1", "yes")


def _items(value: Any) -> Any:
    return value.replace(" ", "").split(",") if isinstance(value, str) else value


def _list(value: Any) -> tuple[int, ...]:
    items = _items(value)
    return tuple(_whole(item) for item in (items if isinstance(items, Iterable) else [items]))


def _multiples(value: Any) -> tuple[float, ...]:
    return tuple(_plain(float(item)) for item in _items(value))


def _plain(number: float) -> float:
    """1.0 as 1, for messages; ADM-512 begins with 0.5."""
    return int(number) if number == int(number) else number


def _positive(value: Any) -> int | None:
    """-1 and null stand for "not set" in the original scripts."""
    return None if value is None or _whole(value) < 1 else _whole(value)


DEEPEST = 4  # sections within sections; known files have one level


def _named(read: Callable[[Any], Any], *names: str) -> Any:
    """A field by its flags in OpenAI's repositories, its names in DDPM's yml, and plain ones."""
    return field(default=None, metadata={"read": read, "names": names})


@dataclass(frozen=True)
class Hyperparameters:
    """Hyper-parameters as somebody gave them; None where they said nothing.

    image_size: pixels. head_channels: channels a head, goes before `heads`. heads_up: heads on
    the way up. new_order: rows of attention ordered ([q, k, v], head, channel). timesteps: T.
    rescale: timesteps reach the network times 1000 / T. The rest repeats what shapes tell and
    is compared with them.
    """

    image_size: int | None = _named(_whole, "image_size", "resolution", "size", "sample_size")
    heads: int | None = _named(
        _positive, "num_heads", "heads", "n_heads", "head_count", "attention_heads"
    )
    head_channels: int | None = _named(_positive, "num_head_channels", "head_channels", "head_dim")
    heads_up: int | None = _named(_positive, "num_heads_upsample", "heads_upsample", "heads_up")
    new_order: bool | None = _named(
        switch, "use_new_attention_order", "new_attention_order", "new_order"
    )
    timesteps: int | None = _named(
        _whole,
        *("diffusion_steps", "timesteps", "num_diffusion_timesteps", "num_timesteps", "steps"),
    )
    schedule: str | None = _named(str, "noise_schedule", "beta_schedule", "schedule")
    beta_start: float | None = _named(float, "beta_start")
    beta_end: float | None = _named(float, "beta_end")
    rescale: bool | None = _named(switch, "rescale_timesteps")
    predict_x0: bool | None = _named(switch, "predict_xstart", "predict_x0")
    family: str | None = _named(str, "family")
    channels: int | None = _named(_whole, "num_channels", "channels", "model_channels", "ch")
    channel_mult: tuple[float, ...] | None = _named(_multiples, "channel_mult", "ch_mult")
    res_blocks: int | None = _named(_whole, "num_res_blocks", "res_blocks")
    attention_resolutions: tuple[int, ...] | None = _named(
        _list, "attention_resolutions", "attn_resolutions"
    )
    in_channels: int | None = _named(_whole, "in_channels")
    out_channels: int | None = _named(_whole, "out_channels", "out_ch")
    learned_sigma: bool | None = _named(switch, "learn_sigma", "learned_sigma")
    class_cond: bool | None = _named(switch, "class_cond", "class_conditional")
    scale_shift: bool | None = _named(switch, "use_scale_shift_norm", "scale_shift_norm")
    resblock_updown: bool | None = _named(switch, "resblock_updown")

    def values(self) -> dict[str, Any]:
        """What was said, by name."""
        every = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in every.items() if value is not None}

    def over(self, other: "Hyperparameters") -> "Hyperparameters":
        """These, and the other's where these say nothing; head counts go together."""
        if self.heads or self.head_channels:
            other = replace(other, heads=None, head_channels=None, heads_up=None)
        return replace(other, **self.values())


class Resolved(NamedTuple):
    """Hyper-parameters that are all known; see `Hyperparameters`. Heads are those of `heads_at`."""

    image_size: int
    heads: int | None
    head_channels: int | None
    heads_up: int | None
    new_order: bool
    timesteps: int
    schedule: str
    beta_start: float
    beta_end: float
    rescale: bool
    prediction: Prediction

    @property
    def time_scale(self) -> float:
        """Factor on timesteps before they reach the network."""
        return 1000.0 / self.timesteps if self.rescale else 1.0

    def heads_at(self, channels: int, up: bool) -> int:
        """Heads of an attention layer with so many channels, which have to divide."""
        if self.head_channels:
            heads, rest = divmod(channels, self.head_channels)
        else:
            heads = (self.heads_up if up else None) or self.heads or 1
            rest = channels % heads
        if rest or not heads:
            asked = f"{self.head_channels} channels a head" if self.head_channels else f"{heads}"
            raise AsyrpError(
                f"attention with {channels} channels does not divide into heads as asked "
                f"({asked}); check the head count of --config"
            )
        return heads


def read_hyperparameters(values: Mapping[str, Any]) -> tuple[Hyperparameters, tuple[str, ...]]:
    """Hyper-parameters under any of their names, and the names that mean nothing here.

    Sections ("model", "data", "diffusion" of a DDPM yml) are read as if they were flat, except
    that a number of channels in "data" is that of the pictures.
    """
    flat = dict(_flat(values))
    said: dict[str, Any] = {}
    for one in fields(Hyperparameters):
        for name in one.metadata["names"]:
            if flat.get(name) in (None, ""):
                continue
            try:
                said[one.name] = one.metadata["read"](flat[name])
            except (TypeError, ValueError, OverflowError) as error:
                told = f"{name} = {flat[name]!r:.80} cannot be used: {error!s:.100}"
                raise AsyrpError(told) from error
    known = {name for one in fields(Hyperparameters) for name in one.metadata["names"]}
    return Hyperparameters(**said), tuple(sorted(set(flat) - known))


def _flat(
    values: Mapping[str, Any], section: str = "", depth: int = 0
) -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            if depth < DEEPEST:
                yield from _flat(value, name, depth + 1)
        elif (section, name) != ("data", "channels"):
            yield name, value


def compare(said: Hyperparameters, structure: Structure) -> tuple[str, ...]:
    """Notes on what was said and does not matter; AsyrpError for what contradicts the shapes."""
    if aliases().get((said.family or "").lower(), structure.family) != structure.family:
        raise AsyrpError(f"the hyper-parameters are of {said.family}, the file {structure.family}")
    for name, fact in _facts(structure).items():
        value = getattr(said, name)
        if fact is not None and value not in (None, fact):
            raise AsyrpError(
                f"the hyper-parameters say {name} = {value}; the shapes of the file say {fact}; "
                "they belong to another network"
            )
    if said.image_size is not None:
        _check_size(said.image_size, said.attention_resolutions, structure)
    if said.class_cond and structure.classes is None:
        return ("class_cond is on, but the file has no label_emb: converted as unconditional",)
    return ()


def _facts(structure: Structure) -> dict[str, Any]:
    """What the shapes say, by the names of `Hyperparameters`; None where they say nothing."""
    narrow, openai = structure.widths[0], family_of(structure).openai
    resized = openai and structure.levels > 1
    return {
        "channels": narrow,
        "channel_mult": tuple(_plain(width / narrow) for width in structure.widths),
        "res_blocks": structure.blocks,
        "in_channels": structure.in_channels,
        "learned_sigma": structure.learned_sigma,
        "scale_shift": structure.scale_shift if openai else None,
        "resblock_updown": structure.resample == "resnet" if resized else None,
    }


def _check_size(size: int, attention: tuple[int, ...] | None, structure: Structure) -> None:
    halvings = structure.levels - 1
    if size < 1 or size % (1 << halvings):
        raise AsyrpError(
            f"pictures of {size} pixels do not halve {halvings} times, as this network does; give "
            "the image_size that it was made for"
        )
    if attention is None:
        return
    by_size = tuple((size >> i) in attention for i in range(structure.levels))
    by_factor = tuple((1 << i) in attention for i in range(structure.levels))
    if structure.attends not in (by_size, by_factor):
        here = [size >> i for i, attends in enumerate(structure.attends) if attends]
        raise AsyrpError(
            f"the hyper-parameters put attention at {list(attention)}; in the file it is at "
            f"{here} for pictures of {size} pixels; they belong to another network"
        )
