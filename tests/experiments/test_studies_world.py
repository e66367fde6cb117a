"""Every study's measurement on the built-in world, with as few faces and steps as it takes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from asyrp.domains.base import load_domain, task_of
from asyrp.domains.find_direction import fitted
from asyrp.domains.inverted_images import edited, grid_from, inverted
from asyrp.experiments.studies import (
    consistency,
    homogeneity,
    intervals,
    layers,
    linearity,
    robustness,
)
from asyrp.experiments.studies.catalogue import STUDIES, TASKS
from asyrp.experiments.studies.common import Learned, StudyContext
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.ddim import seeded_generators
from asyrp.method.directions import GlobalDirection
from asyrp.method.editing_interval import EditInterval
from asyrp.settings import TrainSettings
from asyrp.storage.json_files import plain
from conftest import noise

pytest.importorskip("resvg_py")

STEPS = 8
PHASES = EditInterval(600, 250, 150)


@pytest.fixture(scope="module")
def context() -> StudyContext:
    domain, settings = load_domain("avatars-64"), TrainSettings(steps=STEPS, epochs=1, batch_size=2)
    train, validation, test = (  # two test faces lack all three values
        inverted(domain.model, domain.images(split, count), 600, STEPS)
        for split, count in (("train", 6), ("validation", 6), ("test", 12))
    )
    few = train.rows([0, 1])
    saved = fitted(domain, task_of(domain, "smiling"), PHASES, few, settings).saved
    learned = []
    for place, name in enumerate(TASKS):
        dh = GlobalDirection(0.2 * noise(*domain.model.h_shape, seed=place))
        one = saved if place == 0 else saved._replace(direction=dh)
        learned.append(Learned(task_of(domain, name), PHASES, one))
    return StudyContext(domain, settings, learned, train, validation, test, 2)


Measure = Callable[[StudyContext], dict[str, Any]]
FEW: dict[str, Measure] = {
    "theorem1": STUDIES["theorem1"].measure,
    "homogeneity": lambda context: homogeneity.measure(
        context, 2, {"h": (0.05, 0.5), "eps": (0.01,)}
    ),
    "linearity": lambda context: linearity.measure(context, (-1.0, 0.0, 1.0)),
    "consistency": lambda context: consistency.measure(context, (STEPS, 16)),
    "layers": lambda context: layers.measure(context, ("down 1", "mid", "up 2")),
    "diagnose": STUDIES["diagnose"].measure,
}


@pytest.mark.parametrize("name", ["diagnose"])
def test_a_study_measures_draws_and_judges(context: StudyContext, name: str) -> None:
    check(context, name, FEW[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["theorem1", "homogeneity", "layers", "linearity", "consistency"])
def test_a_longer_study_measures_draws_and_judges(context: StudyContext, name: str) -> None:
    check(context, name, FEW[name])


def check(context: StudyContext, name: str, measure: Measure) -> None:
    numbers = plain(measure(context))
    assert plain(measure(context)) == numbers
    STUDIES[name].plot(numbers).canvas.draw()
    found = STUDIES[name].verdict(numbers)
    assert found.holds in (True, False, None)
    assert found.text


@pytest.mark.slow
def test_the_studies_with_frechet_distances(context: StudyContext) -> None:
    domain = context.domain
    test = inverted(domain.model, domain.images("test", 30), 600, STEPS)
    wide = replace(context, test=test, count=16)
    check(wide, "robustness", lambda b: robustness.measure(b, {"h": (1.0, 2.0), "eps": (0.1, 0.3)}))
    check(wide, "intervals", lambda b: intervals.measure(b, (0.5,)))


def test_noise_grows_with_its_size(context: StudyContext) -> None:
    few = context.test.rows([0, 1])
    plain = edited(context.domain.model, few, [], PHASES.t_boost).clamp(
        -1, 1
    )  # as noisy pictures are
    moved = [
        float(
            (robustness.noisy_edit(context, context.domain.model, few, size) - plain).abs().mean()
        )
        for size in (0.0, 0.5, 2.0)
    ]
    assert moved[0] < 1e-4
    assert moved[0] < moved[1] < moved[2]


@torch.no_grad()
def test_on_twice_the_steps_the_rule_halves_dh_and_nothing_else(context: StudyContext) -> None:
    loud: Any = robustness.Noise(noise(2, *context.domain.model.h_shape, seed=9), 1.0)
    strong = replace(context, learned=[context.first.with_direction(loud)])
    few = context.test.rows([0, 1])
    found = consistency.transfer(strong, few, (16,))
    grid, boost = grid_from(few.at, 16), PHASES.t_boost
    for name, factor in (("with_rule", 0.5), ("without_rule", 1.0)):
        act = Attribute(loud, PHASES.t_edit, factor, grid.full, PHASES.t_start)
        ends = []
        for acts in ([], [act]):
            noises = [seeded_generators(1, 0, number)[0] for number in few.numbers]
            *_, done = reverse_process(context.domain.model, few.latents, grid, acts, boost, noises)
            ends.append(done.x)
        moved = context.domain.distance(*ends).mean()
        assert found[name][0]["lpips"].value == pytest.approx(float(moved), rel=1e-4)
