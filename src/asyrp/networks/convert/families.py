"""The families of original networks that can be converted; a new one is a `Family` here."""

from collections.abc import Mapping

from asyrp.networks.convert.adm import ADM
from asyrp.networks.convert.ddpm import DDPM
from asyrp.networks.convert.structure import Family, Structure

FAMILIES: dict[str, Family] = {family.name: family for family in (DDPM, ADM)}


def family_of(structure: Structure) -> Family:
    """The family of a network."""
    return FAMILIES[structure.family]


def aliases() -> Mapping[str, str]:
    """What hyper-parameters call a family -> its name."""
    return {alias: family.name for family in FAMILIES.values() for alias in family.aliases}
