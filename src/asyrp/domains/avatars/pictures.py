"""Pictures of a split as one array, drawn by several processes and kept on disk."""

import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asyrp.domains.avatars.avatars import FACTORS, draw, sample_face
from asyrp.storage.files import atomic_path

HIDDEN = -1  # the label of a factor that the picture does not show
FEW = 50  # pictures that a process draws at a time


def labels(split: str, count: int, unseen: float = 0.0) -> np.ndarray:
    """Indices into each factor's values, (count, len(FACTORS)) int8; HIDDEN where not visible."""
    return np.array([_label_row(split, index, unseen) for index in range(count)], dtype=np.int8)


def _label_row(split: str, index: int, unseen: float) -> list[int]:
    face = sample_face(split, index, unseen)
    return [
        HIDDEN if (value := face.label(factor)) is None else list(values).index(value)
        for factor, values in FACTORS.items()
    ]


def pictures(
    split: str, count: int, cache: Path | None = None, unseen: float = 0.0, workers: int = 2
) -> np.ndarray:
    """The first `count` pictures of a split, (count, 64, 64, 3) uint8.

    With a cache folder, what was drawn before is read from there and what is drawn is kept.
    """
    path = cache / f"{split}-{count}-{unseen:g}.npy" if cache else None
    return kept(path, lambda: by_processes(partial(_drawn, split, unseen), range(count), workers))


def _drawn(split: str, unseen: float, index: int) -> np.ndarray:
    return draw(sample_face(split, index, unseen))


def kept(path: Path | None, make: Callable[[], np.ndarray]) -> np.ndarray:
    """An array from its file; made now where there is none, and written there."""
    if path and path.exists():
        found: np.ndarray = np.load(path, mmap_mode="r")
        return found
    made = make()
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.save(file, made)
    return made


def by_processes(
    work: Callable[[int], np.ndarray], numbers: Sequence[int], workers: int
) -> np.ndarray:
    """Pictures by their numbers, stacked; few are drawn by this process."""
    if workers < 2 or len(numbers) < FEW:
        return np.stack([work(number) for number in numbers])
    with ProcessPoolExecutor(workers) as pool:
        return np.stack(list(pool.map(work, numbers, chunksize=FEW)))


def machine() -> dict[str, Any]:
    """What a card says of the machine: threads, kind, and the version of torch."""
    told = {"machine": platform.machine(), "torch": torch.__version__}
    return {"threads": torch.get_num_threads(), **told}
