"""What keeps the rest of a picture, as methods beside plain f_t: texts to keep, and a region.

Both are options of ours (`--keep`, `--region`); everything else is as f_t was trained.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from asyrp.domains.base import Domain, Task
from asyrp.domains.find_direction import fitted
from asyrp.editing_methods.asyrp import bytes_kept, directed
from asyrp.editing_methods.base import Editor, Inputs, Method
from asyrp.method.cost import counted
from asyrp.runtime.resumable import result_of


def guarded(domain: Domain, task: Task, inputs: Inputs, keep: bool, region: bool) -> Editor:
    """f_t at the rate of plain f_t, with the other tasks' texts to keep, or the task's region."""
    rate = result_of(inputs.folder, "rate-asyrp")["rate"]
    bounds = task.region if region else ()
    settings = replace(inputs.settings, learning_rate=rate, region=bounds)
    with counted(domain.model) as cost:
        parts = (domain, task, inputs.interval, inputs.train, settings)
        saved = fitted(*parts, keep=keep).saved
    name = "-".join(word for word, on in (("keep", keep), ("region", region)) if on)
    return directed(domain.model, inputs, saved, bytes_kept(inputs, task, name, saved), cost)


KEEP, REGION, BOTH = (
    partial(guarded, keep=keep, region=region)
    for keep, region in ((True, False), (False, True), (True, True))
)
TEXTS, PLACE = "the other edits' texts to keep", "a polygon where the value shows"
GUARDED: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("keep", "f_t, texts to keep", KEEP, frozenset({"second task"}), "direction", TEXTS),
        Method("region", "f_t, a region", REGION, frozenset({"region"}), "direction", PLACE),
        Method(
            "keep-region",
            "f_t, both",
            BOTH,
            frozenset({"second task", "region"}),
            "direction",
            f"{TEXTS}; {PLACE}",
        ),
    )
}
