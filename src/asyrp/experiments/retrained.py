"""How much of what a method does is the luck of its training: trained again with other seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from asyrp.domains.base import task_of
from asyrp.experiments.measure import judged
from asyrp.experiments.plan import Plan, domain_of, inputs_kept, lacking_kept
from asyrp.experiments.training import rate_kept, searched
from asyrp.reporting.statistics import Part
from asyrp.runtime.resumable import result_of

SEEDS = (1,)  # beside that of the settings
TASKS = 2  # that methods are trained again on

Trainings = Sequence[Mapping[str, Sequence[float]]]
"""Of every task that was trained again: metric -> its mean over test images by each training."""


@dataclass(frozen=True)
class Retrained:
    """A method that trains, on a task, at the setting that `cell`, its stage, was tuned to."""

    plan: Plan
    method: str
    task: str
    cell: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """metric -> its mean over test images by each training, the cell's own first."""
        plan, domain, anew = self.plan, domain_of(self.plan), searched(self.method)
        assert anew is not None
        task, own = task_of(domain, self.task), result_of(folder, self.cell)
        test = lacking_kept(plan, folder, "test", task)
        inputs = inputs_kept(plan, folder, task, rate_kept(folder, self.method))
        found = [{k: np.array(row, np.float64) for k, row in own["values"].items()}]
        for seed in SEEDS:
            settings = replace(inputs.settings, seed=inputs.settings.seed + seed)
            with TemporaryDirectory() as aside:  # not beside what the cell keeps
                other = inputs._replace(settings=settings, folder=Path(aside))
                edits = anew(domain, task, other).edit(test, own["setting"])
            found.append(judged(domain, task, test, edits))
        return {k: [float(np.nanmean(one[k])) for one in found] for k in found[-1]}


def luck_of(again: Trainings, metric: str, trainings: int) -> list[Part]:
    """The variance that training gives a mean over so many trainings; none where it is unknown.

    again: of the tasks that were trained again. trainings: that a claim's mean is over, 1 for what
    is trained once for all tasks.
    """
    known = [one[metric] for one in again if len(one.get(metric, ())) > 1]
    if not known:
        return []
    variance = float(np.mean([np.var(means, ddof=1) for means in known]))
    return [Part(variance / trainings, sum(len(means) - 1 for means in known))]
