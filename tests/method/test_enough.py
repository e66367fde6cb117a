"""As much of an edit as an image needs."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from asyrp.method.enough import edit_enough, first_enough

GUIDE: Any = SimpleNamespace(
    encoder=SimpleNamespace(image_features=lambda x: x.flatten(1)), direction=torch.tensor([1.0])
)


@pytest.mark.parametrize(("enough", "factor"), [(0.0, 0.5), (0.8, 1.0), (9.0, 2.0)])
def test_the_first_factor_that_is_enough_is_taken(enough: float, factor: float) -> None:
    tried = []

    def edited(at: float) -> Tensor:
        tried.append(at)
        return torch.full((1, 1, 1, 1), at)

    image, found = edit_enough(edited, GUIDE, enough, (0.5, 1.0, 2.0))
    assert found == factor == float(image)
    assert tried == [one for one in (0.5, 1.0, 2.0) if one <= factor]


def test_the_same_is_found_in_a_table_of_readings() -> None:
    readings = torch.tensor([[0.1, 0.9, 0.0], [0.5, 0.3, 0.1], [0.6, 0.7, 0.2]])
    assert first_enough(readings, 0.5).tolist() == [1, 0, 2]
