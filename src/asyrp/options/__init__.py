"""The options of every command, as data. Imports nothing heavy, so that --help is instant."""

from typing import Any

from asyrp.options.editing import Edit, Inspect, Intervals, Invert, Sample, Train
from asyrp.options.shared import Applying, Guides, Inverting, Network
from asyrp.options.world import Demo, World

__all__ = [
    "COMMANDS",
    "Applying",
    "Demo",
    "Edit",
    "Guides",
    "Inspect",
    "Intervals",
    "Invert",
    "Inverting",
    "Network",
    "Sample",
    "Train",
    "World",
]

# command -> its options; commands/NAME.py runs it
COMMANDS: dict[str, Any] = {
    "demo": Demo,
    "invert": Invert,
    "intervals": Intervals,
    "train": Train,
    "edit": Edit,
    "sample": Sample,
    "inspect": Inspect,
    "world": World,
}
