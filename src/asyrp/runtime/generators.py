"""Generators that end with a value."""

from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Step = TypeVar("Step")
End = TypeVar("End")


class Running(Generic[Step, End]):
    """A generator whose return value is kept: iterate it to the end, then read `value`."""

    def __init__(self, steps: Generator[Step, None, End]):
        self._steps = steps
        self.value: End

    def __iter__(self) -> Iterator[Step]:
        """Its steps."""
        self.value = yield from self._steps
