"""The list of functions that a value passes."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from passed import TEXTS, is_image, is_text_pair, watched

HERE = Path(__file__)


class Pair(NamedTuple):
    name: str
    x: Tensor


def gives(x: Tensor) -> int:
    return len(x)


def makes(side: int) -> Tensor:
    return torch.zeros(3, side, side)


def holds(pair: Pair) -> None:
    gives(pair.x[0, 0])


def reads(text: str, count: Any = None) -> int:
    return count


def test_functions_that_an_image_passes() -> None:
    with watched(is_image, HERE.parent) as found:
        x = makes(16)
        makes(2)
        holds(Pair("face", x))
        reads(TEXTS[1])
    assert found == {(str(HERE), "makes"), (str(HERE), "holds")}
    with watched(is_image, HERE.parent) as found:
        makes(2)
        gives(torch.zeros(1000))
    assert not found


def test_functions_that_a_text_pair_passes() -> None:
    with watched(is_text_pair, HERE.parent) as found:
        holds(Pair(TEXTS[0], torch.zeros(1, 1, 1)))
        reads("another text")
    assert found == {(str(HERE), "holds")}
    with watched(is_text_pair, HERE.parent) as found:
        reads(TEXTS[1])
    assert found == {(str(HERE), "reads")}
