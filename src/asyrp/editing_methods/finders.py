"""Finders of directions as methods of editing: one data, tuning and test for all of them."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from asyrp.domains.base import Domain, Images, Renderer, Task
from asyrp.domains.inverted_images import InvertedImages, edited, inverted
from asyrp.editing_methods.asyrp import STRENGTHS, bytes_kept, directed
from asyrp.editing_methods.base import Editor, Inputs, Method, Setting
from asyrp.finders.base import FinderData, FoundDirection, last_of
from asyrp.finders.catalogue import Amortised, Finder, Jacobian, Labels, Pairs, Pca
from asyrp.finders.labels import LEAST
from asyrp.method.cost import counted
from asyrp.method.direction_file import DirectionCard, SavedDirection
from asyrp.method.unedited_trajectory import editing_window
from asyrp.reporting.tables import csv_text
from asyrp.scorers.judge import Judge, answers, wanted
from asyrp.storage.json_files import write_text

FEW = 16  # training images on which one of several directions is chosen
SPREADS: tuple[Setting, ...] = tuple({"strength": s} for s in (1.0, 2.0, 4.0, 8.0))
TRIED = (2.0, 8.0)  # strengths at which it is chosen
COMPONENTS = 5


def labels_of(domain: Domain, task: Task, x: Tensor) -> Tensor:
    """(n,) 1 where the judge sees the task's value, else 0."""
    judge = cast(Judge, domain.scorers.judge)
    place = wanted(judge, task.attribute, task.value)
    return torch.as_tensor(answers(judge, x)[task.attribute] == place).long()


def labels_suffice(domain: Domain, task: Task, x: Tensor) -> bool:
    """Whether images of both kinds are enough for the finders that learn from labels."""
    if domain.scorers.judge is None or not task.attribute:
        return False
    return int(torch.bincount(labels_of(domain, task, x), minlength=2).min()) >= LEAST


def found(domain: Domain, task: Task, inputs: Inputs, finder: Finder) -> Editor:
    """Find on the training images, choose one of several directions on a few of them."""
    with counted(domain.model) as cost:
        data = data_of(domain, task, inputs, finder)
        answers = last_of(asked(finder, domain, task, inputs).find(domain.model, data))
        saved = [saved_of(one, inputs) for one in answers]
        best, sign = chosen(domain, task, inputs, saved) if len(saved) > 1 else (0, 1.0)
    several = [{"strength": sign * one["strength"]} for one in SPREADS]
    stored = bytes_kept(inputs, task, f"{type(finder).__name__}-{best}", saved[best])
    ready = directed(domain.model, inputs, saved[best], stored, cost)
    return ready._replace(settings=tuple(several) if len(saved) > 1 else STRENGTHS)


def asked(finder: Finder, domain: Domain, task: Task, inputs: Inputs) -> Finder:
    """The finder; one of texts learns those of the other tasks, and is asked for this one's."""
    if not isinstance(finder, Amortised):
        return finder
    others = [one for one in domain.tasks.values() if one.name != task.name]
    path = inputs.folder / f"texts-{task.name}.csv"
    write_text(path, csv_text([{"source": o.source, "target": o.target} for o in others]))
    return Amortised(path, (f"{task.source}:{task.target}",), finder.train)


def data_of(domain: Domain, task: Task, inputs: Inputs, finder: Finder) -> FinderData:
    """What a finder looks at: training images, and what it needs besides."""
    train, interval = inputs.train, inputs.interval
    length, steps = domain.model.schedule.length, inputs.settings.steps
    window = editing_window(interval.t_start, interval.t_edit, steps, length, train.at)
    labels = after = None
    if isinstance(finder, Jacobian):  # a Jacobian at a time
        train = train.few(FEW)
    if "labels" in finder.needs:
        labels = labels_of(domain, task, train.images)
    if "after" in finder.needs:
        train = train.rows(domain.lacking(train.clean, task))
        after = answers_of(domain, task, train)
    given = (train.latents, window, train.images, labels, after, domain.encoder)
    return FinderData(*given, steps=steps)


def answers_of(domain: Domain, task: Task, images: InvertedImages) -> Tensor:
    """The latents of the drawn targets, (n, c, height, width)."""
    drawn, *_ = cast(Renderer, domain).rendered_targets(images.clean, task)
    targets = Images(images.split, images.numbers, drawn.to(images.latents.device))
    return inverted(domain.model, targets, images.at, images.steps).latents


def saved_of(found: FoundDirection, inputs: Inputs) -> SavedDirection:
    """A direction with a card that says when it edits."""
    when, steps = inputs.interval, inputs.settings.steps
    card = DirectionCard("", "", when.t_edit, when.t_boost, steps, "", t_start=when.t_start)
    return SavedDirection(found.direction, card)


def chosen(
    domain: Domain, task: Task, inputs: Inputs, saved: Sequence[SavedDirection]
) -> tuple[int, float]:
    """Which of several directions, and which way, the judge sees the value by most often."""
    train = inputs.train.rows(domain.lacking(inputs.train.clean, task)[:FEW])

    def success(one: SavedDirection, strength: float) -> float:
        acts = [one.attribute(strength)]
        made = edited(domain.model, train, acts, inputs.interval.t_boost)
        return float(np.mean(labels_of(domain, task, made).numpy()))

    seen: Mapping[tuple[int, float], float] = {
        (place, sign): max(success(one, sign * size) for size in TRIED)
        for place, one in enumerate(saved)
        for sign in (1.0, -1.0)
    }
    return max(seen, key=lambda key: seen[key])


JUDGED, DRAWN, TEXTS = (frozenset({one}) for one in ("judge", "rendered_target", "third task"))
LABELLED = "no texts: the judge's labels of the training images"
UNNAMED = f"no texts: the best of {COMPONENTS}, either way, by the judge on {FEW} training images"
PAIRED = "no texts: the drawn targets of the training images"
OTHER_TEXTS = "the domain's other text pairs; it never saw this one"
MEANS, BOUNDARY = Labels("", "", ""), Labels("", "", "", "svm")
PREDICTION = Jacobian("prediction", COMPONENTS, timesteps=2)
BOTTLENECK = Jacobian("bottleneck", COMPONENTS, timesteps=2)

FINDER_METHODS: Mapping[str, Method] = {
    name: Method(name, title, partial(found, finder=finder), needs, given=given)
    for name, title, finder, needs, given in (
        ("labels", "class means (Haas)", MEANS, JUDGED, LABELLED),
        ("boundary", "SVM's normal (BoundaryDiffusion)", BOUNDARY, JUDGED, LABELLED),
        ("pca", "principal component (Haas)", Pca(COMPONENTS), JUDGED, UNNAMED),
        ("jacobian", "Jacobian of P_t (Haas)", PREDICTION, JUDGED, UNNAMED),
        ("pullback", "pullback of h (Park)", BOTTLENECK, JUDGED, UNNAMED),
        ("pairs", "mean difference of pairs", Pairs(Path()), DRAWN, PAIRED),
        ("amortised", "one f_t for all texts", Amortised(Path()), TEXTS, OTHER_TEXTS),
    )
}
"""Every finder that needs no direction to begin with; f_t itself is "asyrp"."""
