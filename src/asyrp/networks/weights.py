"""The weights of a diffusers folder, every key accounted for.

diffusers itself fills whatever a file lacks with random numbers, which an edit would then be made
of; so the tensors are read, named and counted here.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.storage.config_fields import name_passed_over
from asyrp.storage.finite import check_finite
from asyrp.storage.strict_loading import check_report
from asyrp.storage.untrusted.tensors import read_checkpoint
from asyrp.storage.weight_files import chosen_in

TEXT = "text_model."  # before the keys of a CLIP text encoder, until transformers 5
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder's weights; AsyrpError for damaged or unsafe files."""
    weights: dict[str, Tensor] = {}
    for name in chosen_in(folder).names:
        content = read_checkpoint(folder / name)
        if not isinstance(content, Mapping) or not all(isinstance(k, str) for k in content):
            raise AsyrpError(f"{str(folder / name)!r} holds no names and tensors")
        inner = [key for key, value in content.items() if isinstance(value, Mapping)]
        name_passed_over(inner, repr(str(folder / name)), "the tensors beside them are taken")
        weights |= {key: value for key, value in content.items() if isinstance(value, Tensor)}
    return weights


def check_part(net: nn.Module, folder: Path) -> None:
    """Refuse a part that somebody else loaded without all the weights of its file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a variant was asked for by name
        weights = read_weights(folder)
    fitting(net, weights, folder)


def fitting(net: nn.Module, weights: Mapping[str, Tensor], where: Path) -> dict[str, Tensor]:
    """A file's weights under the keys of a network; AsyrpError where they do not fit or are NaN."""
    wanted = net.state_dict()
    found = {_renamed(key, wanted): value for key, value in weights.items()}
    report: dict[str, Any] = {
        "missing_keys": wanted.keys() - found.keys(),
        "unexpected_keys": found.keys() - wanted.keys(),
        "mismatched_keys": [
            k for k, v in found.items() if k in wanted and v.shape != wanted[k].shape
        ],
    }
    check_report(report, repr(str(where)))
    check_finite(found, repr(str(where)))
    return found


def _renamed(key: str, wanted: Mapping[str, Tensor]) -> str:
    """The key that a network has today for what an older or newer library called otherwise."""
    other = key.removeprefix(TEXT) if key.startswith(TEXT) else TEXT + key
    if key not in wanted and other in wanted:
        return other
    layer, _, last = key.rpartition(".")
    block, _, old = layer.rpartition(".")
    new = f"{block}.{OLD_ATTENTION.get(old, old)}.{last}"
    return new if key not in wanted and new in wanted else key
