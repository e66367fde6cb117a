"""The same components in another basis: which is which, and which way round."""

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


class Matched(NamedTuple):
    """Component i of the first basis is `signs[i]` times component `order[i]` of the second.

    likeness: |similarity| of each pair, (k,).
    """

    order: Tensor
    signs: Tensor
    likeness: Tensor

    def of(self, rows: Tensor) -> Tensor:
        """Rows of the second basis, in the order and with the signs of the first."""
        return self.signs[:, None].to(rows) * rows[self.order]


def matched(similarity: Tensor) -> Matched:
    """The pairing with the largest sum of |similarity|, (k, k) of first by second basis.

    Bases at neighbouring timesteps come with signs and an order of their own; without this, what
    one timestep adds the next would take away.
    """
    rows, order = linear_sum_assignment(-similarity.abs().cpu().double().numpy())
    chosen = similarity.cpu()[torch.as_tensor(rows), torch.as_tensor(order)]
    signs = torch.where(chosen < 0, -1.0, 1.0)
    return Matched(torch.as_tensor(order), signs, chosen.abs())


def upright(rows: Tensor) -> Tensor:
    """Each row (d,) with the sign that makes its largest entry positive: the same at every run."""
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -rows, rows)
