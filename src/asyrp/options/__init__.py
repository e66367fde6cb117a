"""The options of every command, as data. Imports nothing heavy, so that --help is instant."""

from typing import Any

from asyrp.options.app import App
from asyrp.options.domains import Compare, Demo, Domain, Reproduce, Study, World
from asyrp.options.editing import (
    Directions,
    Doctor,
    Edit,
    Inspect,
    Intervals,
    Invert,
    Sample,
    Train,
)
from asyrp.options.evaluate import Evaluate
from asyrp.options.files import Align, Convert, Gather, Paste
from asyrp.options.finding import Find
from asyrp.options.shared import Applying, Guides, Inverting, Network, OnDomain, asking

__all__ = ["COMMANDS", "GROUPS", "Applying", "Guides", "Inverting", "Network", "OnDomain", "asking"]

# what for -> command -> its options; commands/NAME.py runs it
GROUPS: dict[str, dict[str, Any]] = {
    "Begin": {"demo": Demo, "app": App, "doctor": Doctor},
    "Edit": {"edit": Edit, "sample": Sample, "align": Align, "paste": Paste, "invert": Invert},
    "Directions": {"directions": Directions, "train": Train, "find": Find, "intervals": Intervals},
    "Measure": {"evaluate": Evaluate, "compare": Compare, "study": Study, "reproduce": Reproduce},
    "Networks, images, domains": {
        "inspect": Inspect,
        "convert": Convert,
        "gather": Gather,
        "domain": Domain,
        "world": World,
    },
}
COMMANDS: dict[str, Any] = {name: kind for part in GROUPS.values() for name, kind in part.items()}
