"""The directions that the page offers: built-in ones, and those of the user's folder."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from asyrp.app.jobs import CHECKPOINT
from asyrp.app.trajectories import Dose, Plan, Walks
from asyrp.domains.shipped import shipped_for
from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import ReverseStep
from asyrp.method.direction_file import DirectionCard, SavedDirection, load_direction
from asyrp.method.editing import random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Timesteps
from asyrp.runtime.generators import Running


class Entry(NamedTuple):
    """A direction of the gallery.

    key: names it on the page, and says nothing of its folder. title: source and target text, with
    the name of the file where another direction has the same.
    """

    key: str
    path: Path
    saved: SavedDirection
    built_in: bool
    title: str

    @property
    def card(self) -> DirectionCard:
        """Its card."""
        return self.saved.card


class Listing(NamedTuple):
    """What was found: usable directions by key, and file names with the reason they are not."""

    entries: dict[str, Entry]
    refused: dict[str, str]


class Gallery:
    """Direction files, read anew only when they change."""

    def __init__(self, model: HSpaceUNet, folder: Path):
        self.model, self.folder = model, folder
        self._loaded: dict[Path, tuple[tuple[int, int], SavedDirection | str]] = {}

    def listing(self) -> Listing:
        """Every direction that fits the network, built-in ones first."""
        entries: dict[str, Entry] = {}
        refused: dict[str, str] = {}
        for path, built_in in self._paths():
            found = self._load(path)
            if isinstance(found, str):
                refused[path.name] = found
                continue
            key = f"{'built-in' if built_in else 'own'}: {path.stem}"
            title = f"{found.card.source} → {found.card.target}"
            if title in {entry.title for entry in entries.values()}:
                title = f"{title} ({path.stem})"
            entries[key] = Entry(key, path, found, built_in, title)
        return Listing(entries, refused)

    def _paths(self) -> Iterator[tuple[Path, bool]]:
        for path in shipped_for(self.model.fingerprint()).values():
            yield path, True
        for path in sorted(self.folder.glob("*.safetensors")):
            if not path.name.startswith(".") and not path.name.endswith(CHECKPOINT):
                yield path, False

    def _load(self, path: Path) -> SavedDirection | str:
        try:
            stat = path.stat()
            version = (stat.st_mtime_ns, stat.st_size)
            kept = self._loaded.get(path)
            if kept is None or kept[0] != version:
                self._loaded[path] = version, load_direction(path, self.model)
        except AsyrpError as error:
            self._loaded[path] = version, str(error).replace(str(path), path.name)
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        return self._loaded[path][1]


class BeforeAfter(NamedTuple):
    """A face before and after a direction, (3, height, width)."""

    before: Tensor
    after: Tensor


class Samples:
    """The same random face before and after each direction, walked once and kept."""

    def __init__(self, model: HSpaceUNet, grid: Timesteps, seed: int = 3):
        self._walks = Walks(model, grid, random_latents(model, 1, seed))
        self._pairs: dict[str, tuple[SavedDirection, BeforeAfter]] = {}

    def pair(self, entry: Entry) -> Generator[ReverseStep, None, BeforeAfter]:
        """Walk as far as is new, a step at a time."""
        known = self._pairs.get(entry.key)
        if known is None or known[0] is not entry.saved:
            yield from (before := Running(self._walks.walk(Plan())))
            edit = Plan((Dose(entry.key, entry.saved.attribute()),))
            yield from (after := Running(self._walks.walk(edit)))
            found = BeforeAfter(before.value[0], after.value[0])
            self._pairs[entry.key] = known = entry.saved, found
        return known[1]
