"""Released networks by their shapes: the hyper-parameters that shapes do not tell."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from asyrp.networks.convert.hyperparameters import Hyperparameters
from asyrp.networks.convert.structure import Structure
from asyrp.storage.shipped import shipped_tables


class ReleasedNetwork(NamedTuple):
    """A released network: its name, and its hyper-parameters.

    `said` holds what identifies the shape too: channels, blocks, attention, norm, resampling.
    """

    name: str
    family: str
    said: Hyperparameters


def _known(name: str, family: str, **said: Any) -> ReleasedNetwork:
    return ReleasedNetwork(name, family, Hyperparameters(**said))


_TABLES = shipped_tables(__package__, "data", "networks.toml")
NETWORKS: Mapping[str, ReleasedNetwork] = {key: _known(**table) for key, table in _TABLES.items()}


def known_network(structure: Structure) -> ReleasedNetwork | None:
    """The released network of exactly these shapes, if there is one."""
    return next((known for known in NETWORKS.values() if _matches(known, structure)), None)


def _matches(known: ReleasedNetwork, structure: Structure) -> bool:
    said, narrow = known.said, structure.widths[0]
    size, places = said.image_size or 0, said.attention_resolutions or ()
    found = (
        structure.family,
        structure.learned_sigma,
        narrow,
        structure.blocks,
        tuple(width / narrow for width in structure.widths),
        tuple(size >> i in places for i in range(structure.levels)),
    )
    wanted = (known.family, said.learned_sigma, said.channels, said.res_blocks, said.channel_mult)
    if found != (*wanted, structure.attends):
        return False
    resampled = said.resblock_updown in (None, structure.resample == "resnet")
    return resampled and said.scale_shift in (None, structure.scale_shift)
