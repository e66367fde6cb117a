"""What a domain's judge says of a direction that was just trained, in words."""

from asyrp.app.jobs import Job
from asyrp.app.training import Trained
from asyrp.domains.base import Domain

MOST_TOLD = 3  # answers
BY_EYE = (
    "No judge looks at these pictures: compare the rows above. If little changed, try more faces "
    "or passes, or a higher strength; if other things changed, more exact words."
)


def judged(domain: Domain | None, job: Job, trained: Trained) -> str:
    """How many held-out faces the judge answers anew for, and what to try next."""
    judge = domain.scorers.judge if domain else None
    if domain is None or judge is None:
        return BY_EYE
    before, after = (judge.logits(x.clamp(-1, 1)) for x in (trained.before, trained.after))
    gained: dict[tuple[str, str], int] = {}
    for name, values in judge.values.items():
        old, new = before[name].argmax(1), after[name].argmax(1)
        for place, value in enumerate(values):
            gained[name, value] = int(((new == place) & (old != place)).sum())
    count = len(trained.after)
    task = next((one for one in domain.tasks.values() if one.target == job.target), None)
    told = ""
    if task is not None:
        own = (task.attribute, task.value)
        place = list(judge.values[task.attribute]).index(task.value)
        has = int((after[task.attribute].argmax(1) == place).sum())
        told = f"The judge sees {_words(*own)} on {has} of {count} held-out faces, "
        told += f"{gained.pop(own)} of them anew. "
    most = sorted(gained, key=lambda key: -gained[key])[:MOST_TOLD]
    others = ", ".join(f"{_words(*key)} on {gained[key]}" for key in most if gained[key])
    told += (
        f"{'Besides' if told else 'On held-out faces the judge sees anew'}: {others or 'nothing'}"
    )
    told += "." if told.startswith("The") else f" (of {count})."
    weak = task is None or has * 2 < count
    return f"{told} {'Try more faces or passes, or a higher strength.' if weak else ''}".strip()


def _words(attribute: str, value: str) -> str:
    name = attribute.replace("_", " ").lower()
    return {"yes": name, "no": f"no {name}"}.get(value, f"{name} {value}")
