"""A device that this machine does not have: torch's "meta", made to behave as a GPU does.

Tensors on it have shapes and no values. What mixes them with tensors on the CPU fails as it would
with a GPU; what brings them to the CPU gives made-up values there, so that whole commands run.

Whatever makes the CPU wait for a GPU is counted by the line of ours that it comes from: values that
are read, and numbers that are copied there from memory which is not pinned.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

FAR = "meta"
READS = {Tensor.item, Tensor.__float__, Tensor.__int__, Tensor.__bool__, Tensor.tolist}
READS |= {Tensor.__format__, Tensor.__index__}
# what takes tensors of two devices, or looks at no values
BOTH = {Tensor.to, Tensor.copy_, Tensor.__setitem__, torch._has_compatible_shallow_copy_type}
BOTH |= {Tensor.type_as, Tensor.__deepcopy__, Tensor.data.__set__, Tensor.grad.__set__}  # type: ignore[attr-defined]


MADE = {torch.tensor, torch.as_tensor, torch.from_numpy, torch.asarray}
PLACES = {Tensor.__getitem__, Tensor.__setitem__}


class FarDevice(TorchFunctionMode):
    """While it is on, "meta" stands for a GPU. waits: how often the CPU waited, by place."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        far, near = _apart(given)
        if not far:
            found = func(*args, **kwargs)
            sent = func is Tensor.to and not kwargs.get("non_blocking")
            if (sent or func in MADE) and isinstance(found, Tensor) and found.is_meta:
                self.waits[place()] += 1
            return found
        if func is Tensor.new_tensor or (func in PLACES and _copied(args[1])):
            self.waits[place()] += 1
        if func is Tensor.cpu:
            self.waits[place()] += 1
            return landed(args[0])
        if func is Tensor.to and args[0].is_meta and _to_cpu(args[1:], kwargs):
            self.waits[place()] += 1
            dtypes = [x for x in (*args[1:], *kwargs.values()) if isinstance(x, torch.dtype)]
            dtypes += [x.dtype for x in args[1:] if isinstance(x, Tensor)]
            return landed(args[0]).to(*dtypes[:1])
        if func in READS:
            self.waits[place()] += 1
            return func(landed(args[0]), *args[1:], **kwargs)
        into_near = func is Tensor.__getitem__ and not args[0].is_meta
        if into_near or (near and func is not Tensor.__getitem__ and func not in BOTH):
            raise RuntimeError(f"{getattr(func, '__name__', func)} mixes the CPU and a far device")
        return func(*args, **kwargs)


def place() -> str:
    """The innermost function of the package that is under way, as method.ddim:draw_noise."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("asyrp."):
            return f"{name.removeprefix('asyrp.')}:{frame.f_code.co_name}"
        frame = frame.f_back
    return "elsewhere"


def _copied(index: Any) -> bool:
    """Whether an index is copied to a GPU: lists, arrays and tensors of the CPU, but no slices."""
    parts = index if isinstance(index, tuple) else (index,)
    near = (isinstance(x, Tensor) and not x.is_meta and x.ndim for x in parts)
    return any(near) or any(isinstance(x, list | np.ndarray) for x in parts)


def _apart(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Those far away, and those on the CPU that are more than a number."""
    yield [x for x in tensors if x.is_meta]
    yield [x for x in tensors if not x.is_meta and x.ndim]


def _to_cpu(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    places = [x.device if isinstance(x, Tensor) else x for x in (*args, *kwargs.values())]
    named = [x for x in places if isinstance(x, str | torch.device)]
    return any(torch.device(x).type == "cpu" for x in named)


def landed(x: Tensor) -> Tensor:
    """A tensor of the same shape and precision with made-up values, on the CPU."""
    if x.dtype == torch.bool:
        return torch.ones(x.shape, dtype=torch.bool)
    if not x.is_floating_point():
        return torch.zeros(x.shape, dtype=x.dtype)
    generator = torch.Generator().manual_seed(x.numel())
    return torch.rand(x.shape, generator=generator).to(x.dtype)
