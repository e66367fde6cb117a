"""Generators that end with a value, and what is made under a seed of its own."""

from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

import torch

Step = TypeVar("Step")
End = TypeVar("End")
Made = TypeVar("Made")


class Running(Generic[Step, End]):
    """A generator whose return value is kept: iterate it to the end, then read `value`."""

    def __init__(self, steps: Generator[Step, None, End]):
        self._steps = steps
        self.value: End

    def __iter__(self) -> Iterator[Step]:
        """Its steps."""
        self.value = yield from self._steps


def seeded(seed: int, make: Callable[[], Made]) -> Made:
    """What is made on the CPU from a seed; nobody else's random numbers change."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()
