"""Tables of dh that the official code saves, as directions, and back."""

from collections.abc import Mapping

from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.directions import GlobalDirection, TimestepDirection
from asyrp.networks.convert.detect import MEANS, Detected


def to_table(found: Detected, one_for_all: bool) -> TimestepDirection | GlobalDirection:
    """A table of dh, or the single dh of `ignore_timesteps`; AsyrpError where it is neither.

    Of a file of means (`num_mean_of_delta_hs`) entry 0 is the mean over timesteps, not a timestep.

    Args:
        one_for_all: whether entry 0 is meant, for all timesteps.
    """
    # means are kept with a batch of one
    single = {t: dh[0] if dh.shape[:-3] == (1,) else dh for t, dh in found.tensors.items()}
    table = {int(t): dh.float() for t, dh in single.items()}
    shapes = sorted({tuple(dh.shape) for dh in table.values()})
    if len(shapes) > 1 or len(shapes[0]) != 3:
        few = ", ".join(map(str, shapes[:3]))
        raise AsyrpError(f"a table of dh has one shape (c, h, w) at every timestep; got {few}")
    if one_for_all and 0 not in table:
        raise AsyrpError("ignore_timesteps is on, but the table has no entry 0")
    if one_for_all or set(table) == {0}:
        return GlobalDirection(table[0]).requires_grad_(False)
    if found.place == MEANS:
        table.pop(0, None)
    return TimestepDirection(table).requires_grad_(False)


def to_entries(kind: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of a table ("timestep" or "global") under the official code's names.

    Raises:
        AsyrpError: a dh that is the same at all places, which the official code does not have.
    """
    entries = {"0": tensors["dh"]} if kind == "global" else dict(tensors)
    flat = next((dh for dh in entries.values() if tuple(dh.shape[1:]) == (1, 1)), None)
    if flat is not None:
        raise AsyrpError(
            f"a dh of the official code has the shape of h; this one has {tuple(flat.shape)}"
        )
    return entries
