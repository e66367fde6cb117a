"""State dicts between a family's names and diffusers' names."""

from collections.abc import Iterator, Mapping, Set
from typing import Any

from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.networks.convert.build import head_counts, unet_shapes
from asyrp.networks.convert.families import family_of
from asyrp.networks.convert.structure import Structure, Weights

FEW = 4  # keys that an error names
LONGEST = 100  # letters of a key in an error


def to_diffusers(
    weights: Weights, structure: Structure, config: Mapping[str, Any], new_order: bool
) -> dict[str, Tensor]:
    """A whole state dict for the network of `config`; AsyrpError for other keys or shapes."""
    names = dict(_pairs(structure))
    _refuse_extra(set(weights) - set(names))
    renamed = {names[key]: value for key, value in weights.items()}
    state = family_of(structure).to_diffusers(renamed, head_counts(config), new_order)
    _check(state, unet_shapes(config), structure)
    return state


def _refuse_extra(keys: Set[str]) -> None:
    if keys:
        raise AsyrpError(
            f"the checkpoint has {len(keys)} keys that such a network does not: {_few(keys)}; it "
            "is of a network that was changed, or of several networks"
        )


def to_original(
    state: Mapping[str, Tensor], structure: Structure, config: Mapping[str, Any], new_order: bool
) -> dict[str, Tensor]:
    """The inverse: the same tensors under the family's own names."""
    names = {target: original for original, target in _pairs(structure)}
    renamed = family_of(structure).to_original(state, head_counts(config), new_order)
    return {names[key]: value.contiguous() for key, value in renamed.items()}


def _pairs(structure: Structure) -> Iterator[tuple[str, str]]:
    """(original key, diffusers key) of every tensor such a network may have."""
    for module in family_of(structure).modules(structure):
        for original, target in module.leaves.items():
            for kind in ("weight", "bias"):
                yield (
                    ".".join(part for part in (module.original, original, kind) if part),
                    ".".join(part for part in (module.target, target, kind) if part),
                )


def _check(state: Mapping[str, Tensor], shapes: Mapping[str, Any], structure: Structure) -> None:
    originals = {target: original for original, target in _pairs(structure)}

    def named(key: str) -> str:
        joined = key.replace("to_q", "qkv").replace("to_k", "qkv").replace("to_v", "qkv")
        return originals.get(key) or originals.get(joined) or key

    if missing := {named(key) for key in set(shapes) - set(state)}:
        raise AsyrpError(
            f"the checkpoint lacks {len(missing)} keys of its network: {_few(missing)}; "
            "download it again"
        )
    _refuse_extra({named(key) for key in set(state) - set(shapes)})
    wrong = sorted(key for key, value in state.items() if value.shape != shapes[key])
    if wrong:
        raise AsyrpError(
            f"{named(wrong[0])!r} (and {len(wrong) - 1} more) has another shape than its network "
            f"needs: {tuple(state[wrong[0]].shape)} for {tuple(shapes[wrong[0]])}"
        )


def _few(keys: Set[str]) -> str:
    first = ", ".join(key[:LONGEST] for key in sorted(keys)[:FEW])
    return first + (", ..." if len(keys) > FEW else "")
