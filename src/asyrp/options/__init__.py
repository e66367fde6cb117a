"""The options of every command, as data. Imports nothing heavy, so that --help is instant."""

from typing import Any

from asyrp.options.align import Align, Paste
from asyrp.options.app import App
from asyrp.options.compare import Compare, Domain, Reproduce, Study
from asyrp.options.convert import Convert
from asyrp.options.data import Gather
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
from asyrp.options.finding import Find
from asyrp.options.shared import Applying, Guides, Inverting, Network, OnDomain
from asyrp.options.world import Demo, World

__all__ = [
    "COMMANDS",
    "Align",
    "App",
    "Applying",
    "Compare",
    "Convert",
    "Demo",
    "Directions",
    "Doctor",
    "Domain",
    "Edit",
    "Evaluate",
    "Find",
    "Gather",
    "Guides",
    "Inspect",
    "Intervals",
    "Invert",
    "Inverting",
    "Network",
    "OnDomain",
    "Paste",
    "Reproduce",
    "Sample",
    "Study",
    "Train",
    "World",
]

# command -> its options; commands/NAME.py runs it
COMMANDS: dict[str, Any] = {
    "demo": Demo,
    "align": Align,
    "invert": Invert,
    "intervals": Intervals,
    "train": Train,
    "find": Find,
    "directions": Directions,
    "edit": Edit,
    "paste": Paste,
    "app": App,
    "evaluate": Evaluate,
    "compare": Compare,
    "study": Study,
    "reproduce": Reproduce,
    "sample": Sample,
    "convert": Convert,
    "gather": Gather,
    "inspect": Inspect,
    "doctor": Doctor,
    "domain": Domain,
    "world": World,
}
