"""What the reference page gets from the code when the pages are built.

The options of every command as `--help` prints them, docstrings, and the cards of shipped weights.
"""

import inspect
import re
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import asyrp
from asyrp import cli
from asyrp.options import COMMANDS
from asyrp.options.finding import By

PACKAGE = Path(asyrp.__file__).parent
CARDS = ("domains/*/weights/*.md", "domains/*/directions/*.md", "scorers/data/stlpips*.md")
MEMBERS = {  # of the promised classes
    "HSpaceUNet": "",
    "Attribute": "",
    "TrainSettings": "",
    "AsyrpPipeline": "__call__",
    "DirectionModel": "forward, card, of, saved",
}
PARTS = {  # modules below the promised names -> their members; "" for all
    "asyrp.method.schedule": "",
    "asyrp.method.ddim": "",
    "asyrp.method.asymmetric_process": "ReverseStep, asymmetric, symmetric, epsilon_space",
    "asyrp.method.inversion.choose": "",
    "asyrp.method.inversion.state": "",
    "asyrp.method.inversion.two_step": "",
    "asyrp.method.inversion.belm": "",
    "asyrp.method.inversion.bdia": "",
    "asyrp.method.inversion.edict": "",
    "asyrp.method.inversion.noise_maps": "",
    "asyrp.method.directions": "",
    "asyrp.method.protocols": "",
    "asyrp.method.text_direction": "",
    "asyrp.method.clip_loss": "",
    "asyrp.finders.prepare": "Pictures, Training, Wanted, start_training, start_together,"
    " make_card, curves_of",
    "asyrp.finders.base": "DirectionFinder, FinderData, FinderStep, FoundDirection, last_of",
    "asyrp.finders.catalogue": "Clip, Labels, Pca, Jacobian, Pairs, Amortised, Compose",
    "asyrp.finders.naming": "movement, text_directions, name_of",
    "asyrp.method.editing_interval": "",
    "asyrp.domains.base": "",
    "asyrp.domains.inverted_images": "",
    "asyrp.editing_methods.base": "",
    "asyrp.storage.images": "",
    "asyrp.storage.face_alignment": "",
    "asyrp.method.direction_file": "DirectionCard, SavedDirection, read_card",
    "asyrp.method.latent_file": "",
    "asyrp.scorers.load": "",
}
EXCEPT = {"asyrp.finders.catalogue": "find"}


def reference() -> str:
    """The sections that are added behind the page, in MyST Markdown."""
    promised, parts = (rst(lines) for lines in (promised_names(), modules()))
    return "\n\n".join(
        [
            "\n## Options of the commands",
            *map(options_of, COMMANDS),
            "## Docstrings of the promised names",
            promised,
            "## Docstrings of the parts",
            "Below the promised names; these may move between versions.",
            parts,
            "## Cards of the shipped weights",
            *cards(),
        ]
    )


def options_of(command: str) -> str:
    """What `asyrp COMMAND --help` prints; of find, that of every way."""
    ways = [["--by", get_args(way)[0].name] for way in get_args(By)] if command == "find" else [[]]
    told = [help_of([command, *way]) for way in ways]
    return f"### asyrp {command}\n\n" + "\n\n".join(f"```text\n{text}\n```" for text in told)


def help_of(words: list[str]) -> str:
    """The help of a command line, without colours."""
    told = StringIO()
    with redirect_stdout(told), suppress(SystemExit):
        cli.parsed([*words, "--help"])
    return re.sub(r"\x1b\[[0-9;]*m", "", told.getvalue()).strip()


def rst(lines: Iterator[str]) -> str:
    """Directives of reStructuredText within Markdown."""
    return "\n".join(["```{eval-rst}", *lines, "```"])


def promised_names() -> Iterator[str]:
    """A directive of every name of `asyrp.__all__`."""
    for name in asyrp.__all__:
        one: Any = getattr(asyrp, name)
        if name != "__version__":
            yield f".. auto{'class' if inspect.isclass(one) else 'function'}:: asyrp.{name}"
            if name in MEMBERS:
                yield f"   :members: {MEMBERS[name]}".rstrip()


def modules() -> Iterator[str]:
    """A directive of every part."""
    for name, members in PARTS.items():
        yield f".. automodule:: {name}"
        yield f"   :members: {members}".rstrip()
        if name in EXCEPT:
            yield f"   :exclude-members: {EXCEPT[name]}"


def cards() -> Iterator[str]:
    """The cards of the weights, which lie beside them, one heading lower."""
    for place in CARDS:
        for card in sorted(PACKAGE.glob(place)):
            yield re.sub(r"^#", "###", card.read_text(), flags=re.MULTILINE)
