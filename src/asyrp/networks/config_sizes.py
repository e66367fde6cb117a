"""Configs of strangers: a network must be as small as its weights, before any of it is built."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.networks.convert.read import tensor_dicts

MOST_PIXELS = 1024  # of a side of x
MOST_ENTRIES = 16  # of a list, such as the levels of a network
MOST_LAYERS = 64
SLACK = 1_000_000  # values, 4 MB
MOST = 200_000  # of any other number; vocabularies have 50,000
LAYERS = (
    "layers_per_block",
    "transformer_layers_per_block",
    "num_hidden_layers",
    "mid_block_layers",
)

NUMBERS = (  # diffusers builds the network with anything in these, and fails when it runs
    "freq_shift",
    "norm_eps",
    "mid_block_scale_factor",
    "downsample_padding",
    "dropout",
    "scaling_factor",
)
_NUMBER = (int, float)


def check_config(config: Mapping[str, Any], where: Path) -> None:
    """Refuse numbers that no network has, and what is no number where one is needed.

    Raises:
        AsyrpError: the first of them.
    """
    for name in NUMBERS:
        wanted, kind = (
            ((int,), "an integer") if name == "downsample_padding" else (_NUMBER, "a number")
        )
        if not isinstance(config.get(name, 0), wanted):
            raise AsyrpError(
                f"{name} of {str(where)!r} must be {kind}; it is {str(config[name])[:80]}; get "
                "another copy"
            )
    for name, value in config.items():
        most = MOST_LAYERS if name.endswith(LAYERS) else MOST
        most = MOST_PIXELS if name == "sample_size" else most
        entries = value if isinstance(value, list | tuple) else [value]
        if isinstance(value, list | tuple) and len(value) > MOST_ENTRIES:
            raise AsyrpError(
                f"{name} of {str(where)!r} has {len(value):,} entries; that is too many"
            )
        if any(isinstance(one, int | float) and not abs(one) <= most for one in entries):
            raise AsyrpError(f"{name} of {str(where)!r} must be at most {most:,}; get another copy")


def check_sample_size(config: Mapping[str, Any], where: Path) -> None:
    """Refuse a network that does not say the size of its images."""
    size = config.get("sample_size")
    sides = size if isinstance(size, list | tuple) else [size, size]
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise AsyrpError(f"needed sample_size, the pixels of an image, in {str(where)!r}")


def check_values(build: Callable[[], nn.Module], stored: int, where: Path) -> None:
    """Compare the number of values that a network would have with those that its files hold.

    Args:
        build: makes it; runs on the meta device, which takes no memory.

    Raises:
        AsyrpError: it would have far more. A tensor that is missing is named by whoever loads it.
    """
    with torch.device("meta"):
        wanted = sum(value.numel() for value in build().state_dict().values())
    if wanted > 2 * stored + SLACK:
        raise AsyrpError(
            f"the config of {str(where)!r} asks for {wanted:,} values, and its weights have "
            f"{stored:,}; get the folder from its source again"
        )


def count_safe(folder: Path) -> int:
    """The values in the safetensors files of a folder, read off their headers.

    Raises:
        SafetensorError, OSError: one is damaged.
    """
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]
        total += sum(torch.Size(shape).numel() for shape in shapes)
    return total


def count_pickled(content: Any) -> int:
    """The same for what `read_checkpoint` gives."""
    values: list[Tensor] = [v for _, found in tensor_dicts(content) for v in found.values()]
    return sum(value.numel() for value in values)
