"""How far an edit moves pixels towards the rendered answer: what a judge's yes or no leaves out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from asyrp.domains.avatars.avatars import FACTORS, SIZE, Face, draw, sample_face
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


def answers(face: Face, task: Task) -> list[np.ndarray]:
    """The face with the task's value, drawn with each of the parts that show it, (64, 64, 3)."""
    parts = FACTORS[task.factor][task.value]
    replaced = face.replaced(task.factor, task.value)
    faces = [Face(replaced.values, {**replaced.parts, task.factor: part}) for part in parts]
    return [draw(one).astype(np.float64) for one in faces]


def best_share(face: Face, task: Task, edit: np.ndarray) -> float:
    """`share_of_way` to the nearest of the answers: all of a value's parts are equally right.

    The nearest is the one with the least squared distance to the edit; edit: (64, 64, 3), [0, 255].
    """
    nearest = min(answers(face, task), key=lambda answer: float(((edit - answer) ** 2).sum()))
    return share_of_way(draw(face).astype(np.float64), edit, nearest)


def way_of(strip: Path, task: Task, numbers: Sequence[int]) -> Estimate:
    """The mean share over the faces of a strip; numbers: of the test faces, in its order."""
    rows = zip(numbers, tiles(strip), strict=False)
    return of_mean([best_share(sample_face("test", number), task, edit) for number, edit in rows])
