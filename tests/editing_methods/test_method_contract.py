"""What every method keeps to, on the domain of coloured shapes, which gives whatever is needed."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from asyrp.domains.base import Domain, Task
from asyrp.domains.inverted_images import InvertedImages, edited, inverted
from asyrp.editing_methods.asyrp import train_ft
from asyrp.editing_methods.base import Editor, Inputs, Method, Setting, why_not
from asyrp.editing_methods.catalogue import GUARDED, METHODS, method_of
from asyrp.editing_methods.classifier_guidance import classifier_path, trained
from asyrp.errors import AsyrpError
from asyrp.experiments import training
from asyrp.experiments.plan import Plan
from asyrp.experiments.training import searched
from asyrp.method.cost import Cost, spent
from asyrp.method.direction_file import load_direction
from asyrp.method.editing_interval import EditInterval
from asyrp.settings import TrainSettings
from asyrp.storage.json_files import write_json
from shapes.domain import TASKS, Shapes, load

SETTINGS = TrainSettings(steps=6, epochs=1, batch_size=4, validate_every=0)
INTERVAL, AT = EditInterval(600, 200, 50), 600

NO_REGION = "shapes-16 gives no region"


def plain(domain: Domain, task: Task, inputs: Inputs) -> Editor:
    """A method of ours: no edit at all."""

    def edit(images: InvertedImages, setting: Setting) -> Tensor:
        return edited(domain.model, images, [])

    return Editor(edit, ({"nothing": 0.0},), 0, Cost())


toy = Method("toy", "no edit", plain)


@pytest.fixture(scope="module")
def domain() -> Shapes:
    return load()


@pytest.fixture(scope="module")
def inputs(domain: Shapes, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Four training images, and what the stages before a method keep."""
    folder = tmp_path_factory.mktemp("stages")
    train = inverted(domain.model, domain.images("train", 4), AT, SETTINGS.steps)
    found = Inputs(INTERVAL, train, SETTINGS, folder)
    for task in TASKS.values():
        kept = {"result": {"training": spent(train_ft(domain, task, found), 0.5)}}
        write_json(folder / f"direction-{task.name}.json", kept)
    save_file(dict(trained(domain, found).state_dict()), classifier_path(folder))
    write_json(folder / "classifier.json", {"seconds": 1.0, "result": {}})
    write_json(folder / "rate-asyrp.json", {"result": {"rate": SETTINGS.rate}})
    return found


@pytest.fixture(scope="module")
def test_images(domain: Shapes) -> InvertedImages:
    return inverted(domain.model, domain.images("test", 3), AT, 5)


@pytest.mark.parametrize("name", [*METHODS, f"{__name__}:toy"])
def test_a_method_edits(
    domain: Shapes, inputs: Inputs, test_images: InvertedImages, name: str
) -> None:
    method, task = method_of(name), TASKS["red"]
    assert not why_not(method, domain)
    assert method.title
    ready = method.prepare(domain, task, inputs)
    edits = [ready.edit(test_images, setting) for setting in ready.settings]
    for one in edits:
        assert one.shape == test_images.images.shape
        assert one.isfinite().all()
    again = ready.edit(test_images, ready.settings[-1])
    assert torch.equal(again, edits[-1])  # nothing is drawn anew
    few = ready.edit(test_images.rows([1]), ready.settings[-1])
    assert torch.allclose(few, edits[-1][1:2], atol=1e-3)  # an image's edit is its own
    assert len({str(one) for one in ready.settings}) == len(ready.settings)
    assert ready.stored >= 0


@pytest.mark.parametrize("name", GUARDED)
def test_what_keeps_the_rest_is_trained_with_it(
    domain: Shapes,
    inputs: Inputs,
    test_images: InvertedImages,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = (0.0, 0.0, 0.4, 0.0, 0.4, 1.0, 0.0, 1.0)
    task = replace(TASKS["red"], region=left)
    assert why_not(GUARDED[name], domain) == ("" if name == "keep" else NO_REGION)
    monkeypatch.setattr(Shapes, "tasks", {**TASKS, "red": task})
    assert not why_not(GUARDED[name], domain)
    made, plain = (
        method_of(one).prepare(domain, task, inputs).edit(test_images, {"strength": 1.0})
        for one in (name, "asyrp")
    )
    assert not torch.equal(made, plain)
    moved = [(one - test_images.reconstructions).abs()[..., 10:].mean() for one in (made, plain)]
    assert bool(moved[0] < 0.3 * moved[1]) is ("region" in name)
    card = load_direction(inputs.folder / f"{name}-red.safetensors", domain.model).card
    assert card.region == (left if "region" in name else ())
    kept = card.training.get("keep", ())
    assert bool(kept) is ("keep" in name)


def test_a_method_says_why_it_does_not_run(domain: Shapes) -> None:
    bare = replace(domain, gives=frozenset())
    reasons = {name: why_not(method, bare) for name, method in METHODS.items()}
    assert reasons["sdedit"] == "shapes-16 gives no rendered_target"
    assert reasons["asyrp"] == ""
    assert {name for name, why in reasons.items() if why} == {
        "sdedit", "ilvr", "classifier", "swap",
    }  # fmt: skip


def test_a_name_of_no_method_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AsyrpError, match="unknown method 'json:nothing'; needed one of: asyrp"):
        method_of("json:nothing")


def boosted(domain: Shapes, inputs: Inputs, images: InvertedImages, name: str) -> bool:
    """Whether an edit changes with the noise below t_boost."""
    made = []
    for t_boost in (0, INTERVAL.t_edit):
        own = inputs._replace(interval=replace(INTERVAL, t_boost=t_boost))
        ready = method_of(name).prepare(domain, TASKS["red"], own)
        made.append(ready.edit(images._replace(steps=16), ready.settings[-1]))
    return not torch.equal(*made)


@pytest.mark.parametrize("name", METHODS)
def test_all_that_can_are_boosted_alike_and_the_others_say_so(
    domain: Shapes, inputs: Inputs, test_images: InvertedImages, name: str
) -> None:
    said = "no boosting" in method_of(name).given
    assert boosted(domain, inputs, test_images, name) is not said


@pytest.mark.parametrize("name", ["asyrp", "epsilon", "diffusionclip", "classifier"])
def test_what_trains_does_so_at_the_rate_it_is_given(
    domain: Shapes, inputs: Inputs, test_images: InvertedImages, name: str
) -> None:
    anew = searched(name)
    assert anew is not None
    made = []
    for rate in (1e-4, 1e-2):
        own = inputs._replace(settings=replace(SETTINGS, learning_rate=rate))
        ready = anew(domain, TASKS["red"], own)
        made.append(ready.edit(test_images, ready.settings[-1]))
    assert not torch.equal(*made)
    assert searched("sdedit") is None


def test_the_best_rate_of_the_first_task_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inputs: Inputs
) -> None:
    seen: list[float] = []

    def anew(domain: Domain, task: Task, own: Inputs) -> Editor:
        seen.append(own.settings.rate)
        return plain(domain, task, own)

    def judged(domain: Domain, task: Task, images: InvertedImages, x: Tensor) -> dict[str, object]:
        clean = torch.full((4,), float(seen[-1] == 2.0)).numpy()
        return {"clean": clean, "success": clean, "lpips": clean}

    fakes = {"searched": lambda name: anew, "judged": judged, "method_of": lambda name: toy}
    fakes |= {"inputs_kept": lambda plan, folder, task, rate: inputs._replace(
        settings=replace(SETTINGS, learning_rate=rate))}  # fmt: skip
    fakes |= {"lacking_kept": lambda *_: inputs.train}
    for name, fake in fakes.items():
        monkeypatch.setattr(training, name, fake)
    plan = Plan("shapes.domain", settings=replace(SETTINGS, learning_rate=1.0), rates=(0.5, 2, 4))
    found = training.ChooseRate(plan, "toy")(tmp_path)
    assert seen == [0.5, 2.0, 4.0]
    assert found["rate"] == 2.0
    one = training.ChooseRate(replace(plan, rates=(0.5,)), "toy")(tmp_path)
    assert one["rate"] == 0.5
    assert len(seen) == 3  # nothing is trained where there is nothing to choose
