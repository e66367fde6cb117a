"""Folders of results, and the record of a run."""

import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from asyrp.errors import AsyrpError
from asyrp.storage.outputs import check_targets


def new_folder(path: Path) -> Path:
    """Make a folder for results (it may exist)."""
    if path.exists() and not path.is_dir():
        raise AsyrpError(f"needed a folder for the results; {str(path)!r} is a file")
    path.mkdir(parents=True, exist_ok=True)
    return path


def check_results(path: Path, inputs: Path | None = None, names: Iterable[str] = ()) -> None:
    """Refuse a folder for results before the work begins.

    Args:
        names: of files that will be written.

    Raises:
        AsyrpError: it is a file, cannot be written to, holds the inputs, or files of others with
            such names.
    """
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise AsyrpError(f"needed a folder for the results; {str(nearest)!r} is a file")
    if not os.access(nearest, os.W_OK):
        raise AsyrpError(f"the results cannot be written: {str(nearest)!r} is read-only")
    holder = inputs.parent if inputs and inputs.is_file() else inputs
    if holder and holder.is_dir() and path.is_dir() and holder.samefile(path):
        raise AsyrpError(
            f"outputs are named after inputs, and {str(path)!r} holds the inputs; give another "
            "folder with --out"
        )
    check_targets(path, names)


def record(command: str, options: Any, model: Any, **more: Any) -> dict[str, Any]:
    """What is needed to repeat a run exactly: the options, versions and fingerprints.

    Args:
        options: a dataclass. model: an `HSpaceUNet`.
    """
    packages = ("asyrp", "torch", "diffusers", "numpy", "pillow")
    return {
        "command": command,
        "options": asdict(options),
        "network": {
            "fingerprint": model.fingerprint(),
            "prediction": model.prediction,
            "precision": str(model.dtype).removeprefix("torch."),
        },
        "versions": {name: _version(name) for name in packages},
        "python": platform.python_version(),
        "machine": platform.machine(),
        **more,
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
