"""Studies choose settings on validation faces and edit test faces with the chosen one alone."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from asyrp.domains.avatars.domain import TASKS
from asyrp.domains.inverted_images import InvertedImages
from asyrp.errors import AsyrpError
from asyrp.experiments.studies import consistency, homogeneity, intervals, layers, linearity
from asyrp.experiments.studies.common import Learned, StudyContext
from asyrp.method.editing_interval import EditInterval
from asyrp.reporting.bootstrap import of_mean
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
    return {"success": rows, "leakage": 0 * rows, "clean": rows, "lpips": 0 * rows + 0.1}


def test_without_validation_images_that_lack_the_value_nothing_is_chosen() -> None:
    assert context_of().validation_images(3).numbers == (0, 1, 2)
    assert context_of().validation_images(9).split == "validation"
    with pytest.raises(AsyrpError, match="none of 5 does; raise --validation-faces"):
        context_of(nothing).validation_images(3)


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
    assert found["validation"] == 4


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
    monkeypatch.setattr(linearity, "edit_images", edit_images)
    monkeypatch.setattr(linearity, "act_of", lambda learned: learned.task.name)
    context = context_of()
    other = context.first._replace(task=TASKS["glasses"])
    *_, both = linearity.sums(replace(context, learned=[context.first, other]))
    assert both["together"] == ["smiling", "glasses"]
    beyond = both["beyond_share"]["glasses"]
    wanted = of_mean(np.array([1, 0, 0, 1]) - 0.7 * np.array([1, 1, 1, 0]))
    assert beyond == wanted


def test_layers_choose_the_other_block_on_validation_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = {
        "validation": {"down 0": 0.2, "mid": 0.9, "up 0": 0.6},
        "test": {"down 0": 0.8, "mid": 0.5, "up 0": 0.4},
    }
    fakes = {
        "at_block": lambda model, name: SimpleNamespace(h_shape=(1, 2, 2), name=name),
        "fitted": lambda *_: SimpleNamespace(saved=SimpleNamespace(attribute=lambda s: None)),
        "edited": lambda space, *_: space.name,
        "as_saved": lambda lab, x: x,
        "judged": lambda lab, task, kept, name: values_of(kept, clean[kept.split][name]),
        "features_of": lambda network, x: [],
        "confidence": lambda lab, x: np.ones(4),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(layers, name, fake)
    context = context_of()
    saved = SimpleNamespace(card=SimpleNamespace(strength=1.0))
    learned = context.first._replace(saved=cast(Any, saved))
    found = layers.measure(replace(context, learned=[learned]), ("down 0", "mid", "up 0"))
    assert found["best_other"] == "up 0"
    assert found["validation"] == COUNTS["validation"]
    assert found["mid_minus_best"].value == pytest.approx(0.5 - 0.4)
    assert found["blocks"]["down 0"]["clean"].value == pytest.approx(0.8)
    alone = layers.measure(replace(context, learned=[learned]), ("mid",))
    assert alone["mid_minus_best"] is None


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
        "boosting": lambda context: {},
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(intervals, name, fake)
    found = intervals.measure(context_of(), (0.5,))
    assert found["best"] == (300, 0)
    assert {place for split, place in seen if split == "test"} == {(300, 0), (250, 100)}
    assert (
        found["best_minus_automatic"].value == 0
    )  # the cell that suits test faces is not looked at
    assert found["validation"] == 4
    assert {cell["clean"] for cell in found["cells"]} == {0.9, 0.4}
