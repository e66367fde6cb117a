"""The state of a training run in one safetensors file: modules, optimiser, and a header."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from asyrp.errors import AsyrpError, first_line
from asyrp.storage.files import LoadedTensors, save_tensors
from asyrp.storage.untrusted.tensors import open_safetensors


def save_state(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimiser: torch.optim.Optimizer,
    header: Mapping[str, str],
    more: Mapping[str, Tensor] | None = None,
) -> None:
    """Write modules, the optimiser's state, a header of strings and other tensors, all or none."""
    tensors = {
        f"{name}.{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    for index, state in optimiser.state_dict()["state"].items():
        entries = {k: torch.as_tensor(v) for k, v in state.items() if v is not None}
        tensors |= {f"optimiser.{index}.{key}": value for key, value in entries.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, tensors | dict(more or {}), header)


def load_state(
    path: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer
) -> LoadedTensors:
    """Read what `save_state` wrote; returns the rest. AsyrpError for a file of other networks."""
    try:
        with open_safetensors(path) as file:
            header = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        for name, module in modules.items():
            module.load_state_dict(_under(f"{name}.", tensors))
        state = _optimiser_state(tensors, optimiser)
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    except (SafetensorError, RuntimeError, ValueError, LookupError) as error:
        raise AsyrpError(
            f"{str(path)!r} is not a checkpoint of this run ({first_line(error)}); delete it "
            "to start anew"
        ) from error
    return LoadedTensors(header, {key: value for key, value in tensors.items() if "." not in key})


def _optimiser_state(
    tensors: dict[str, Tensor], optimiser: torch.optim.Optimizer
) -> dict[int, dict[str, Tensor]]:
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _under("optimiser.", tensors).items():
        index, _, name = key.partition(".")
        if value.numel() > 1 and value.shape != parameters[int(index)].shape:
            raise ValueError(f"{key!r} has the shape {tuple(value.shape)}")
        state.setdefault(int(index), {})[name] = value
    return state


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
