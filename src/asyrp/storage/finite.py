"""Numbers that are none: weights with them are refused when read, results before they are kept."""

from collections.abc import Mapping

import torch
from torch import Tensor

from asyrp.errors import AsyrpError

PRECISIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def is_finite(values: Tensor) -> bool:
    """Whether there is no NaN and no infinity among values."""
    return bool(torch.isfinite(values).all())


def check_finite(weights: Mapping[str, Tensor], where: str = "") -> None:
    """Raise AsyrpError for the first tensor that is no weight, or holds a NaN or an infinity.

    Args:
        where: the file or folder that holds them.
    """
    place = f" of {where}" if where else ""
    odd = next((k for k, v in weights.items() if v.dtype not in PRECISIONS or not v.numel()), None)
    if odd is not None:
        kind = str(weights[odd].dtype).removeprefix("torch.")
        raise AsyrpError(
            f"{odd[:100]!r}{place} is {kind} of shape {tuple(weights[odd].shape)}; needed: weights "
            "in float16, bfloat16, float32 or float64"
        )
    bad = next((key for key, value in weights.items() if not is_finite(value)), None)
    if bad is not None:
        raise AsyrpError(
            f"{bad[:100]!r}{place} holds values that are not finite; download the file again"
        )


def check_result(values: Tensor, what: str) -> Tensor:
    """The values; AsyrpError where one is no finite number, as then nothing can be shown."""
    if not is_finite(values):
        raise AsyrpError(
            f"{what} came out with values that are no finite numbers: the network overflows on "
            "these inputs; use --dtype float32, other inputs, or another copy of its weights"
        )
    return values
