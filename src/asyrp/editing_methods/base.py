"""What a method of editing is: what it needs, and how it is made ready for one task of a domain."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor

from asyrp.domains.base import Domain, Task
from asyrp.domains.inverted_images import InvertedImages
from asyrp.method.cost import Cost
from asyrp.method.editing_interval import EditInterval
from asyrp.settings import TrainSettings

Setting = Mapping[str, float]


class Inputs(NamedTuple):
    """What every method gets: phases, images to train on, settings of training.

    folder: of what was trained before.
    """

    interval: EditInterval
    train: InvertedImages
    settings: TrainSettings
    folder: Path


class Editor(NamedTuple):
    """A method that is ready for one task.

    edit: (images, setting) -> edits. settings: what is tried on validation images. stored: bytes
    kept for the task. training: what it took.
    """

    edit: Callable[[InvertedImages, Setting], Tensor]
    settings: tuple[Setting, ...]
    stored: int
    training: Cost


class EditingMethod(Protocol):
    """A way to edit, beside others on the same network and images."""

    @property
    def name(self) -> str:
        """As the command line has it."""

    @property
    def title(self) -> str:
        """As tables have it."""

    @property
    def needs(self) -> frozenset[str]:
        """It runs where a domain gives these."""

    @property
    def after(self) -> str:
        """The stage that is worked before: "direction", "classifier", or "" for none."""

    @property
    def given(self) -> str:
        """What differs from the others: what it is told beside the text pair, data, boosting."""

    def prepare(self, domain: Domain, task: Task, inputs: Inputs) -> Editor:
        """Train what it trains, on the train images alone."""


Prepare = Callable[[Domain, Task, Inputs], Editor]


@dataclass(frozen=True)
class Method:
    """An `EditingMethod` made of a function.

    rate: Adam's learning rate that it is known for; the search looks around it. anew: trains what
    it trains and keeps nothing, for that search; None is `prepare`.
    """

    name: str
    title: str
    prepare: Prepare
    needs: frozenset[str] = frozenset()
    after: str = ""
    given: str = ""
    rate: float | None = None
    anew: Prepare | None = None


def why_not(method: EditingMethod, domain: Domain) -> str:
    """Why a method does not run on a domain; "" where it does."""
    tasks = domain.tasks.values()
    own = {
        "judge": domain.scorers.judge is not None,
        "second task": len(tasks) > 1,
        "third task": len(tasks) > 2,
        "region": any(task.region for task in tasks),
    }
    here = domain.gives | {name for name, there in own.items() if there}
    lacking = sorted(method.needs - here)
    return f"{domain.name} gives no {', no '.join(lacking)}" if lacking else ""
