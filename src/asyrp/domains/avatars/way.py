"""How far an edit moves pixels towards the rendered answer: what a judge's yes or no leaves out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from asyrp.domains.avatars.avatars import SIZE, draw, sample_face
from asyrp.domains.tasks import Task
from asyrp.reporting.statistics import Estimate, of_mean

PAD = 2  # pixels around each picture of a strip
LEAST = 24  # levels of 255 by which the answer must differ in a pixel for it to count


def tiles(strip: Path) -> np.ndarray:
    """The pictures of a strip, (n, 64, 64, 3) float64 in [0, 255]."""
    with Image.open(strip) as opened:
        pixels = np.asarray(opened.convert("RGB")).astype(np.float64)
    step = SIZE + 2 * PAD
    starts = range(0, pixels.shape[1], step)
    return np.stack([pixels[PAD : PAD + SIZE, x + PAD : x + PAD + SIZE] for x in starts])


def share_of_way(source: np.ndarray, edit: np.ndarray, answer: np.ndarray) -> float:
    """1 where the edit is the answer, 0 where nothing moved towards it; NaN without a difference.

    The projection of edit - source on answer - source, in the pixels where these two differ.

    Args:
        source, edit, answer: (height, width, 3) in [0, 255].
    """
    wanted, shown = answer - source, differing(source, answer)
    if not shown.any():
        return float("nan")
    moved = (edit - source)[shown]
    return float((moved * wanted[shown]).sum() / (wanted[shown] ** 2).sum())


def differing(source: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """The pixels in which the answer is another than the source, (height, width) bool."""
    found: np.ndarray = np.abs(answer - source).max(2) >= LEAST
    return found


def way_of(strip: Path, task: Task, numbers: Sequence[int]) -> Estimate:
    """The mean share over the faces of a strip; numbers: of the test faces, in its order."""
    edits = tiles(strip)
    shares = []
    for number, edit in zip(numbers, edits, strict=False):
        face = sample_face("test", number)
        source = draw(face).astype(np.float64)
        answer = draw(face.replaced(task.factor, task.value)).astype(np.float64)
        shares.append(share_of_way(source, edit, answer))
    return of_mean(shares)
