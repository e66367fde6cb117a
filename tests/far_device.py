"""A device that this machine does not have: torch's "meta", made to behave as a GPU does.

Tensors on it have shapes and no values. What mixes them with tensors on the CPU fails as it would
with a GPU; what brings them to the CPU gives made-up values there, so that whole commands run.
"""

from collections.abc import Iterator
from typing import Any

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


class FarDevice(TorchFunctionMode):
    """While it is on, "meta" stands for a GPU."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        far, near = _apart(given)
        if not far:
            return func(*args, **kwargs)
        if func is Tensor.cpu:
            return landed(args[0])
        if func is Tensor.to and args[0].is_meta and _to_cpu(args[1:], kwargs):
            dtypes = [x for x in (*args[1:], *kwargs.values()) if isinstance(x, torch.dtype)]
            dtypes += [x.dtype for x in args[1:] if isinstance(x, Tensor)]
            return landed(args[0]).to(*dtypes[:1])
        if func in READS:
            return func(landed(args[0]), *args[1:], **kwargs)
        into_near = func is Tensor.__getitem__ and not args[0].is_meta
        if into_near or (near and func is not Tensor.__getitem__ and func not in BOTH):
            raise RuntimeError(f"{getattr(func, '__name__', func)} mixes the CPU and a far device")
        return func(*args, **kwargs)


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
