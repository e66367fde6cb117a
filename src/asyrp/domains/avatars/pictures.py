"""Pictures of a split as one array, drawn by several processes and kept on disk."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from asyrp.domains.avatars.avatars import FACTORS, SIZE, draw, sample_face
from asyrp.storage.files import atomic_path

HIDDEN = -1  # the label of a factor that the picture does not show


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
    if path and path.exists():
        kept: np.ndarray = np.load(path, mmap_mode="r")
        return kept
    drawn = np.concatenate(list(_drawn_chunks(split, count, unseen, workers)))
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.save(file, drawn)
    return drawn


def _drawn_chunks(
    split: str, count: int, unseen: float, workers: int, chunk: int = 250
) -> Iterator[np.ndarray]:
    ranges = [range(i, min(i + chunk, count)) for i in range(0, count, chunk)]
    job = partial(_draw_range, split, unseen)
    if workers < 2 or len(ranges) < 2:
        yield from map(job, ranges)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(job, ranges)


def _draw_range(split: str, unseen: float, indices: Sequence[int]) -> np.ndarray:
    if not len(indices):
        return np.zeros((0, SIZE, SIZE, 3), np.uint8)
    return np.stack([draw(sample_face(split, index, unseen)) for index in indices])
