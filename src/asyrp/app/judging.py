"""What a domain's judge says of a direction that was just trained, in words."""

from asyrp.app.jobs import Job
from asyrp.app.training import Trained
from asyrp.domains.base import Domain
from asyrp.errors import AsyrpError
from asyrp.scorers.judge import wanted
from asyrp.settings import Region

MOST_TOLD = 3  # answers
BY_EYE = (
    "No judge looks at these pictures: compare the rows above. If little changed, try more faces "
    "or passes, or a higher strength; if other things changed, more exact words."
)


def region_of(domain: Domain | None, target: str) -> Region:
    """Where the value of a target text shows (AsyrpError: no task of the domain says so)."""
    regions = {task.target: task.region for task in domain.tasks.values()} if domain else {}
    if not regions.get(target):
        known = ", ".join(repr(text) for text, region in regions.items() if region)
        raise AsyrpError(
            f"no region is known for {target!r}; one is for: {known or 'no text here'}; change the "
            "text, or train everywhere"
        )
    return regions[target]


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
