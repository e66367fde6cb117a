"""What keeps the rest of a picture, beside plain f_t: texts, or a region (options of ours)."""

from dataclasses import replace

from asyrp.domains.base import Domain, Task
from asyrp.editing_methods.asyrp import bytes_kept, directed, fit
from asyrp.editing_methods.base import Editor, Inputs
from asyrp.runtime.resumable import result_of


def guarded(domain: Domain, task: Task, inputs: Inputs, keep: bool) -> Editor:
    """f_t at the rate of plain f_t; keep: the other tasks' texts, else within the region."""
    rate = result_of(inputs.folder, "rate-asyrp")["rate"]
    region = () if keep else task.region
    settings = replace(inputs.settings, learning_rate=rate, region=region)
    saved, cost = fit(domain, task, inputs._replace(settings=settings), keep=keep)
    stored = bytes_kept(inputs, task, "keep" if keep else "region", saved)
    return directed(domain.model, inputs, saved, stored, cost)
