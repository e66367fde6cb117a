"""Studies choose settings on validation faces and edit test faces with the chosen one alone."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from asyrp.domains.lab import Lab
from asyrp.domains.scenes import Scene
from asyrp.domains.tasks import task_of
from asyrp.errors import AsyrpError
from asyrp.experiments.studies import consistency, homogeneity, intervals, layers, linearity
from asyrp.experiments.studies.common import Bench, Learned, arm_of
from asyrp.finders.prepare import Phases
from asyrp.reporting.statistics import Tuned, of_difference, of_tuned
from asyrp.settings import TrainSettings

COUNTS = {"train": 3, "validation": 5, "test": 6}


def scene(split: str) -> Scene:
    images, numbers = torch.zeros(COUNTS[split], 3, 2, 2), tuple(range(COUNTS[split]))
    return Scene(split, numbers, 600, 8, images, images, images)


def everything(kept: Scene, task: Any) -> list[int]:
    return list(range(len(kept.numbers)))


def nothing(kept: Scene, task: Any) -> list[int]:
    return [] if kept.split == "validation" else everything(kept, task)


def bench_of(lacking: Any = everything) -> Bench:
    unused = cast(Any, None)
    lab = Lab(cast(Any, "h"), unused, unused, unused, unused, TrainSettings())
    learned = Learned(task_of("smiling"), Phases(600, 250, 100), cast(Any, None))
    return Bench(lab, [learned], *map(scene, COUNTS), 4, lacking)


def values_of(kept: Scene, clean: float) -> dict[str, np.ndarray]:
    """The same of every face."""
    rows = np.full(len(kept.numbers), clean)
    return {"success": rows, "leakage": 0 * rows, "clean": rows, "lpips": 0 * rows + 0.1}


def test_without_validation_images_that_lack_the_value_nothing_is_chosen() -> None:
    assert bench_of().held(3).numbers == (0, 1, 2)
    assert bench_of().held(9).split == "validation"
    with pytest.raises(AsyrpError, match="none of 5 does; raise --validation-faces"):
        bench_of(nothing).held(3)


def test_homogeneity_chooses_on_validation_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    best = {"train": 0.5, "validation": 1.5, "test": 3.3}  # the strength that suits each split
    edits: list[tuple[str, str, float]] = []

    def fitted(lab: Any, *_: Any) -> Any:
        saved = SimpleNamespace(attribute=lambda strength: (lab.settings.learning_rate, strength))
        return SimpleNamespace(saved=saved, loss=-lab.settings.learning_rate)

    def edited(space: str, kept: Scene, acts: Any, boost: int) -> Any:
        edits.append((space, kept.split, acts[0][1]))
        return acts[0]

    def judged(lab: Any, task: Any, kept: Scene, act: tuple[float, float]) -> Any:
        rate, strength = act
        return values_of(kept, 0.9 if strength == best[kept.split] else 0.2 + rate)

    for name, fake in (("fitted", fitted), ("edited", edited), ("judged", judged)):
        monkeypatch.setattr(homogeneity, name, fake)
    monkeypatch.setattr(homogeneity, "epsilon_space", lambda model: "eps")
    found = homogeneity.measure(bench_of(), rates={"h": (0.01, 0.02), "eps": (0.01, 0.02)})
    assert [one for one in edits if one[1] == "test"] == [("h", "test", 1.5), ("eps", "test", 1.5)]
    for one in found["spaces"].values():
        assert one["strength"] == 1.5
        assert one["held"]["1.5"]["clean"] == pytest.approx(0.9)
        assert one["others"]["clean"].value == pytest.approx(0.2 + one["rate"])
        assert one["others"]["clean"].images == 4
    assert found["held"] == COUNTS["validation"]


def test_consistency_averages_training_faces_and_edits_test_faces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edits: list[tuple[str, float]] = []

    def recorded(lab: Any, kept: Scene, saved: Any) -> dict[int, torch.Tensor]:
        of_split = float(kept.split == "train")
        return {t: torch.full((len(kept.numbers), 2, 1, 1), of_split + t) for t in (10, 20)}

    def edit_scene(bench: Bench, kept: Scene, acts: Any) -> float:
        dh = getattr(acts[0], "dh", None)
        edits.append((kept.split, 0.0 if dh is None else float(dh.detach().mean())))
        return edits[-1][1]

    def judged(lab: Any, task: Any, kept: Scene, shift: float) -> dict[str, np.ndarray]:
        return values_of(kept, 0.5 if shift else 1.0)

    fakes = {"recorded": recorded, "edit_scene": edit_scene, "judged": judged}
    fakes |= {"act_of": lambda learned: learned.saved and learned.saved.direction}
    fakes |= {"transfer": lambda *_: {}, "distances": lambda *_: np.zeros(4)}
    for name, fake in fakes.items():
        monkeypatch.setattr(consistency, name, fake)
    bench = bench_of()
    model = SimpleNamespace(schedule=SimpleNamespace(length=1000))
    lab = bench.lab._replace(model=cast(Any, model))
    learned = bench.first._replace(saved=cast(Any, SimpleNamespace(direction="f_t", card=None)))
    found = consistency.measure(bench._replace(lab=lab, learned=[learned]))
    assert edits == [("test", 0.0), ("test", 0.0), ("test", 16.0)]  # 1 + the mean of 10 and 20
    assert found["recorded"] == COUNTS["train"]
    assert found["cosines"]["with_mean"][0].images == COUNTS["train"]
    lost = found["edits"]["one dh"]["success_minus_f_t"]
    assert (lost.value, lost.images) == (-0.5, 4)


def test_sums_are_compared_with_their_parts_image_by_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = {1: [1, 1, 1, 0], 2: [1, 0, 0, 1]}  # whether both are seen, alone and in the sum

    def edit_scene(bench: Bench, kept: Scene, acts: list[str], boost: int) -> int:
        return len(acts)

    class Judge:
        def answers(self, count: int) -> dict[str, np.ndarray]:
            return {factor: np.array(seen[count]) for factor in ("mouth", "eyewear")}

        def wanted(self, factor: str, value: str) -> int:
            return 1

    monkeypatch.setattr(linearity, "edit_scene", edit_scene)
    monkeypatch.setattr(linearity, "act_of", lambda learned: learned.task.name)
    bench = bench_of()
    other = bench.first._replace(task=task_of("glasses"))
    lab = bench.lab._replace(judging=cast(Any, Judge()))
    *_, both = linearity.sums(bench._replace(lab=lab, learned=[bench.first, other]))
    assert both["together"] == ["smiling", "glasses"]
    beyond = both["beyond_share"]["glasses"]
    assert beyond == of_difference(np.array([1, 0, 0, 1]), np.array([1, 1, 1, 0]), 0.7)
    assert beyond.value == pytest.approx(0.5 - 0.7 * 0.75)


def layers_of(
    monkeypatch: pytest.MonkeyPatch, clean: Any, chosen: tuple[str, ...]
) -> dict[str, Any]:
    """The study where `clean(split, block, strength)` is the share of clean edits."""

    def judged(lab: Any, task: Any, kept: Scene, made: tuple[str, float]) -> Any:
        return values_of(kept, clean(kept.split, *made))

    fakes = {
        "at_block": lambda model, name: SimpleNamespace(h_shape=(1, 2, 2), name=name),
        "train_direction": lambda *_: SimpleNamespace(attribute=lambda strength: strength),
        "edited": lambda space, kept, acts, boost: (space.name, acts[0]),
        "as_saved": lambda lab, x: x,
        "judged": judged,
        "confidence": lambda lab, x: np.ones(4),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(layers, name, fake)
    monkeypatch.setattr(Bench, "showing", lambda bench: None)
    return layers.measure(bench_of(), chosen)


def test_layers_choose_the_other_block_on_validation_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = {
        "validation": {"down 0": 0.2, "mid": 0.9, "up 0": 0.6},
        "test": {"down 0": 0.8, "mid": 0.5, "up 0": 0.4},
    }

    def share(split: str, block: str, strength: float) -> float:
        return clean[split][block] - 0.01 * strength

    found = layers_of(monkeypatch, share, ("down 0", "mid", "up 0"))
    assert found["best_other"] == "up 0"
    assert found["held"] == COUNTS["validation"]
    assert found["mid_minus_best"].value == pytest.approx(0.5 - 0.4)
    assert found["blocks"]["down 0"]["clean"].value == pytest.approx(0.8 - 0.005)
    alone = layers_of(monkeypatch, share, ("mid",))
    assert alone["mid_minus_best"] is None


def test_every_block_has_the_strength_that_suits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    best = {"mid": 2.2, "up 0": 0.5}

    def share(split: str, block: str, strength: float) -> float:
        return 0.8 if strength == best[block] else 0.3

    found = layers_of(monkeypatch, share, ("mid", "up 0"))
    assert {name: one["strength"] for name, one in found["blocks"].items()} == best
    assert found["mid_minus_best"].value == 0  # at any one strength, 50 points either way


def test_the_luck_of_tuning_is_in_the_interval() -> None:
    rng = np.random.default_rng(3)
    scores = [(rng.random(12) < 0.5).astype(float) for _ in range(2)]  # nothing to choose between
    seen: list[int] = []

    def on_test(place: int) -> dict[str, np.ndarray]:
        seen.append(place)
        return {"clean": np.full(40, float(place))}

    arm = arm_of(scores, on_test)
    assert sorted(seen) == [0, 1]  # resamples of the tuning faces choose either
    assert arm.best == int(scores[1].mean() > scores[0].mean())
    other = Tuned(np.zeros((1, 12)), np.zeros((1, 40)))
    found = of_tuned([arm.tuned], [other])
    assert found.high - found.low > 1
    sure = arm_of([np.zeros(12), np.ones(12)], on_test)
    assert seen[2:] == [1]
    assert sure.values["clean"][0] == 1


def test_pictures_that_show_the_value_come_from_all_splits() -> None:
    class Judge:
        def answers(self, images: torch.Tensor) -> dict[str, np.ndarray]:
            return {"mouth": np.arange(len(images)) % 2}

        def wanted(self, factor: str, value: str) -> int:
            return 1

    bench = bench_of()
    lab = bench.lab._replace(judging=cast(Any, Judge()), features=cast(Any, lambda x: x.flatten(1)))
    assert bench._replace(lab=lab).showing() is None  # 1, 2 and 3 of 3, 5 and 6
    many = scene("test")._replace(images=torch.zeros(40, 3, 2, 2))
    found = bench._replace(lab=lab, test=many).showing()
    assert found is not None
    assert found.shape == (1 + 2 + 20, 12)


def test_intervals_choose_the_best_cell_on_validation_faces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    best = {"validation": (300, 0), "test": (300, 200)}
    seen: list[tuple[str, tuple[int, int]]] = []

    def cell(bench: Bench, kept: Scene, *place: int) -> Any:
        seen.append((kept.split, place))  # type: ignore[arg-type]
        return place

    fakes = {
        "_cell": cell,
        "judged": lambda lab, task, kept, at: values_of(
            kept, 0.9 if at == best[kept.split] else 0.4
        ),
        "boosting": lambda bench, showing: {},
    }
    monkeypatch.setattr(Bench, "showing", lambda bench: None)
    for name, fake in fakes.items():
        monkeypatch.setattr(intervals, name, fake)
    found = intervals.measure(bench_of(), (0.5,))
    assert found["best"] == (300, 0)
    assert {place for split, place in seen if split == "test"} == {(300, 0), (250, 100)}
    assert (
        found["best_minus_automatic"].value == 0
    )  # the cell that suits test faces is not looked at
    assert found["held"] == COUNTS["validation"]
    assert {cell["clean"] for cell in found["cells"]} == {0.9, 0.4}
