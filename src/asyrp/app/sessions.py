"""One session a tab: its picture and its work, which end with it."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from asyrp.app.discovery import Component
from asyrp.app.jobs import Job
from asyrp.app.pictures import Picture
from asyrp.app.training import Progress, TrainingData
from asyrp.app.trajectories import Plan, Walks
from asyrp.errors import AsyrpError
from asyrp.method.editing_interval import Curves

SLOTS = 6  # directions at a time


class Work(NamedTuple):
    """A picture that is open: its walks, its reconstruction and that one's mean squared error."""

    picture: Picture
    walks: Walks
    reconstruction: Tensor
    error: float
    note: str = ""  # where it is no picture of the domain


class Made(NamedTuple):
    """An edit that is finished, (3, height, width), and the plan it followed."""

    work: Work
    plan: Plan
    image: Tensor


class Marks(NamedTuple):
    """Timesteps of the three phases."""

    t_start: int
    t_edit: int
    t_boost: int


class Snapshot(NamedTuple):
    """What the controls said of an edit: the directions in the slots, and their values."""

    slots: tuple[str | None, ...]
    values: tuple[Any, ...]


class Ticket(NamedTuple):
    """Leave to do a job: it lapses when the session wants another, or ends.

    As a context it is given back at the end.
    """

    session: "Session"
    job: str
    want: Hashable

    @property
    def live(self) -> bool:
        """Whether to go on."""
        return not self.session.closed and self.session.wants.get(self.job) == self.want

    def __enter__(self) -> "Ticket":
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.session.stop(self.job)


class Session:
    """What belongs to one tab and to no other."""

    def __init__(self) -> None:
        self.closed = False
        self.domain = ""  # "" for that of the server
        self.failed = False  # whether the last action ended with an error
        self.walking = 0  # walks under way
        self.job: Job | None = None
        self.trained: Path | None = None
        self.about = self.result = ""  # lines on the picture, and on what was trained
        self.clear()

    def clear(self) -> None:
        """End all work and let go of what belongs to the networks of one domain."""
        self.wants: dict[str, Hashable] = {}
        self.past: list[Snapshot] = []
        self.faces: list[Picture] = []
        self.work: Work | None = None
        self.made: Made | None = None
        self.strip: Tensor | None = None
        self.curves: Curves | None = None
        self.marks: Marks | None = None
        self.slots: tuple[str | None, ...] = (None,) * SLOTS
        self.prepared: tuple[Job, TrainingData] | None = None
        self.found: list[Component] = []  # of the tab that discovers

    @property
    def opening(self) -> bool:
        """Whether another picture is on its way, so that nothing is to be made of this one."""
        return "picture" in self.wants

    def opened(self) -> Work:
        """The picture that is open."""
        if self.work is None:
            raise AsyrpError("needed a picture; choose a face or upload one")
        return self.work

    def begin(self, job: str, want: Hashable) -> Ticket:
        """Want something; whatever else of the same job is under way ends."""
        self.wants[job] = want
        return Ticket(self, job, want)

    def stop(self, job: str) -> None:
        """Want nothing of a job."""
        self.wants.pop(job, None)

    def close(self) -> None:
        """End all work and let go of the pictures."""
        self.closed = True
        self.clear()


class Training(NamedTuple):
    """A training that runs in a session, or was interrupted."""

    job: Job
    session: Session | None = None
    progress: Progress | None = None

    @property
    def title(self) -> str:
        """As a list names it."""
        if self.session is None:
            return f"{self.job.title} (interrupted)"
        return f"{self.job.title} (running{': ' + self.progress.what if self.progress else ''})"


def assign(slots: Sequence[str | None], chosen: Sequence[str]) -> tuple[str | None, ...]:
    """Slots for the chosen directions: who has one keeps it, newcomers take the first free."""
    kept = [key if key in chosen else None for key in slots]
    for key in chosen:
        if key not in kept and None in kept:
            kept[kept.index(None)] = key
    return tuple(kept)


class Sessions:
    """The open sessions by the name of their tab; past `most` the one idle longest is closed."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def get(self, name: str) -> Session:
        """The session of a tab, new at its first call."""
        with self._lock:
            session = self._open.setdefault(name, Session())
            self._open.move_to_end(name)
            while len(self._open) > self.most:
                self._open.pop(self._idlest(name)).close()
            return session

    def _idlest(self, but: str) -> str:
        """The tab that has called last longest ago, those that train only where all others do."""
        others = [name for name in self._open if name != but]
        return min(others, key=lambda name: "training" in self._open[name].wants)

    def close(self, name: str) -> None:
        """End the session of a tab that was closed."""
        with self._lock:
            session = self._open.pop(name, None)
        if session:
            session.close()
