"""What every way to find a direction has in common: what it is given, and what it answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.method.direction_file import SavedDirection
from asyrp.method.directions import TimestepDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import TextImageEncoder
from asyrp.method.unedited_trajectory import Window
from asyrp.runtime.transfer import sent
from asyrp.settings import Region

NEEDS: Mapping[str, str] = {
    "images": "images, or random samples of the network",
    "labels": "a label for each image",
    "after": "a second image for each image, as it looks after the edit",
    "text": "a text-image encoder",
    "directions": "directions that were found before",
}


class FoundDirection(NamedTuple):
    """One answer of a finder.

    name: of its file. explains: how much of what was looked at it accounts for (variance, accuracy,
    singular values, loss). texts: what it leads from and to, where that is known. encoder: who
    told, and text_cosine: cos(source, target) by it. region: where it acts, () for everywhere.
    """

    name: str
    direction: nn.Module
    explains: Mapping[str, Any]
    texts: tuple[str, str] = ("", "")
    encoder: str = ""
    text_cosine: float = 0.0
    region: Region = ()


class FinderStep(NamedTuple):
    """Work done out of a total, in units of the finder's own; the last step holds the directions.

    loss: of a finder that trains.
    """

    done: int
    total: int
    directions: tuple[FoundDirection, ...] = ()
    loss: float | None = None


@dataclass(frozen=True)
class FinderData:
    """What a finder looks at.

    latents: x of the images where the window begins, (n, c, height, width). window: the pairs
    before the editing interval, and those of it. images: the clean x, for those who look at it.
    labels: (n,), 1 where an image shows what the direction should lead to, 0 where not. after:
    latents of the same images after the edit. directions, without: for `compose`, the latter to be
    left out of the former. steps: S, the length of the whole grid. state: a folder for unfinished
    work; None to keep none. mask: (height, width) of x, 0 to 1, where to look.
    """

    latents: Tensor
    window: Window
    images: Tensor | None = None
    labels: Tensor | None = None
    after: Tensor | None = None
    encoder: TextImageEncoder | None = None
    directions: Sequence[SavedDirection] = ()
    without: Sequence[SavedDirection] = ()
    steps: int = 20
    batch_size: int = 16
    state: Path | None = None
    mask: Tensor | None = field(default=None, repr=False)

    @property
    def gives(self) -> frozenset[str]:
        """Which of `NEEDS` are here."""
        here = {
            "images": len(self.latents),
            "labels": self.labels is not None,
            "after": self.after is not None,
            "text": self.encoder is not None,
            "directions": self.directions,
        }
        return frozenset(name for name, there in here.items() if there)


class DirectionFinder(Protocol):
    """A way to find directions; its settings are its fields."""

    @property
    def name(self) -> str:
        """What --by and the card call it."""

    @property
    def needs(self) -> frozenset[str]:
        """Which of `NEEDS` it cannot do without."""

    def find(self, model: HSpaceUNet, data: FinderData) -> Iterator[FinderStep]:
        """Search; continues from `data.state` where that holds the beginning of the same search.

        Raises:
            AsyrpError: something needed is missing, or cannot be searched in.
        """


def check_needs(finder: DirectionFinder, data: FinderData) -> None:
    """Raise AsyrpError where a finder needs what is not there."""
    for name in sorted(finder.needs - data.gives):
        raise AsyrpError(f"the finder {finder.name!r} needs {NEEDS[name]}; got none")


def frozen_table(model: HSpaceUNet, table: Mapping[int, Tensor]) -> TimestepDirection:
    """timestep -> dh (c, h', w') as a direction where the network is, without gradients."""
    direction = TimestepDirection({t: sent(dh, model.device) for t, dh in table.items()})
    return direction.requires_grad_(False).eval()


def last_of(steps: Iterator[FinderStep]) -> tuple[FoundDirection, ...]:
    """The directions of a search, walked to its end."""
    *_, last = steps
    return last.directions
