"""Studies choose settings on validation faces and edit test faces with the chosen one alone."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch

from asyrp.domains.avatars.domain import TASKS
from asyrp.domains.inverted_images import InvertedImages
from asyrp.errors import AsyrpError
from asyrp.experiments.studies import consistency, homogeneity, intervals, layers, linearity
from asyrp.experiments.studies.common import Learned, StudyContext
from asyrp.experiments.tuning import arm_of
from asyrp.method.editing_interval import EditInterval
from asyrp.reporting.statistics import of_difference
from asyrp.reporting.tuned import Tuned, of_tuned
from asyrp.settings import TrainSettings

COUNTS = {"train": 3, "validation": 5, "test": 6}


def faces(split: Any) -> InvertedImages:
    images, numbers = torch.zeros(COUNTS[split], 3, 2, 2), tuple(range(COUNTS[split]))
    return InvertedImages(split, numbers, 600, 8, images, images, images)


def everything(kept: Any, task: Any) -> list[int]:
    return list(range(len(kept.numbers)))


def nothing(kept: Any, task: Any) -> list[int]:
    return [] if kept.split == "validation" else everything(kept, task)


def context_of(lacking: Any = everything, judge: Any = None) -> StudyContext:
    model: Any = SimpleNamespace(schedule=SimpleNamespace(length=1000))
    scorers = SimpleNamespace(judge=judge, features=None)
    domain = cast(
        Any, SimpleNamespace(model=model, lacking=lacking, scorers=scorers, distance=None)
    )
    learned = Learned(TASKS["smiling"], EditInterval(600, 250, 100), cast(Any, None))
    train, validation, test = map(faces, ("train", "validation", "test"))
    return StudyContext(domain, TrainSettings(), [learned], train, validation, test, 4)


def values_of(kept: InvertedImages, clean: float) -> dict[str, np.ndarray]:
    """The same of every face."""
    rows = np.full(len(kept.numbers), clean)
    values = {"success": rows, "leakage": 0 * rows, "clean": rows, "lpips": 0 * rows + 0.1}
    return values | {"success_2": rows, "clean_2": rows / 2}


def test_without_validation_images_that_lack_the_value_nothing_is_chosen() -> None:
    assert context_of().validation_images().numbers == (0, 1, 2, 3, 4)
    assert context_of().validation_images().split == "validation"
    with pytest.raises(AsyrpError, match="none of 5 does; raise --validation-faces"):
        context_of(nothing).validation_images()


def test_homogeneity_chooses_on_validation_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    best = {"train": 0.5, "validation": 1.5, "test": 3.3}  # the strength that suits each split
    edits: list[tuple[str, str, float]] = []

    def fitted(*parts: Any) -> Any:
        rate = parts[4].learning_rate
        saved = SimpleNamespace(attribute=lambda strength: (rate, strength))
        return SimpleNamespace(saved=saved, loss=-rate)

    def edited(space: str, kept: InvertedImages, acts: Any, boost: int) -> Any:
        edits.append((space, kept.split, acts[0][1]))
        return acts[0]

    def judged(lab: Any, task: Any, kept: InvertedImages, act: tuple[float, float]) -> Any:
        rate, strength = act
        return values_of(kept, 0.9 if strength == best[kept.split] else 0.2 + rate)

    for name, fake in (("fitted", fitted), ("edited", edited), ("judged", judged)):
        monkeypatch.setattr(homogeneity, name, fake)
    monkeypatch.setattr(homogeneity, "epsilon_space", lambda model: "eps")
    context = context_of()
    context.domain.model = "h"  # type: ignore[misc, assignment]
    found = homogeneity.measure(context, rates={"h": (0.01, 0.02), "eps": (0.01, 0.02)})
    assert [one for one in edits if one[1] == "test"] == [("h", "test", 1.5), ("eps", "test", 1.5)]
    for one in found["spaces"].values():
        assert one["strength"] == 1.5
        assert one["validation"]["1.5"]["clean"] == pytest.approx(0.9)
        assert one["others"]["clean"].value == pytest.approx(0.2 + one["rate"])
        assert one["others"]["clean"].images == 4
    assert found["validation"] == COUNTS["validation"]


def test_consistency_averages_training_faces_and_edits_test_faces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edits: list[tuple[str, float]] = []

    def recorded(lab: Any, kept: InvertedImages, saved: Any) -> dict[int, torch.Tensor]:
        of_split = float(kept.split == "train")
        return {t: torch.full((len(kept.numbers), 2, 1, 1), of_split + t) for t in (10, 20)}

    def edit_images(context: StudyContext, kept: InvertedImages, acts: Any) -> float:
        dh = getattr(acts[0], "dh", None)
        edits.append((kept.split, 0.0 if dh is None else float(dh.detach().mean())))
        return edits[-1][1]

    def judged(lab: Any, task: Any, kept: InvertedImages, shift: float) -> dict[str, np.ndarray]:
        return values_of(kept, 0.5 if shift else 1.0)

    fakes = {"recorded": recorded, "edit_images": edit_images, "judged": judged}
    fakes |= {"act_of": lambda learned: learned.saved and learned.saved.direction}
    fakes |= {"transfer": lambda *_: {}, "distances": lambda *_: np.zeros(4)}
    for name, fake in fakes.items():
        monkeypatch.setattr(consistency, name, fake)
    context = context_of()
    saved = cast(Any, SimpleNamespace(direction="f_t", card=None))
    learned = context.first._replace(saved=saved)
    found = consistency.measure(replace(context, learned=[learned]))
    assert edits == [("test", 0.0), ("test", 0.0), ("test", 16.0)]  # 1 + the mean of 10 and 20
    assert found["recorded"] == COUNTS["train"]
    assert found["cosines"]["with_mean"][0].images == COUNTS["train"]
    lost = found["edits"]["one dh"]["success_minus_f_t"]
    assert (lost.value, lost.images) == (-0.5, 4)
    assert found["edits"]["one dh"]["success_2_minus_f_t"].value == -0.5


def test_sums_are_compared_with_their_parts_image_by_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = {1: [1, 1, 1, 0], 2: [1, 0, 0, 1]}  # whether both are seen, alone and in the sum

    def edit_images(
        context: StudyContext, kept: InvertedImages, acts: list[str], boost: int
    ) -> int:
        return len(acts)

    def answers(judge: Any, count: int) -> dict[str, np.ndarray]:
        return {factor: np.array(seen[count]) for factor in ("mouth", "eyewear")}

    monkeypatch.setattr(linearity, "answers", answers)
    monkeypatch.setattr(linearity, "wanted", lambda judge, attribute, value: 1)
    second = SimpleNamespace(succeeded=lambda domain, task, kept, edits: np.array([1.0, 1, 1, 1]))
    monkeypatch.setattr(linearity, "second_judge", second)
    monkeypatch.setattr(linearity, "edit_images", edit_images)
    monkeypatch.setattr(linearity, "act_of", lambda learned: learned.task.name)
    context = context_of()
    other = context.first._replace(task=TASKS["glasses"])
    *_, both = linearity.sums(replace(context, learned=[context.first, other]))
    assert both["together"] == ["smiling", "glasses"]
    beyond = both["beyond_share"]["glasses"]
    assert beyond == of_difference(np.array([1, 0, 0, 1]), np.array([1, 1, 1, 0]), 0.7)
    assert beyond.value == pytest.approx(0.5 - 0.7 * 0.75)
    assert both["beyond_share_2"]["glasses"].value == pytest.approx(1 - 0.7)


def layers_of(
    monkeypatch: pytest.MonkeyPatch, clean: Any, chosen: tuple[str, ...]
) -> dict[str, Any]:
    """The study where `clean(split, block, strength)` is the share of clean edits."""

    def judged(lab: Any, task: Any, kept: InvertedImages, made: tuple[str, float]) -> Any:
        return values_of(kept, clean(kept.split, *made))

    fakes = {
        "at_block": lambda model, name: SimpleNamespace(h_shape=(1, 2, 2), name=name),
        "fitted": lambda *_: SimpleNamespace(
            saved=SimpleNamespace(attribute=lambda strength: strength)
        ),
        "edited": lambda space, kept, acts, boost: (space.name, acts[0]),
        "as_saved": lambda lab, x: x,
        "judged": judged,
        "confidence": lambda lab, x: np.ones(4),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(layers, name, fake)
    monkeypatch.setattr(StudyContext, "showing", lambda context: None)
    return layers.measure(context_of(), chosen)


def test_layers_choose_the_other_block_on_validation_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = {
        "validation": {"down 0": 0.2, "mid": 0.9, "up 0": 0.6},
        "test": {"down 0": 0.8, "mid": 0.5, "up 0": 0.4},
    }

    def share(split: str, block: str, strength: float) -> float:
        return clean[split][block] - 0.01 * strength

    found = layers_of(monkeypatch, share, ("down 0", "mid", "up 0"))
    assert found["best_other"] == "up 0"
    assert found["validation"] == COUNTS["validation"]
    assert found["mid_minus_best"].value == pytest.approx(0.5 - 0.4)
    assert found["mid_minus_best_2"].value == pytest.approx((0.5 - 0.4) / 2)
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
        return {"clean": np.full(40, float(place)), "clean_2": np.zeros(40)}

    arm = arm_of(scores, on_test)
    assert sorted(seen) == [0, 1]  # resamples of the tuning faces choose either
    assert arm.best == int(scores[1].mean() > scores[0].mean())
    other = Tuned(np.zeros((1, 12)), np.zeros((1, 40)))
    found = of_tuned(arm.tuned("clean"), other)
    assert found.high - found.low > 1
    sure = arm_of([np.zeros(12), np.ones(12)], on_test)
    assert seen[2:] == [1]
    assert sure.values["clean"][0] == 1


def test_pictures_that_show_the_value_come_from_no_test_image() -> None:
    class Judge:
        values: ClassVar = {"mouth": ("neutral", "smiling")}

        def logits(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            shows = torch.arange(len(images)) % 2
            return {"mouth": torch.stack([1 - shows, shows], dim=1).float()}

    scorers = SimpleNamespace(judge=Judge(), features=lambda x: x.flatten(1))
    context = replace(context_of(), domain=cast(Any, SimpleNamespace(scorers=scorers)))
    assert context.showing() is None  # 1 and 2 of 3 and 5
    many = context.validation._replace(images=torch.zeros(40, 3, 2, 2))
    found = replace(context, validation=many).showing()
    assert found is not None
    assert found.shape == (1 + 20, 12)


def test_intervals_choose_the_best_cell_on_validation_faces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    best = {"validation": (300, 0), "test": (300, 200)}
    seen: list[tuple[str, tuple[int, int]]] = []

    def cell(context: StudyContext, kept: InvertedImages, *place: int) -> Any:
        seen.append((kept.split, place))  # type: ignore[arg-type]
        return place

    fakes = {
        "_cell": cell,
        "judged": lambda lab, task, kept, at: values_of(
            kept, 0.9 if at == best[kept.split] else 0.4
        ),
        "boosting": lambda context, showing: {},
    }
    monkeypatch.setattr(StudyContext, "showing", lambda context: None)
    for name, fake in fakes.items():
        monkeypatch.setattr(intervals, name, fake)
    found = intervals.measure(context_of(), (0.5,))
    assert found["best"] == (300, 0)
    assert {place for split, place in seen if split == "test"} == {(300, 0), (250, 100)}
    assert (
        found["best_minus_automatic"].value == 0
    )  # the cell that suits test faces is not looked at
    assert found["validation"] == COUNTS["validation"]
    assert {cell["clean"] for cell in found["cells"]} == {0.9, 0.4}
