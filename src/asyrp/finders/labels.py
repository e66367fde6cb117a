"""Directions from labelled images: the difference of class means, or a linear classifier's normal.

Haas et al. 2024 (supervised directions) and Zhu et al. 2023 (BoundaryDiffusion).
"""

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError, need
from asyrp.finders.base import FinderData, FinderStep, FoundDirection, frozen_table
from asyrp.finders.bottlenecks import recorded
from asyrp.finders.catalogue import Labels
from asyrp.method.hspace import HSpaceUNet

LEAST = 4  # images of each class
FOLDS = 5
MOST_ITERATIONS = 5000


class Separation(NamedTuple):
    """Two classes of h apart at one timestep: dh (d,) from the one to the other, and how well.

    accuracy: balanced over the classes, cross-validated. converged: whether the classifier was.
    """

    dh: Tensor
    accuracy: float
    converged: bool


def find(settings: Labels, model: HSpaceUNet, data: FinderData) -> Iterator[FinderStep]:
    """dh_t between the images that are labelled 0 and 1, at every timestep of the interval.

    AsyrpError for fewer than four images of a class.
    """
    assert data.labels is not None
    labels = checked(data.labels)
    total = len(labels) + len(data.window.grid)
    bottlenecks = yield from recorded(model, data.latents, data, total)
    table, found = {}, {}
    for k, t in enumerate(bottlenecks.times, start=1):
        found[t] = separated(bottlenecks.at(t), labels, settings)
        table[t] = bottlenecks.shaped(found[t].dh)
        yield FinderStep(len(labels) + k, total)
    explains = {
        "accuracy": {t: round(one.accuracy, 4) for t, one in found.items()},
        "mean_accuracy": round(float(np.mean([one.accuracy for one in found.values()])), 4),
        "folds": folds_of(labels),
        "converged": all(one.converged for one in found.values()),
        "images": {"without": int((labels == 0).sum()), "with": int(labels.sum())},
    }
    name = f"{settings.attribute}-{settings.value}"
    texts = (f"not {settings.value}", settings.value)
    answer = FoundDirection(name, frozen_table(model, table), explains, texts)
    yield FinderStep(total, total, (answer,))


def checked(labels: Tensor) -> np.ndarray:
    """Labels as (n,) integers 0 and 1; AsyrpError for too few of one of them."""
    found = labels.cpu().numpy().astype(int)
    few = {"with it": int((found == 1).sum()), "without it": int((found == 0).sum())}
    if min(few.values()) < LEAST:
        told = " and ".join(f"{count} {which}" for which, count in few.items())
        raise AsyrpError(
            f"labels need {LEAST} images or more that show the value and as many that do not; got "
            f"{told}; label more images, or name another value"
        )
    return found


def folds_of(labels: np.ndarray) -> int:
    """Parts of the cross-validation: five, or as many as the rarer class has images."""
    return int(min(FOLDS, np.bincount(labels, minlength=2).min()))


def separated(h: Tensor, labels: np.ndarray, settings: Labels) -> Separation:
    """The shift from class 0 to class 1, h (n, d).

    "means": the difference of the class means. "logistic" and "svm": the normal of the boundary, as
    long as the means lie apart along it, so that strength 1 leads from the one to the other.
    """
    selection: Any = need("sklearn.model_selection", "find")
    classes = torch.as_tensor(labels)
    apart = h[classes == 1].mean(0) - h[classes == 0].mean(0)
    scale = float(h.std()) or 1.0  # one factor for all, which turns no direction
    rows = (h / scale).numpy()
    classifier = classifier_of(settings)
    folds = selection.StratifiedKFold(folds_of(labels), shuffle=True, random_state=0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        scores = selection.cross_val_score(
            classifier, rows, labels, cv=folds, scoring="balanced_accuracy"
        )
        classifier.fit(rows, labels)
    normal = None if settings.estimate == "means" else torch.from_numpy(classifier.coef_[0])
    dh = apart if normal is None else along(normal, apart)
    converged = not any("converge" in str(one.message) for one in told)
    return Separation(dh, float(scores.mean()), converged)


def classifier_of(settings: Labels) -> Any:
    """The linear classifier that an estimate's accuracy is measured with."""
    if settings.estimate == "means":
        neighbors: Any = need("sklearn.neighbors", "find")
        return neighbors.NearestCentroid()
    how = {"C": settings.inverse_penalty, "class_weight": "balanced", "max_iter": MOST_ITERATIONS}
    if settings.estimate == "logistic":
        linear: Any = need("sklearn.linear_model", "find")
        return linear.LogisticRegression(**how)
    svm: Any = need("sklearn.svm", "find")
    return svm.LinearSVC(**how, random_state=0)


def along(normal: Tensor, apart: Tensor) -> Tensor:
    """The part of a shift that lies along a normal, both (d,)."""
    unit = functional.normalize(normal.to(apart), dim=0)
    return unit * (unit @ apart)
