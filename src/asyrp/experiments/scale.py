"""The scale of every measure: no edit, a perfect and a wrong one; and what should fool no judge."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from asyrp.domains.base import Domain, Renderer, Task, task_of
from asyrp.domains.inverted_images import InvertedImages
from asyrp.editing_methods.finders import labels_of
from asyrp.experiments import second_judge
from asyrp.experiments.measure import as_saved, judged, measured
from asyrp.experiments.plan import Plan, domain_of, images_kept, lacking_kept
from asyrp.method.ddim import draw_noise, seeded_generators
from asyrp.metrics.calibration import LINES
from asyrp.metrics.frechet import LEAST_FID

GRAIN, SIGMA = 0.3, 1.5  # of the controls: noise in [-1, 1], blur in pixels
ALONE = {"success", "success_2", "s_dir"}  # metrics that need no same person before and after
REACH, PUSHES = 8 / 127.5, 10  # an adversary's: the largest change of a level, and its steps


def showing(plan: Plan, folder: Path, task: Task) -> Tensor | None:
    """Pictures with a task's value that no test image is among; None for fewer than FID needs.

    The drawn targets of validation images; elsewhere training and validation images in which the
    judge sees it.
    """
    domain = domain_of(plan)
    if "rendered_target" in domain.gives:
        held = lacking_kept(plan, folder, "validation", task)
        found, *_ = cast(Renderer, domain).rendered_targets(held.clean, task)
    else:
        parts = [images_kept(plan, folder, split, task).images for split in ("train", "validation")]
        found = seen_in(domain, task, torch.cat(parts))[0]
    return found if len(found) >= LEAST_FID else None


def seen_in(domain: Domain, task: Task, x: Tensor) -> tuple[Tensor, Tensor]:
    """The pictures in which the judge sees a task's value, and those in which it does not."""
    if domain.scorers.judge is None or not task.attribute:
        return x[:0], x[:0]
    seen = labels_of(domain, task, x).bool()
    return x[seen], x[~seen]


def lines_of(domain: Domain, task: Task, images: InvertedImages, pool: Tensor) -> list[Tensor]:
    """The images unedited, perfectly edited, and wrongly; fewer where there is nothing to take.

    A perfect edit is the drawn target, a wrong one that of another attribute. Where nothing is
    drawn, they are other pictures of the pool, with the value and without.
    """
    if "rendered_target" in domain.gives:
        every = domain.tasks.values()
        other = next((one for one in every if one.attribute != task.attribute), None)
        drawn = cast(Renderer, domain).rendered_targets
        return [images.images, *(drawn(images.clean, t)[0] for t in (task, other) if t)]
    found = [images.images]
    for some in seen_in(domain, task, pool):
        if len(some) > 1:
            rows = torch.arange(1, len(images.numbers) + 1) % len(some)
            found.append(some[rows])
    return found


def controls_of(domain: Domain, task: Task, images: InvertedImages) -> dict[str, Tensor]:
    """Pictures that do not show the value, though some networks may be fooled."""
    x = images.images
    noise = draw_noise(x, [seeded_generators(1, 11, number)[0] for number in images.numbers])
    return {
        "the image itself": x,
        "with noise": as_saved(domain, x + GRAIN * noise),
        "blurred": blurred(x),
        "adversarial to the guide": adversarial(domain, task, x),
    }


def blurred(x: Tensor) -> Tensor:
    """(n, c, height, width) under a Gaussian of SIGMA pixels."""
    places = torch.arange(-4, 5, dtype=x.dtype, device=x.device)
    weights = functional.softmax(-places.square() / (2 * SIGMA**2), dim=0)
    kernel, count = weights[:, None] * weights, x.shape[1]
    padded = functional.pad(x, (4, 4, 4, 4), "replicate")
    return functional.conv2d(padded, kernel.expand(count, 1, 9, 9), groups=count)


def adversarial(domain: Domain, task: Task, x: Tensor) -> Tensor:
    """x, changed by at most REACH where the guide then sees the target text (Madry et al. 2018)."""
    source, target = domain.encoder.text_features([task.source, task.target]).detach()
    found = x
    for _ in range(PUSHES):
        at = found.detach().requires_grad_()
        with torch.enable_grad():
            seen = domain.encoder.image_features(at) @ (target - source)
            (push,) = torch.autograd.grad(seen.sum(), at)
        moved = found + 2 * REACH / PUSHES * push.sign()
        found = as_saved(domain, torch.minimum(torch.maximum(moved, x - REACH), x + REACH))
    return found


@dataclass(frozen=True)
class Scale:
    """What the measures of one task say of no edit, a perfect and a wrong one, and of controls."""

    plan: Plan
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """lines: their values and sets, none where one lacks. controls: success by both judges."""
        plan, domain = self.plan, domain_of(self.plan)
        task = task_of(domain, self.task)
        test, reference = lacking_kept(plan, folder, "test", task), showing(plan, folder, task)
        pool = images_kept(plan, folder, "test", task).images
        made = lines_of(domain, task, test, pool)
        lines = [measured(domain, task, test, x, reference) for x in made]
        if "rendered_target" not in domain.gives:  # somebody else's pictures
            for one in lines[1:]:
                one["values"] = {name: one["values"][name] for name in ALONE & one["values"].keys()}
        whole = len(lines) == len(LINES)
        controls = {}
        if domain.scorers.judge is not None and task.attribute:
            for name, x in controls_of(domain, task, test).items():
                values = judged(domain, task, test, x)
                controls[name] = {key: values[key] for key in ("success", "success_2")}
        return {
            "numbers": test.numbers,
            "lines": dict(zip(LINES, lines, strict=True)) if whole else {},
            "controls": controls,
            "reference": reference is not None,
            "second": second_judge.name_of(domain),
        }
