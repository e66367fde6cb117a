"""The networks of the paper by name: weights, licence, texts, tables and what was published."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from asyrp.errors import AsyrpError
from asyrp.networks.convert.hyperparameters import Hyperparameters
from asyrp.networks.released_networks import NETWORKS, ReleasedNetwork
from asyrp.networks.released_tables import released_intervals
from asyrp.networks.released_texts import text_pairs
from asyrp.storage.shipped import shipped_tables

LAMBDA_RECON = 3.0  # times cos(source, target); README and scripts of the official code
LAMBDA_CLIP = 1.0  # of the scripts, where the paper gives none
PAPER_CLIP = {"neanderthal": 1.2}  # of the paper's tables, where it is not 0.8


class WeightSource(NamedTuple):
    """A place that weights come from.

    place: a Hub id, a file of a Hub repository (owner/name/file), both with "@revision" where one
    is known (others in `untrusted.revisions`), or a URL; "#md5=..." or "#sha256=..." behind it is
    checked. note: what to know about it. other: whether it has other
    weights than the released directions were trained on, as far as is known.
    """

    kind: Literal["hub", "hub file", "url"]
    place: str
    note: str = ""
    other: bool = False


class AttributePreset(NamedTuple):
    """A text pair with the settings that were published for it.

    t_edit: of the paper's tables 2 and 3; None where none was published.
    """

    source: str
    target: str
    lambda_clip: float = LAMBDA_CLIP
    lambda_recon: float = LAMBDA_RECON
    t_edit: int | None = None
    unseen: bool | None = None


class Preset(NamedTuple):
    """A network of the paper.

    files: names of the original file, looked for in the cache folder first. category: as names
    of released directions say it. domain: of its text pairs. tables: dataset of the released
    LPIPS tables, None without. by_hand: a page from which a person can fetch the file. seen,
    unseen: t_edit that was published for values that the network was trained on, and for others.
    """

    name: str
    network: ReleasedNetwork
    files: tuple[str, ...]
    sources: tuple[WeightSource, ...]
    licence: str
    domain: str
    category: str | None = None
    tables: str | None = None
    by_hand: str = ""
    seen: Mapping[str, int] = {}
    unseen: Mapping[str, int] = {}

    @property
    def said(self) -> Hyperparameters:
        """Its hyper-parameters."""
        return self.network.said

    @property
    def attributes(self) -> dict[str, AttributePreset]:
        """Name -> texts and settings."""
        found = {name: AttributePreset(*pair) for name, pair in text_pairs(self.domain).items()}
        for name, t_edit in {**self.seen, **self.unseen}.items():
            found[name] = found[name]._replace(
                lambda_clip=PAPER_CLIP.get(name, 0.8), t_edit=t_edit, unseen=name in self.unseen
            )
        return found

    @property
    def t_boost(self) -> int | None:
        """From the released table; None without one."""
        return released_intervals(self.tables, 1.0).t_boost if self.tables else None


def _preset(name: str, table: Mapping[str, Any]) -> Preset:
    sources = tuple(WeightSource(**source) for source in table["sources"])
    own = {**table, "sources": sources, "network": NETWORKS[table["network"]]}
    return Preset(name=name, **own)


_TABLES = shipped_tables(__package__, "data", "presets.toml")
PRESETS = {name: _preset(name, table) for name, table in _TABLES.items()}
EVERY = tuple(PRESETS.values())


def find_preset(name: str) -> Preset:
    """A preset by name; AsyrpError where there is no such preset."""
    if name not in PRESETS:
        raise AsyrpError(f"unknown preset {name!r}; needed one of: {', '.join(PRESETS)}")
    return PRESETS[name]
