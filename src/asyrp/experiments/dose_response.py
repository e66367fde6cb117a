"""How far f_t can take an edit: the same direction with more and more strength."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from asyrp.domains.base import Domain, Task, guide_of, task_of
from asyrp.domains.inverted_images import InvertedImages, edited
from asyrp.editing_methods.asyrp import trained
from asyrp.experiments.distance_to_target import differing, levels, shares_of_distance, targets_of
from asyrp.experiments.measure import judged
from asyrp.experiments.plan import Plan, domain_of, interval_kept, lacking_kept
from asyrp.metrics.directional import directional_similarity
from asyrp.reporting.statistics import of_mean
from asyrp.runtime.resumable import Stage

STRENGTHS = (1.0, 2.0, 4.0, 8.0)
IMAGES = 16


@dataclass(frozen=True)
class DoseResponse:
    """One task: what the guide sees, how far the pixels went, and what colour they have."""

    plan: Plan
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """A row a strength; strength 0 is the reconstruction."""
        domain = domain_of(self.plan)
        task = task_of(domain, self.task)
        saved, boost = trained(domain, task, folder), interval_kept(folder, task).t_boost
        images = lacking_kept(self.plan, folder, "test", task).few(IMAGES)
        rows = [{"strength": 0.0, **colours(domain, task, images, images.reconstructions)}]
        for strength in STRENGTHS:
            edits = edited(domain.model, images, [saved.attribute(strength)], boost)
            values = judged(domain, task, images, edits)
            s_dir = directional_similarity(images.images, edits, guide_of(domain, task))
            rows.append(
                {
                    "strength": strength,
                    "s_dir": of_mean(s_dir),
                    **{name: of_mean(values[name]) for name in ("success", "leakage", "lpips")},
                    **colours(domain, task, images, edits),
                }
            )
        first = targets_of(domain, task, images)[0]
        return {"rows": rows, "answer": _mean_colour(levels(images.images), first, first)}


def colours(domain: Domain, task: Task, images: InvertedImages, edits: Tensor) -> dict[str, Any]:
    """Share of the distance to the drawn target, and the mean colour in its pixels."""
    first = targets_of(domain, task, images)[0]
    return {
        "share": of_mean(shares_of_distance(domain, task, images, edits)),
        "colour": _mean_colour(levels(images.images), first, levels(edits)),
    }


def _mean_colour(sources: np.ndarray, targets: np.ndarray, shown: np.ndarray) -> list[int]:
    places = np.stack([differing(a, b) for a, b in zip(sources, targets, strict=True)])
    return [round(float(level)) for level in shown[places].mean(0)]


def dose_stages(plan: Plan, tasks: Sequence[Task]) -> list[Stage]:
    """A stage for each task that changes a colour, on a domain that draws targets."""
    return [
        Stage(
            f"dose-{task.name}",
            DoseResponse(plan.shared, task.name),
            ("curves", "train", "test", f"direction-{task.name}"),
        )
        for task in tasks
        if task.of_colour
    ]
