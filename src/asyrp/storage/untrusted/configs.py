"""Untrusted configs: a network must be as small as its weights, before any of it is built."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from math import inf
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as registry
from torch.overrides import TorchFunctionMode

from asyrp.errors import AsyrpError
from asyrp.storage.untrusted import bounds
from asyrp.storage.untrusted.tensors import open_safetensors, tensor_dicts

LAYERS = (
    "layers_per_block",
    "transformer_layers_per_block",
    "num_hidden_layers",
    "mid_block_layers",
    "num_layers",
    "depths",
)
SIDES = ("sample_size", "image_size")
COUNTS = ("head_dim", "_heads", "num_groups", "time_embed_dim")  # which divide

_REAL = (int, float)
# diffusers builds the network with anything in these, and fails when it runs
NUMBERS: Mapping[str, tuple[type, ...]] = {
    "freq_shift": _REAL,
    "norm_eps": _REAL,
    "mid_block_scale_factor": _REAL,
    "dropout": _REAL,
    "scaling_factor": _REAL,
    "downsample_padding": (int,),
    "addition_time_embed_dim": (int, NoneType),
}


def check_config(
    config: Mapping[str, Any], where: Path | str, entries: int = bounds.MOST_ENTRIES
) -> None:
    """Raise AsyrpError for numbers that no network has, and what is no number where one is needed.

    Lists (of at most `entries`) and configs within the config are looked into.
    """
    for name, kinds in NUMBERS.items():
        if not isinstance(config.get(name, 0), kinds):
            kind = "a number" if float in kinds else "an integer"
            raise AsyrpError(
                f"{name} of {str(where)!r} must be {kind}; it is {str(config[name])[:80]}; get "
                "another copy"
            )
    for name, value in config.items():
        _check(str(name), value, str(where), entries, 1)


def _check(name: str, value: Any, where: str, entries: int, depth: int) -> None:
    """One entry, and what is within it; a list's numbers are bound as its name says."""
    if depth > bounds.DEEPEST_JSON:
        raise AsyrpError(f"{name[:80]} of {where!r} is nested too deeply; get another copy")
    if isinstance(value, Mapping | list | tuple):
        if len(value) > entries:
            raise AsyrpError(
                f"{name[:80]} of {where!r} has {len(value):,} entries; that is too many"
            )
        pairs = value.items() if isinstance(value, Mapping) else ((name, one) for one in value)
        for inner, one in pairs:
            _check(str(inner), one, where, entries, depth + 1)
    elif isinstance(value, int | float) and not abs(value) <= (most := _most(name)):
        raise AsyrpError(f"{name[:80]} of {where!r} must be at most {most:,}; get another copy")
    elif isinstance(value, int | float) and value < (least := _least(name)):
        raise AsyrpError(f"{name[:80]} of {where!r} must be {least} or more; get another copy")
    elif name.endswith("attn_implementation") and "/" in str(value):  # a program of the Hub
        raise AsyrpError(f"{name} of {where!r} names a program to fetch; remove it")


def _most(name: str) -> int:
    if name.endswith(LAYERS):
        return bounds.MOST_LAYERS
    return bounds.MOST_SIDE if name in SIDES else bounds.MOST_NUMBER


def _least(name: str) -> float:
    if name == "downsample_padding":
        return 0
    return 1 if name.endswith(COUNTS) else -inf


def check_sample_size(config: Mapping[str, Any], where: Path) -> None:
    """Refuse a network that does not say the size of its images."""
    size = config.get("sample_size")
    sides = size if isinstance(size, list | tuple) else [size, size]
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise AsyrpError(f"needed sample_size, the pixels of an image, in {str(where)!r}")


def check_values(build: Callable[[], nn.Module], stored: int, where: Path | str) -> None:
    """Raise AsyrpError where a network would have far more values than its files hold.

    Args:
        build: makes it; runs on the meta device, which takes no memory, and no further than a
            network of so many values could go.
    """
    most = 2 * stored + bounds.SLACK
    with torch.device("meta"), _Rates(), _budget(2 * most, stored, where):
        wanted = sum(value.numel() for value in build().state_dict().values())
    if wanted > most:
        raise _larger(f"{wanted:,}", stored, where)


class _Rates(TorchFunctionMode):
    """Rates of a few layers as numbers, which older networks of transformers read off a tensor."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Make what `linspace` makes on the CPU."""
        more = {"device": "cpu"} if func is torch.linspace else {}
        return func(*args, **(kwargs or {}) | more)


@contextmanager
def _budget(values: int, stored: int, where: Path | str) -> Iterator[None]:
    """Stop the building of a network in this thread where it has too many values or parts."""
    own, modules, tensors = threading.get_ident(), 0, 0

    def count(module: nn.Module, name: str, part: object) -> None:
        nonlocal modules, tensors, values
        if threading.get_ident() != own or part is None:
            return
        modules += isinstance(part, nn.Module)
        if isinstance(part, Tensor):
            tensors, values = tensors + 1, values - part.numel()
        if values < 0 or modules > bounds.MOST_MODULES or tensors > bounds.MOST_TENSORS:
            raise _larger("far more", stored, where)

    with ExitStack() as hooks:
        for register in (
            registry.register_module_parameter_registration_hook,
            registry.register_module_module_registration_hook,
            registry.register_module_buffer_registration_hook,
        ):
            hooks.callback(register(count).remove)
        yield


def _larger(wanted: str, stored: int, where: Path | str) -> AsyrpError:
    return AsyrpError(
        f"the config of {str(where)!r} asks for {wanted} values, and its weights have {stored:,}; "
        "get the folder from its source again"
    )


def count_values(path: Path) -> int:
    """The values in a safetensors file, by its header; SafetensorError where it is damaged."""
    with open_safetensors(path) as file:
        shapes = [file.get_slice(key).get_shape() for key in file.keys()]
    return sum(torch.Size(shape).numel() for shape in shapes)


def count_pickled(content: Any) -> int:
    """The same for what `read_checkpoint` gives."""
    values: list[Tensor] = [v for _, found in tensor_dicts(content) for v in found.values()]
    return sum(value.numel() for value in values)
