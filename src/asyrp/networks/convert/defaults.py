"""Filling in what nobody said, and saying so."""

from dataclasses import replace
from typing import NamedTuple

from asyrp.errors import AsyrpError
from asyrp.networks.convert.adm import IMPROVED
from asyrp.networks.convert.families import family_of
from asyrp.networks.convert.hyperparameters import Hyperparameters, Resolved, compare
from asyrp.networks.convert.structure import Structure
from asyrp.networks.released_networks import known_network

SCHEDULES = {
    "linear": "linear",
    "cosine": "squaredcos_cap_v2",
    "squaredcos_cap_v2": "squaredcos_cap_v2",
    "quad": "scaled_linear",
    "scaled_linear": "scaled_linear",
}
ORDERS = {
    False: "rows of q, k, v in the legacy order (head, [q, k, v], channel)",
    True: "rows of q, k, v in the new order ([q, k, v], head, channel)",
}


class Decision(NamedTuple):
    """Hyper-parameters, and a line for each that was assumed rather than given."""

    resolved: Resolved
    assumed: tuple[str, ...]


def resolve(structure: Structure, given: Hyperparameters) -> Decision:
    """All hyper-parameters of a network; a released one of the same shape lends what is missing.

    Raises:
        AsyrpError: what was given contradicts the shapes, or the number of heads is unknown.
    """
    notes = list(compare(given, structure))
    known = known_network(structure)
    said = given
    if known is not None:
        said = given.over(known.said)
        if lines := _lent(given, said, structure):
            notes.append(f"by its shapes this is {known.name}; hence: {'; '.join(lines)}")
    whole = said.over(_defaults(structure, said))
    notes += _lent(said, whole, structure)
    if not family_of(structure).openai:  # always one head, whatever a list of flags says
        whole = replace(whole, heads=1, head_channels=None, heads_up=None, new_order=False)
    return Decision(_checked(whole), tuple(notes))


def _checked(said: Hyperparameters) -> Resolved:
    values = said.values()
    name = values["schedule"]
    if name not in SCHEDULES:
        raise AsyrpError(f"the noise schedule must be one of {', '.join(SCHEDULES)}; got {name!r}")
    if not 2 <= values["timesteps"] <= 100_000:
        raise AsyrpError(f"the number of timesteps T is 2 or more; got {values['timesteps']}")
    own = {field: getattr(said, field) for field in Resolved._fields if field != "prediction"}
    prediction = "sample" if values["predict_x0"] else "epsilon"
    return Resolved(**own | {"schedule": SCHEDULES[name], "prediction": prediction})


def _defaults(structure: Structure, said: Hyperparameters) -> Hyperparameters:
    """Those of the original scripts; OpenAI's linear schedule follows T, DDPM's does not."""
    timesteps = said.timesteps or 1000
    scale = 1000 / timesteps if family_of(structure).openai else 1.0
    defaults = Hyperparameters(
        image_size=8 << (structure.levels - 1),
        new_order=False,
        timesteps=1000,
        schedule="linear",
        beta_start=1e-4 * scale,
        beta_end=0.02 * scale,
        rescale=timesteps != 1000 and _is_improved(structure, said),
        predict_x0=False,
    )
    if said.heads or said.head_channels:
        return defaults
    if family_of(structure).openai and not said.values():
        raise AsyrpError(
            "the number of attention heads cannot be read off a checkpoint, and the shapes are of "
            "no released network; give --config FILE.json with num_heads or num_head_channels to "
            "asyrp convert, and use the folder that it makes"
        )
    return replace(defaults, heads=4 if family_of(structure).openai else 1)


def _is_improved(structure: Structure, said: Hyperparameters) -> bool:
    """Whether the network is improved-diffusion's, whose scripts rescale timesteps by default."""
    if not family_of(structure).openai or said.family is not None:
        return said.family in IMPROVED
    return structure.resample == "conv" and not said.new_order and not said.head_channels


def _lent(before: Hyperparameters, after: Hyperparameters, structure: Structure) -> list[str]:
    """A line for each hyper-parameter that matters and was filled in."""
    old, new = before.values(), after.values()
    fresh = {name: value for name, value in new.items() if name not in old}
    lines = {
        "image_size": f"pictures of {new.get('image_size')} pixels",
        "timesteps": f"T = {new.get('timesteps')} timesteps",
        "schedule": f"{new.get('schedule')} noise schedule",
    }
    if family_of(structure).openai:
        lines["head_channels"] = f"{new.get('head_channels')} channels an attention head"
        lines["heads"] = f"{new.get('heads')} attention heads at every level"
        lines["new_order"] = ORDERS[bool(new.get("new_order"))]
        if new.get("timesteps", 1000) != 1000:
            state = "times 1000 / T" if new.get("rescale") else "as they are"
            lines["rescale"] = f"timesteps reach the network {state}"
    return [line for name, line in lines.items() if name in fresh]
