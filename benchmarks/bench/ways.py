"""How an edit may be walked for less, and by which direction."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from asyrp.method.directions import Direction


class Way(NamedTuple):
    """How an edit is walked.

    solver: 1 (DDIM) or 2. shared: one dh for all. half: bfloat16. own: by the direction that was
    trained on as many steps, where there is one, instead of that of the longest grid.
    """

    steps: int
    solver: int = 1
    shared: bool = False
    half: bool = False
    own: bool = False

    @property
    def name(self) -> str:
        """For a table."""
        parts = [f"{self.steps} steps", "second order" if self.solver == 2 else "DDIM"]
        parts += ["one dh for all"] if self.shared else []
        parts += ["trained on as many"] if self.own else []
        return ", ".join([*parts, "bfloat16"] if self.half else parts)


WAYS = (
    Way(40),
    Way(40, half=True),
    Way(30),
    Way(20),
    Way(20, own=True),
    Way(20, half=True, own=True),
    Way(20, 2),
    Way(13, 2),
    Way(20, 1, True),
    Way(13, 2, True),
)


class Trained(NamedTuple):
    """A direction with the strength at which it saturates, and its seconds an image and epoch."""

    direction: Direction
    steps: int
    strength: float
    seconds: float

    def told(self) -> dict[str, Any]:
        """For the record."""
        return {
            "training_steps": self.steps,
            "strength": self.strength,
            "seconds_an_image": self.seconds,
        }


def trained_for(way: Way, trained: Sequence[Trained]) -> Trained:
    """The direction of the longest grid, which comes first, or of the way's own."""
    own = [one for one in trained if way.own and one.steps == way.steps]
    return own[0] if own else trained[0]
