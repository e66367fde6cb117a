"""The named text pairs of the official code, by what they are about."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from asyrp.errors import AsyrpError
from asyrp.storage.shipped import shipped

DOMAINS = ("human", "dog", "church", "bedroom", "metface", "imagenet")


class TextPair(NamedTuple):
    """What an image shows, and what it should show."""

    source: str
    target: str


def text_pairs(domain: str) -> dict[str, TextPair]:
    """Name -> text pair, for one of DOMAINS; AsyrpError for another."""
    if domain not in DOMAINS:
        raise AsyrpError(f"text pairs are about {', '.join(DOMAINS)}; got {domain!r}")
    return {name: pair for name, pair in every_pair().items() if _domain_of(name) == domain}


@cache
def every_pair() -> Mapping[str, TextPair]:
    """All released text pairs, name -> pair."""
    path = shipped("asyrp.networks", "data", "text_pairs.tsv")
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return MappingProxyType({name: TextPair(*texts) for name, *texts in rows})


def _domain_of(name: str) -> str:
    first = name.split("_")[0]
    if first in ("dog", "church", "bedroom", "metface"):
        return first
    return "imagenet" if "2" in name or name == "test" else "human"
