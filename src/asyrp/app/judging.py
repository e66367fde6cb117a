"""What a domain's judge says of a direction that was just trained, in words."""

from asyrp.app.jobs import Job
from asyrp.app.training import Trained
from asyrp.domains.base import Domain, Task
from asyrp.scorers.judge import wanted

MOST_TOLD = 3  # answers
BY_EYE = (
    "No judge looks at these pictures: compare the rows above. If little changed, try more faces "
    "or passes, or a higher strength; if other things changed, more exact words."
)


def task_of(domain: Domain | None, target: str) -> Task | None:
    """The task of a domain that a target text is that of."""
    tasks = domain.tasks.values() if domain else ()
    return next((task for task in tasks if task.target == target), None)


def judged(domain: Domain | None, job: Job, trained: Trained) -> str:
    """How many held-out faces the judge answers anew for, and what to try next."""
    judge = domain.scorers.judge if domain else None
    if judge is None:
        return BY_EYE
    before, after = (judge.logits(x.clamp(-1, 1)) for x in (trained.before, trained.after))
    gained: dict[tuple[str, str], int] = {}
    for name, values in judge.values.items():
        old, new = before[name].argmax(1), after[name].argmax(1)
        for place, value in enumerate(values):
            gained[name, value] = int(((new == place) & (old != place)).sum())
    count, task = len(trained.after), task_of(domain, job.target)
    opening, end, weak = "On held-out faces the judge sees anew", f" (of {count})", True
    if task is not None:
        own, seen = (task.attribute, task.value), after[task.attribute].argmax(1)
        has = int((seen == wanted(judge, *own)).sum())
        opening = f"The judge sees {_words(*own)} on {has} of {count} held-out faces, "
        opening += f"{gained.pop(own)} of them anew. Besides"
        end, weak = "", has * 2 < count
    most = sorted(gained, key=lambda key: -gained[key])[:MOST_TOLD]
    others = ", ".join(f"{_words(*key)} on {gained[key]}" for key in most if gained[key])
    told = f"{opening}: {others or 'nothing'}{end}."
    return f"{told} Try more faces or passes, or a higher strength." if weak else told


def _words(attribute: str, value: str) -> str:
    name = attribute.replace("_", " ").lower()
    return {"yes": name, "no": f"no {name}"}.get(value, f"{name} {value}")
