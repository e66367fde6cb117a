"""The released directions (f_t of the official code) as direction files, and back."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.method.direction_file import KIND, DirectionCard, restored
from asyrp.method.directions import Layout, TimestepDirection
from asyrp.networks.convert.detect import Detected
from asyrp.networks.convert.hyperparameters import switch
from asyrp.networks.presets import EVERY, AttributePreset, Preset
from asyrp.networks.released_dh_tables import to_entries, to_table
from asyrp.networks.released_tables import implied_cosine, released_intervals
from asyrp.storage.files import load_tensors, parse_json
from asyrp.storage.finite import check_finite

CLIP = "openai/clip-vit-base-patch16"
UNKNOWN_COSINE = 0.9  # as of most pairs of the paper's table 2
USUAL_STEPS = 40
USUAL_EDIT, USUAL_BOOST = 500, 200  # the authors advise 400 to 700, and 100 to 400

NAMES: dict[Layout, dict[str, str]] = {
    "ddpm": {
        "conv1": "conv_in",
        "temb_proj": "time_proj",
        "norm2": "norm_out",
        "conv2": "conv_out",
    },
    "adm": {
        "in_layers.0": "norm_in",
        "in_layers.2": "conv_in",
        "emb_layers.1": "time_proj",
        "out_layers.0": "norm_out",
        "out_layers.3": "conv_out",
    },
}
FILE_NAME = re.compile(
    r"(?P<attribute>.+)_LC_(?P<category>.+)_t(?P<top>\d+)_ninv(?P<inverted>\d+)"
    r"_ngen(?P<steps>\d+)_(?P<epoch>\d+)"
)


@dataclass(frozen=True)
class Known:
    """What somebody knows about a direction beside its tensors; None where they do not.

    cosine: of the two texts by CLIP ViT-B/16, which sets t_edit by the released tables.
    ignore_timesteps: whether it was trained with the flag of that name, which no tensor tells.
    """

    source: str | None = None
    target: str | None = None
    t_edit: int | None = None
    t_boost: int | None = None
    trained_steps: int | None = None
    cosine: float | None = None
    ignore_timesteps: bool | None = None


class ReleasedName(NamedTuple):
    """A file name of the official code, taken apart."""

    attribute: str
    category: str
    steps: int

    @property
    def texts(self) -> str:
        """The name of its text pair.

        zombie_new was trained anew and random_noise_man on samples, as zombie and man are.
        """
        return self.attribute.removesuffix("_new").removeprefix("random_noise_")


class ConvertedDirection(NamedTuple):
    """A direction with its card, and a line for each entry that was assumed."""

    direction: nn.Module
    card: DirectionCard
    assumed: tuple[str, ...]


def read_name(name: str) -> ReleasedName | None:
    """Attribute, dataset and steps, as of smiling_LC_CelebA_HQ_t999_ninv40_ngen40_0.pth."""
    match = FILE_NAME.match(Path(name).stem)
    if match is None:
        return None
    return ReleasedName(match["attribute"], match["category"], int(match["steps"]))


def read_known(values: Mapping[str, Any]) -> Known:
    """What a JSON object says about a direction; AsyrpError for a value of the wrong kind."""
    kinds: dict[str, Callable[[Any], Any]] = {"source": str, "target": str, "cosine": float}
    kinds["ignore_timesteps"] = switch
    given = {f.name: values[f.name] for f in fields(Known) if values.get(f.name) is not None}
    try:
        return Known(**{name: kinds.get(name, int)(value) for name, value in given.items()})
    except (TypeError, ValueError, OverflowError) as error:
        raise AsyrpError(f"a direction's entries cannot be used: {str(error)[:300]}") from error


def foreign(values: Mapping[str, Any]) -> list[str]:
    """The names that mean nothing for a direction."""
    return sorted(set(values) - {f.name for f in fields(Known)})


def convert_direction(
    found: Detected, name: str, known: Known, fingerprint: str = "", preset: Preset | None = None
) -> ConvertedDirection:
    """A released direction with a card filled in from its file name and the presets.

    Args:
        name: of the file. fingerprint: of the network it belongs to; empty where that is not
            available. preset: instead of the dataset that the name tells.

    Raises:
        AsyrpError: no direction, or tensors of other shapes.
    """
    direction = to_direction(found, bool(known.ignore_timesteps))
    parsed = read_name(name)
    if parsed is not None and preset is None:
        preset = next((one for one in EVERY if one.category == parsed.category), None)
    notes: list[str] = []
    known = _ended(known, direction, preset, notes)
    texts = _texts(parsed, known, name, notes)
    phases = _phases(parsed, known, preset, notes)
    steps = known.trained_steps
    if steps is None and parsed is not None:
        steps = parsed.steps
    if steps is None:
        notes.append(f"trained on {USUAL_STEPS} steps")
    if not fingerprint:
        notes.append("the file does not say which weights it was trained on; --model binds it")
    training: dict[str, Any] = {"released_as": name}
    training |= {"network": preset.name if preset else "", "assumed": notes}
    training |= {"lambda_clip": texts.lambda_clip, "lambda_recon": texts.lambda_recon}
    card = DirectionCard(
        source=texts.source,
        target=texts.target,
        t_edit=phases.t_edit,
        t_boost=min(phases.t_boost, phases.t_edit),
        trained_steps=USUAL_STEPS if steps is None else steps,
        fingerprint=fingerprint,
        encoder=CLIP,
        text_cosine=round(phases.cosine, 4),
        training=training,
    )
    return ConvertedDirection(direction, card, tuple(notes))


def to_direction(found: Detected, ignore_timesteps: bool = False) -> nn.Module:
    """f_t under our names, or a table of dh; AsyrpError for other keys or shapes."""
    if found.kind == "table direction":
        return to_table(found, ignore_timesteps)
    layout: Layout = "ddpm" if found.kind == "ddpm direction" else "adm"
    if found.kind not in ("ddpm direction", "adm direction"):
        raise AsyrpError(f"needed a direction; the file holds a network ({found.kind})")
    names = _names(layout)
    wrong = sorted(set(names) ^ set(found.tensors))
    if wrong:
        raise AsyrpError(
            f"an f_t of the {layout.upper()} layout has {len(names)} tensors; missing or too many: "
            f"{', '.join(key[:100] for key in wrong[:4])}"
        )
    check_finite(found.tensors)
    state = {names[key]: value.float() for key, value in found.tensors.items()}
    try:
        direction = restored(state, layout, use_time=not ignore_timesteps)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1].strip()[:300]
        raise AsyrpError(f"the tensors are not those of one f_t: {reason}") from error
    return direction.requires_grad_(False)


class Original(NamedTuple):
    """Tensors under the official code's names, and the key under which a checkpoint has them."""

    tensors: dict[str, Tensor]
    place: str


def to_original(path: Path) -> Original:
    """The tensors of a direction file under the official code's names, bit for bit.

    Raises:
        AsyrpError: no direction file, or a direction that the official code does not have.
    """
    header, tensors = load_tensors(path, KIND)
    try:
        layout = dict(parse_json(header.get("layout", "{}")))
        if layout.get("kind") in ("timestep", "global"):
            return Original(to_entries(layout["kind"], tensors), "")
        if layout.get("kind") != "implicit":
            raise AsyrpError(
                f"the official code has no such direction; {str(path)!r} is {layout.get('kind')}"
            )
        names = {new: old for old, new in _names(layout["layout"]).items()}
        return Original({names[key]: value for key, value in tensors.items()}, "0")
    except AsyrpError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise AsyrpError(f"{str(path)!r} is damaged: {str(error)[:300]}") from error


def _names(layout: Layout) -> dict[str, str]:
    """Original key -> our key."""
    pairs = NAMES[layout].items()
    return {f"{old}.{kind}": f"{new}.{kind}" for old, new in pairs for kind in ("weight", "bias")}


def _texts(
    parsed: ReleasedName | None, known: Known, name: str, notes: list[str]
) -> AttributePreset:
    """Source and target text, with the weights of the loss that go with them."""
    texts = parsed.texts if parsed else ""
    listed = next((p.attributes[texts] for p in EVERY if texts in p.attributes), None)
    made = listed or AttributePreset("image", parsed.attribute if parsed else Path(name).stem)
    if listed is None and not (known.source and known.target):
        notes.append(f"texts unknown: {made.source!r} -> {made.target!r} stand for them")
    return made._replace(source=known.source or made.source, target=known.target or made.target)


def _ended(known: Known, direction: nn.Module, preset: Preset | None, notes: list[str]) -> Known:
    """Without a dataset, a table of dh says itself where editing ends."""
    if preset or known.t_edit is not None or not isinstance(direction, TimestepDirection):
        return known
    notes.append(f"t_edit {direction.times[0]}, where the table ends")
    return replace(known, t_edit=direction.times[0])


class _Phases(NamedTuple):
    t_edit: int
    t_boost: int
    cosine: float


def _phases(
    parsed: ReleasedName | None, known: Known, preset: Preset | None, notes: list[str]
) -> _Phases:
    """As given, as published, or by the released tables at a text cosine."""
    tables = preset.tables if preset else None
    texts = parsed.texts if parsed else ""
    listed = preset.attributes.get(texts) if preset else None
    published = listed.t_edit if listed else None
    cosine = known.cosine
    if tables is None:
        t_edit = USUAL_EDIT if known.t_edit is None else known.t_edit
        t_boost = USUAL_BOOST if known.t_boost is None else known.t_boost
        if known.t_edit is None or known.t_boost is None:
            notes.append(f"no table for its dataset: t_edit {t_edit}, t_boost {t_boost}")
        return _Phases(t_edit, t_boost, cosine or 0.0)
    if cosine is None and published is not None:
        cosine = implied_cosine(tables, published)
        notes.append(f"text cosine {cosine:.3f}, implied by the published t_edit {published}")
    elif cosine is None:
        cosine = UNKNOWN_COSINE
        notes.append(f"text cosine {cosine}; --cosine gives the one that CLIP measures")
    found = released_intervals(tables, cosine)
    t_boost = found.t_boost if known.t_boost is None else known.t_boost
    t_edit = found.t_edit if known.t_edit is None else known.t_edit
    return _Phases(t_edit, t_boost, cosine)
