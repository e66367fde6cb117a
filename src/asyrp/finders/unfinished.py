"""Parts of a long search that are kept on disk until the whole of it is done."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from asyrp.storage.files import save_tensors
from asyrp.storage.untrusted.tensors import load_safetensors


def kept(
    folder: Path | None, key: str, work: Callable[[], Mapping[str, Tensor]]
) -> Mapping[str, Tensor]:
    """The result of some work, which is not done again where the folder has it under that key."""
    if folder is None:
        return work()
    path = folder / f"{key}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_tensors(path, work(), {})
    return load_safetensors(path)


def key_of(*parts: object) -> str:
    """SHA-256 (hex) of all that a result depends on; tensors count by their values."""
    found = hashlib.sha256()
    for part in parts:
        plain = part.detach().cpu().float().contiguous() if isinstance(part, Tensor) else None
        found.update(repr(part).encode() if plain is None else plain.numpy().tobytes())
        found.update(b"|")
    return found.hexdigest()


def checkpoint_of(folder: Path | None, name: str, *parts: object) -> Path | None:
    """Where a finder's training that depends on these parts keeps its state; None for nowhere."""
    return None if folder is None else folder / f"{key_of(name, *parts)}.safetensors"
