"""Batches as large as memory allows: halved where it does not suffice."""

import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from asyrp.errors import AsyrpError

Done = TypeVar("Done")
FULL = ("out of memory", "can't allocate memory")  # of errors for which torch has no class


def in_batches(count: int, size: int, work: Callable[[slice], Done]) -> Iterator[Done]:
    """`work` on rows 0..count-1, at most `size` at a time, in their order.

    Rows whose memory does not suffice are worked again, half as many at a time from there on, with
    a warning. For work whose results do not depend on the batch.

    Raises:
        AsyrpError: size below 1.
    """
    if size < 1:
        raise AsyrpError(f"batch_size must be 1 or more; got {size}")
    start = 0
    while start < count:
        fits = wanted = min(size, count - start)
        while not (done := _tried(work, slice(start, start + fits))):
            from accelerate.utils.memory import clear_device_cache

            fits //= 2
            clear_device_cache(garbage_collection=True)
        if fits < wanted:
            size = fits
            warnings.warn(
                f"memory does not suffice for {wanted} images at a time; going on with {fits}",
                stacklevel=2,
            )
        yield from done
        start += fits


def by_batches(work: Callable[..., Tensor], size: int, *given: Tensor, dim: int = 0) -> Tensor:
    """`work` on rows of tensors, at most `size` at a time; its answers joined along `dim`."""
    parts = in_batches(len(given[0]), size, lambda rows: work(*(one[rows] for one in given)))
    return torch.cat(list(parts), dim)


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory did not suffice, on a CPU or any kind of GPU."""
    full = isinstance(error, MemoryError | torch.OutOfMemoryError)
    told = isinstance(error, RuntimeError) and any(words in str(error) for words in FULL)
    return full or told


def _tried(work: Callable[[slice], Done], rows: slice) -> list[Done]:
    """The result; nothing where memory did not suffice for several rows."""
    try:
        return [work(rows)]
    except RuntimeError as error:
        if rows.stop - rows.start == 1 or not out_of_memory(error):
            raise
        return []
