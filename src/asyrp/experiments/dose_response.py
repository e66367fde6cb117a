"""How far f_t can take a colour: the same direction with more and more strength."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from asyrp.domains.avatars.avatars import Face, draw
from asyrp.domains.avatars.way import differing, share_of_way
from asyrp.domains.lab import edited, judged
from asyrp.domains.tasks import TASKS, Task, task_of
from asyrp.editing_methods.trained import Job, trained
from asyrp.experiments.plan import Plan, lab_of, phases_kept, scene_kept
from asyrp.metrics.directional import directional_similarity
from asyrp.reporting.bootstrap import of_mean
from asyrp.runtime.resumable import Stage
from asyrp.storage.images import to_uint8

COLOURS = ("hair_color", "skin")  # factors whose values are colours
STRENGTHS = (1.0, 2.0, 4.0, 8.0)
FACES = 16


@dataclass(frozen=True)
class Reach:
    """One colour: what the guide sees, how far the pixels went, and what colour they have."""

    plan: Plan
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """A row a strength; strength 0 is the reconstruction."""
        lab, task = lab_of(self.plan.settings), task_of(self.task)
        phases, train = phases_kept(folder, task), scene_kept(folder, "train", task)
        saved = trained(Job(lab, task, phases, train, folder))
        scene = scene_kept(folder, "test", task).lacking(task, FACES)
        rows = [{"strength": 0.0, **colours(scene.faces, task, scene.reconstructions)}]
        for strength in STRENGTHS:
            edits = edited(lab.model, scene, [saved.attribute(strength)], phases.t_boost)
            values = judged(lab, task, scene, edits)
            s_dir = directional_similarity(scene.images, edits, lab.guide(task))
            rows.append(
                {
                    "strength": strength,
                    "s_dir": of_mean(s_dir),
                    **{name: of_mean(values[name]) for name in ("success", "leakage", "lpips")},
                    **colours(scene.faces, task, edits),
                }
            )
        answers = _drawn([face.replaced(task.factor, task.value) for face in scene.faces])
        return {"rows": rows, "answer": _mean_colour(_drawn(scene.faces), answers, answers)}


def colours(faces: Sequence[Face], task: Task, edits: Tensor) -> dict[str, Any]:
    """Share of the way to the renderer's answer, and the mean colour in its pixels."""
    sources = _drawn(faces)
    answers = _drawn([face.replaced(task.factor, task.value) for face in faces])
    shown = to_uint8(edits).astype(np.float64)
    shares = [share_of_way(*row) for row in zip(sources, shown, answers, strict=True)]
    return {"way": of_mean(shares), "colour": _mean_colour(sources, answers, shown)}


def _drawn(faces: Sequence[Face]) -> np.ndarray:
    return np.stack([draw(face).astype(np.float64) for face in faces])


def _mean_colour(sources: np.ndarray, answers: np.ndarray, shown: np.ndarray) -> list[int]:
    places = np.stack([differing(a, b) for a, b in zip(sources, answers, strict=True)])
    return [round(float(level)) for level in shown[places].mean(0)]


def reach_stages(plan: Plan) -> list[Stage]:
    """A stage for each of a plan's colours."""
    chosen = [name for name in plan.tasks if TASKS[name].factor in COLOURS]
    return [
        Stage(f"reach-{name}", Reach(plan.shared, name), ("curves", "train", "test", needed))
        for name in chosen
        for needed in (f"direction-{name}",)
    ]
