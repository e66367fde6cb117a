"""Every study's measurement on the built-in world, with as few faces and steps as it takes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from asyrp.domains.lab import edited, open_lab, train_direction
from asyrp.domains.scenes import grid_from, new_scene
from asyrp.domains.tasks import task_of

from asyrp.experiments.studies import (
    consistency,
    homogeneity,
    intervals,
    layers,
    linearity,
    robustness,
)
from asyrp.experiments.studies.catalogue import STUDIES, TASKS
from asyrp.experiments.studies.common import Bench, Learned
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
def bench() -> Bench:
    lab = open_lab(replace(TrainSettings(), steps=STEPS, epochs=1, batch_size=2))
    scene = new_scene(lab.model, "train", 6, 600, STEPS)
    saved = train_direction(lab, task_of("smiling"), PHASES, scene.rows([0, 1]))
    learned = []
    for place, name in enumerate(TASKS):
        dh = GlobalDirection(0.2 * noise(*lab.model.h_shape, seed=place))
        one = saved if place == 0 else saved._replace(direction=dh)
        learned.append(Learned(task_of(name), PHASES, one))
    test = new_scene(lab.model, "test", 12, 600, STEPS)  # two lack all three values
    return Bench(lab, learned, scene, new_scene(lab.model, "validation", 6, 600, STEPS), test, 2)


Measure = Callable[[Bench], dict[str, Any]]
FEW: dict[str, Measure] = {
    "theorem1": STUDIES["theorem1"].measure,
    "homogeneity": lambda bench: homogeneity.measure(bench, 2, {"h": (0.05, 0.5), "eps": (0.01,)}),
    "linearity": lambda bench: linearity.measure(bench, (-1.0, 0.0, 1.0)),
    "consistency": lambda bench: consistency.measure(bench, (STEPS, 16)),
    "layers": lambda bench: layers.measure(bench, ("down 1", "mid", "up 2")),
    "diagnose": STUDIES["diagnose"].measure,
}


@pytest.mark.parametrize("name", ["diagnose"])
def test_a_study_measures_draws_and_judges(bench: Bench, name: str) -> None:
    check(bench, name, FEW[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["theorem1", "homogeneity", "layers", "linearity", "consistency"])
def test_a_longer_study_measures_draws_and_judges(bench: Bench, name: str) -> None:
    check(bench, name, FEW[name])


def check(bench: Bench, name: str, measure: Measure) -> None:
    numbers = plain(measure(bench))
    assert plain(measure(bench)) == numbers
    STUDIES[name].plot(numbers).canvas.draw()
    found = STUDIES[name].verdict(numbers)
    assert found.holds in (True, False, None)
    assert found.text


@pytest.mark.slow
def test_the_studies_with_frechet_distances(bench: Bench) -> None:
    scene = new_scene(bench.lab.model, "test", 30, 600, STEPS)
    wide = bench._replace(test=scene, faces=16)
    check(wide, "robustness", lambda b: robustness.measure(b, {"h": (1.0, 2.0), "eps": (0.1, 0.3)}))
    check(wide, "intervals", lambda b: intervals.measure(b, (0.5,)))


def test_noise_grows_with_its_size(bench: Bench) -> None:
    few = bench.test.rows([0, 1])
    plain = edited(bench.lab.model, few, [], PHASES.t_boost).clamp(-1, 1)  # as noisy pictures are
    moved = [
        float((robustness.noisy_edit(bench, bench.lab.model, few, size) - plain).abs().mean())
        for size in (0.0, 0.5, 2.0)
    ]
    assert moved[0] < 1e-4
    assert moved[0] < moved[1] < moved[2]


@torch.no_grad()
def test_on_twice_the_steps_the_rule_halves_dh_and_nothing_else(bench: Bench) -> None:
    loud: Any = robustness.Noise(noise(2, *bench.lab.model.h_shape, seed=9), 1.0)
    strong = bench._replace(learned=[bench.first.with_direction(loud)])
    few = bench.test.rows([0, 1])
    found = consistency.transfer(strong, few, (16,))
    grid, boost = grid_from(few.at, 16), PHASES.t_boost
    for name, factor in (("with_rule", 0.5), ("without_rule", 1.0)):
        act = Attribute(loud, PHASES.t_edit, factor, len(grid), PHASES.t_start)
        ends = []
        for acts in ([], [act]):
            noises = [seeded_generators(1, 0, number)[0] for number in few.numbers]
            *_, done = reverse_process(bench.lab.model, few.latents, grid, acts, boost, noises)
            ends.append(done.x)
        moved = bench.lab.distance(*ends).mean()
        assert found[name][0]["lpips"].value == pytest.approx(float(moved), rel=1e-4)
