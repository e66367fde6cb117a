"""A judge of attributes: logits of every value of every attribute, and what follows from them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from asyrp.errors import AsyrpError

Answers = Mapping[str, np.ndarray]
"""attribute -> (n,) index of the value a judge sees."""
Shown = Mapping[str, np.ndarray]
"""attribute -> (n,) bool: whether the attribute shows, before and after the edit."""


class Judge(Protocol):
    """A classifier of several attributes, which guides no edit."""

    @property
    def name(self) -> str:
        """What a table records."""

    @property
    def values(self) -> Mapping[str, Sequence[str]]:
        """attribute -> the names of its values, two or more."""

    @property
    def audited(self) -> Sequence[str]:
        """Attributes by which subgroups are compared."""

    def logits(self, images: Tensor) -> Mapping[str, Tensor]:
        """(n, c, height, width) -> attribute -> (n, values), in the order of `values`."""

    def visible(self, values: Mapping[str, str], attribute: str) -> bool:
        """Whether an attribute shows in an image with these values, as hair under a hat does not.

        values: attribute -> value, of every attribute.
        """


def answers(judge: Judge, images: Tensor) -> dict[str, np.ndarray]:
    """(n, c, height, width) -> attribute -> (n,) index of the likeliest value."""
    return {name: rows.argmax(1).cpu().numpy() for name, rows in judge.logits(images).items()}


def probabilities(judge: Judge, images: Tensor) -> dict[str, Tensor]:
    """(n, c, height, width) -> attribute -> (n, values), every row summing to 1."""
    return {name: rows.softmax(1) for name, rows in judge.logits(images).items()}


def log_odds(judge: Judge, images: Tensor, attribute: str, value: str) -> np.ndarray:
    """log p / (1 - p) of a value, (n,) float64."""
    chosen = wanted(judge, attribute, value)
    rows = judge.logits(images)[attribute].double()
    others = torch.cat([rows[:, :chosen], rows[:, chosen + 1 :]], 1)
    found: np.ndarray = (rows[:, chosen] - others.logsumexp(1)).cpu().numpy()
    return found


def wanted(judge: Judge, attribute: str, value: str) -> int:
    """The index of a value; AsyrpError where the judge does not know it."""
    return place_of(judge.values, attribute, value)


def place_of(values: Mapping[str, Sequence[str]], attribute: str, value: str) -> int:
    """The index of a value among those of an attribute; AsyrpError where there is none such."""
    if attribute not in values:
        known = ", ".join(values)
        raise AsyrpError(f"the judge has no question about {attribute!r}; it answers for: {known}")
    names = list(values[attribute])
    if value not in names:
        known = ", ".join(map(repr, names))
        raise AsyrpError(f"{attribute} has no value {value!r} for the judge; it has: {known}")
    return names.index(value)


def shown(judge: Judge, before: Answers, attribute: str, value: str) -> dict[str, np.ndarray]:
    """Whether each other attribute shows, in an image as it was and with the new value."""
    images = [
        {name: judge.values[name][int(seen[row])] for name, seen in before.items()}
        for row in range(len(before[attribute]))
    ]

    def both(image: Mapping[str, str], other: str) -> bool:
        return judge.visible(image, other) and judge.visible({**image, attribute: value}, other)

    return {
        other: np.array([both(image, other) for image in images], dtype=bool)
        for other in before
        if other != attribute
    }
