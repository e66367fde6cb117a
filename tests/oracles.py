"""Second implementations and closed forms. Nothing here calls the package's own mathematics."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

NumpyModel = Callable[[np.ndarray, int], np.ndarray]


def alpha_bar_table(length: int = 1000, start: float = 1e-4, end: float = 0.02) -> list[float]:
    """The linear schedule by repeated multiplication of Python floats."""
    table, product = [], 1.0
    for i in range(length):
        product *= 1.0 - (start + (end - start) * i / (length - 1))
        table.append(product)
    return table


def level(table: Sequence[float], t: int) -> float:
    """alpha_bar with the image at t = -1."""
    return 1.0 if t < 0 else table[t]


def numpy_generate(
    model: NumpyModel, table: Sequence[float], x: np.ndarray, times: Sequence[int]
) -> list[np.ndarray]:
    """DDIM from x at times[-1] down to the image; `times` ascend. x after each step."""
    states = []
    for i in reversed(range(len(times))):
        now, then = level(table, times[i]), level(table, times[i - 1] if i else -1)
        eps = model(x, times[i])
        clean = x / now**0.5 - (1 / now - 1) ** 0.5 * eps
        x = then**0.5 * clean + (1 - then) ** 0.5 * eps
        states.append(x)
    return states


def numpy_invert_source(
    model: NumpyModel, table: Sequence[float], x: np.ndarray, times: Sequence[int]
) -> list[np.ndarray]:
    """The official code's inversion: the image is x at times[0], eps at the lower end."""
    states = []
    for low, high in pairwise(times):
        x = _raised(x, model(x, low), table[low], table[high])
        states.append(x)
    return states


def numpy_invert_target(
    model: NumpyModel, table: Sequence[float], x: np.ndarray, times: Sequence[int]
) -> list[np.ndarray]:
    """The inversion of diffusers: from alpha_bar = 1, the network is told the upper timestep."""
    states = []
    for i, high in enumerate(times):
        low = level(table, times[i - 1] if i else -1)
        x = _raised(x, model(x, high), low, table[high])
        states.append(x)
    return states


def _raised(x: np.ndarray, eps: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = x / low**0.5 + ((1 / high - 1) ** 0.5 - (1 / low - 1) ** 0.5) * eps
    return high**0.5 * scaled


@dataclass(frozen=True)
class Gaussian:
    """Images x0 ~ N(mean, std^2): the ideal noise prediction and its ODE are closed forms."""

    table: Sequence[float]
    mean: float = 0.3
    std: float = 0.5

    def spread(self, t: int) -> float:
        """Standard deviation of x_t."""
        ab = level(self.table, t)
        return math.sqrt(ab * self.std**2 + 1 - ab)

    def slope(self, t: int) -> float:
        """d eps / d x."""
        return math.sqrt(1 - level(self.table, t)) / self.spread(t) ** 2

    def eps(self, x: Tensor, t: int) -> Tensor:
        """E[noise | x_t], linear in x."""
        return self.slope(t) * (x - math.sqrt(level(self.table, t)) * self.mean)

    def at(self, z: Tensor, t: int) -> Tensor:
        """x_t on the probability-flow trajectory that keeps the standardised z."""
        return math.sqrt(level(self.table, t)) * self.mean + self.spread(t) * z


def wavy(x: np.ndarray, t: int) -> np.ndarray:
    """A nonlinear noise prediction, in numpy."""
    return 0.8 * np.sin(1.3 * x + 0.002 * t) + 0.1 * x


def wavy_torch(x: Tensor, t: int) -> Tensor:
    """The same in torch."""
    return 0.8 * torch.sin(1.3 * x + 0.002 * t) + 0.1 * x


def order(sizes: Sequence[int], errors: Sequence[float]) -> float:
    """Least-squares slope of -log(error) over log(size)."""
    return -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
