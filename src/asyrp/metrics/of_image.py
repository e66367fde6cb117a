"""What a metric of single images is given, and how a domain adds one of its own."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor


class Pictures(NamedTuple):
    """Sources, their edits and (where known) reconstructions, (n, 3, height, width) each.

    showing: (m, 3, height, width) other pictures, which show the wanted value.
    """

    sources: Tensor
    edits: Tensor
    reconstructions: Tensor | None = None
    showing: Tensor | None = None


class Metric(NamedTuple):
    """A metric of single images that a domain adds.

    what: what it is, and which way is better. measure: pictures -> (n,), NaN for none.
    """

    name: str
    what: str
    measure: Callable[[Pictures], np.ndarray]
