"""What keeps the rest of a picture, as methods beside plain f_t: texts to keep, and a region.

Both are options of ours (`--keep`, `--region`); everything else is as f_t was trained.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from asyrp.domains.base import Domain, Task
from asyrp.editing_methods.asyrp import bytes_kept, directed, fit
from asyrp.editing_methods.base import Editor, Inputs, Method
from asyrp.runtime.resumable import result_of


def guarded(domain: Domain, task: Task, inputs: Inputs, keep: bool) -> Editor:
    """f_t at the rate of plain f_t; keep: the other tasks' texts, else within the region."""
    rate = result_of(inputs.folder, "rate-asyrp")["rate"]
    region = () if keep else task.region
    settings = replace(inputs.settings, learning_rate=rate, region=region)
    saved, cost = fit(domain, task, inputs._replace(settings=settings), keep=keep)
    stored = bytes_kept(inputs, task, "keep" if keep else "region", saved)
    return directed(domain.model, inputs, saved, stored, cost)


KEEP, REGION = (partial(guarded, keep=keep) for keep in (True, False))
TEXTS, PLACE = "the other edits' texts to keep", "a polygon where the value shows"
GUARDED: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("keep", "f_t, texts to keep", KEEP, frozenset({"second task"}), "direction", TEXTS),
        Method("region", "f_t, a region", REGION, frozenset({"region"}), "direction", PLACE),
    )
}
