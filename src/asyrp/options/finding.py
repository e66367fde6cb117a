"""Options of find: what all finders share, and the union of the finders themselves."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import tyro

from asyrp.finders.catalogue import FINDERS
from asyrp.lookup import look_up
from asyrp.options.shared import Flat, Guides, Inverting, Network, Overwrite, one_of, unset

By: Any = one_of(FINDERS)


@tyro.conf.configure(tyro.conf.CascadeSubcommandArgs)
@dataclass(frozen=True)
class Find:
    """Find directions, one way or another; `asyrp find --by NAME --help` lists a way's options."""

    by: Annotated[By, Flat]  # type: ignore[valid-type]
    """How: --by NAME, or MODULE:NAME of your own."""
    out: Path
    """Folder for a direction file and a sheet of strips of each direction, and find.json."""
    images: Annotated[Path | None, unset("--random is needed", "PATH")] = None
    """Folder of images to look at, or one image."""
    random: int = 0
    """Look at this many random samples of the network instead of images."""
    steps: int = 20
    """Length S of the timestep grid; editing on another S~ scales dh by S/S~."""
    t_start: Annotated[int | None, unset("from the LPIPS curves", "INT")] = None
    """First timestep of editing."""
    t_edit: Annotated[int | None, unset("from the LPIPS curves", "INT")] = None
    """Last timestep of editing."""
    t_boost: Annotated[int | None, unset("from the LPIPS curves", "INT")] = None
    """Timestep below which noise is added (quality boosting); 0 for none."""
    strength: float = 1.0
    """Factor on dh that --strength 1 of edit will stand for."""
    names: Annotated[Path | None, unset("those of the encoder's own domain", "PATH")] = None
    """File with a text a line, among which directions without a name get one."""
    noun: Annotated[str, unset("the mean of all texts", "STR")] = ""
    """What the images show without any of the texts, as in 'face'."""
    seed: int = 0
    """Seed of random samples."""
    overwrite: Overwrite = False
    network: Annotated[Network, Flat] = field(default_factory=Network)
    inverting: Annotated[Inverting, Flat] = field(default_factory=Inverting)
    guides: Annotated[Guides, Flat] = field(default_factory=Guides)


def find_of(argv: Sequence[str]) -> type[Find]:
    """`Find` with a finder of the user's own among the others, where --by MODULE:NAME names one.

    Raises:
        AsyrpError: there is no such finder.
    """
    name = finder_first(argv)[1:2]
    if argv[:1] != ["find"] or not name or ":" not in name[0]:
        return Find
    kind: Any = look_up(name[0], FINDERS, "finder")
    every: Any = one_of({**FINDERS, name[0]: kind})

    @dataclass(frozen=True)
    class Extended(Find):
        by: Annotated[every, Flat]  # type: ignore[valid-type]

    Extended.__doc__ = Find.__doc__
    return Extended


def finder_first(argv: Sequence[str]) -> list[str]:
    """`find ... --by NAME ...` with NAME where a parser of subcommands expects it."""
    apart = (word.split("=", 1) if word.startswith("--by=") else [word] for word in argv)
    words = [*chain.from_iterable(apart)]
    if words[:1] != ["find"] or "--by" not in words[:-1]:
        return list(argv)
    place = words.index("--by")
    return ["find", words[place + 1], *words[1:place], *words[place + 2 :]]
