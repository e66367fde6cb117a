"""Finders compared with f_t: the same cells as of all other methods."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asyrp.domains.inverted_images import InvertedImages, inverted
from asyrp.editing_methods import finders
from asyrp.editing_methods.base import Inputs
from asyrp.editing_methods.finders import FINDER_METHODS, chosen, data_of, labels_suffice
from asyrp.errors import AsyrpError
from asyrp.experiments.plan import Plan, with_finders
from asyrp.finders.catalogue import Labels, Pairs
from asyrp.method.direction_file import DirectionCard, SavedDirection
from asyrp.method.directions import GlobalDirection
from asyrp.method.editing_interval import EditInterval
from asyrp.settings import TrainSettings
from places import call
from shapes.domain import TASKS, Shapes, load

FEW = ["--test-faces", "16", "--pool", "40", "--train-faces", "24", "--validation-faces", "12"]
FEW += ["--rates", "1", "--steps", "4", "--train.steps", "4", "--train.epochs", "1"]
FEW += ["--tasks", "red", "--workers", "1"]
ON_SHAPES = [name for name in FINDER_METHODS if name != "amortised"]  # which needs three tasks
SETTINGS = TrainSettings(steps=6, epochs=1, batch_size=4, validate_every=0)


@pytest.fixture(scope="module")
def domain() -> Shapes:
    return load()


@pytest.fixture(scope="module")
def inputs(domain: Shapes, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    train = inverted(domain.model, domain.images("train", 12), 600, SETTINGS.steps)
    return Inputs(EditInterval(600, 200, 50), train, SETTINGS, tmp_path_factory.mktemp("found"))


def test_all_finders_run_on_shapes_and_go_on_where_they_were(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    out = tmp_path / "out"
    words = ["compare", "--domain", "shapes.domain", "--out", str(out), "--finders", *FEW]
    assert call(*words) == 0
    table = json.loads((out / "table.json").read_text())
    ran = {name.removesuffix(" red") for name in table}
    assert {"asyrp", *ON_SHAPES} <= ran
    for name in ON_SHAPES:
        cell = table[f"{name} red"]
        assert {"success", "success_2", "leakage", "clean", "lpips"} <= cell["values"].keys()
        assert cell["stored"] > 0
        assert cell["training"]["evaluations"] > 0
        assert np.isfinite(cell["values"]["lpips"]).all()
    page = (out / "table.md").read_text()
    for told in ("SVM's normal (BoundaryDiffusion)", "pullback of h (Park)", "either way, by the"):
        assert told in page
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "stages").glob("*.json")}
    assert call(*words, "--overwrite") == 0
    assert kept == {path.name: path.stat().st_mtime_ns for path in (out / "stages").glob("*.json")}


def test_a_finder_sees_labels_of_the_judge_or_drawn_targets(domain: Shapes, inputs: Inputs) -> None:
    train = inputs.train
    labelled = data_of(domain, TASKS["red"], inputs, Labels("", "", "")).labels
    assert labelled is not None
    lacking = domain.lacking(train.clean, TASKS["red"])
    assert sorted(lacking) == [i for i, label in enumerate(labelled.tolist()) if not label]
    pairs = data_of(domain, TASKS["red"], inputs, Pairs(Path()))
    assert pairs.after is not None
    assert len(pairs.after) == len(pairs.latents) == len(lacking)
    assert not torch.equal(pairs.after, pairs.latents)
    assert labels_suffice(domain, TASKS["red"], domain.images("train", 24).x)
    assert not labels_suffice(domain, TASKS["red"], train.images[torch.tensor(lacking)])
    assert not labels_suffice(domain, replace(TASKS["red"], attribute=""), train.images)


def test_of_several_directions_the_one_and_the_way_that_succeed_are_taken(
    monkeypatch: pytest.MonkeyPatch, domain: Shapes, inputs: Inputs
) -> None:
    def edited(model: object, images: InvertedImages, acts: list[Any], boost: int) -> Tensor:
        assert images.split == "train"
        made: Tensor = acts[0].direction.dh.detach() * -acts[0].strength
        return made

    monkeypatch.setattr(finders, "edited", edited)
    monkeypatch.setattr(finders, "labels_of", lambda domain, task, made: made)
    card = DirectionCard("", "", 200, 50, 6, "")
    many = [
        SavedDirection(GlobalDirection(torch.full((2, 1, 1), v)), card) for v in (1.0, 3.0, 2.0)
    ]
    assert chosen(domain, TASKS["red"], inputs, many) == (1, -1.0)


def test_tasks_without_enough_labels_are_left_out(domain: Shapes) -> None:
    plan = with_finders(Plan("shapes.domain", train_images=24))
    assert plan.methods == ("asyrp", *ON_SHAPES)
    assert plan.tasks == ("square", "red")
    with pytest.raises(AsyrpError, match="no task has them among 3; raise --train-faces"):
        with_finders(Plan("shapes.domain", train_images=3))


def test_finders_and_methods_together_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", "--domain", "shapes.domain", "--out", str(tmp_path), "--finders"]
    assert call(*words, "--methods", "asyrp") == 2
    assert "--finders names the methods itself" in capsys.readouterr().err
