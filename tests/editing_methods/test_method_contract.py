"""What every method keeps to, on the domain of coloured shapes, which gives whatever is needed."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asyrp.domains.base import Domain, Task
from asyrp.domains.inverted_images import InvertedImages, edited, inverted
from asyrp.editing_methods.asyrp import train_ft
from asyrp.editing_methods.base import Editor, Inputs, Method, Setting, why_not
from asyrp.editing_methods.catalogue import METHODS, method_of
from asyrp.errors import AsyrpError
from asyrp.experiments.compare import spent
from asyrp.experiments.plan import Plan, TrainClassifier
from asyrp.method.cost import Cost
from asyrp.method.editing_interval import EditInterval
from asyrp.settings import TrainSettings
from asyrp.storage.json_files import write_json
from shapes.domain import TASKS, Shapes, load

SETTINGS = TrainSettings(steps=6, epochs=1, batch_size=4, validate_every=0)
INTERVAL, AT = EditInterval(600, 200, 50), 600


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
    plan = Plan("shapes.domain", classifier_images=32, classifier_steps=3)
    write_json(
        folder / "classifier.json", {"seconds": 1.0, "result": TrainClassifier(plan)(folder)}
    )
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
