"""Every extension that CONTRIBUTING.md shows, added by the code that stands there, and run."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor

from asyrp.cli import main
from asyrp.domains.inverted_images import inverted
from asyrp.editing_methods.base import Inputs
from asyrp.editing_methods.catalogue import method_of
from asyrp.experiments.studies.catalogue import study_of
from asyrp.method.direction_file import load_direction
from asyrp.method.editing_interval import EditInterval
from asyrp.method.text_direction import TextDirection
from asyrp.metrics.of_image import Pictures
from asyrp.networks.convert.families import FAMILIES
from asyrp.settings import TrainSettings
from conftest import noise, tiny_model
from converted import converted, relative
from doubles import tiny_guide
from originals import Adm, adm_weights
from shapes.domain import TASKS, load
from tiny_training import SETTINGS, Job, sources_of

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
IMPORTS = """
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor

from asyrp.domains.base import Domain, Task
from asyrp.domains.inverted_images import InvertedImages, edited
from asyrp.editing_methods.base import Cost, Editor, Inputs, Method, Setting
from asyrp.experiments.studies.catalogue import Study
from asyrp.experiments.studies.common import Numbers, StudyContext, Verdict
from asyrp.finders.base import FinderData, FinderStep, FoundDirection, frozen_table
from asyrp.method.hspace import HSpaceUNet
from asyrp.metrics.of_image import Metric
from asyrp.networks.convert.adm import ADM
from asyrp.reporting.figures import new_figure
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's Python as a package of one's own."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "my_package.py").write_text("\n".join([IMPORTS, *blocks]))
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("my_package")
    del sys.modules["my_package"]


def test_a_direction_finder(mine: ModuleType, tmp_path: Path) -> None:
    model = tiny_model()
    model.unet.save_pretrained(tmp_path / "network")
    interval = ["--t-start", "999", "--t-edit", "700", "--t-boost", "0", "--steps", "4"]
    searched = ["find", "--by", "my_package:Noise", "--drawn", "3", "--random", "2", *interval]
    network = ["--model", str(tmp_path / "network")]
    assert main([*searched, *network, "--out", str(tmp_path / "out")]) == 0
    saved = load_direction(tmp_path / "out" / "noise.safetensors", model)
    dh = torch.randn(model.h_shape, generator=torch.Generator().manual_seed(3))
    assert torch.equal(saved.direction(noise(1, *model.h_shape), noise(1, 8), 999)[0], dh)
    assert saved.card.training["settings"] == {"drawn": 3}
    assert main([*searched[:2], "my_package:Nothing", "--out", str(tmp_path / "none")]) == 2


def test_a_loss_term(mine: ModuleType) -> None:
    def trained(guide: TextDirection) -> tuple[float, Tensor]:
        job = Job(model, guide, sources_of(model, 4), None, replace(SETTINGS, epochs=1))
        direction = job.direction()
        steps = list(job.steps(direction))
        return steps[-1].total, next(direction.parameters()).detach()

    model, guide = tiny_model(), tiny_guide()
    (plain, before), (more, after) = trained(guide), trained(guide._replace(terms=(mine.bright,)))
    assert more != plain
    assert not torch.equal(before, after)
    (unweighted, same) = trained(guide._replace(terms=(lambda a, b: 0 * mine.bright(a, b),)))
    assert unweighted == pytest.approx(plain)
    assert torch.allclose(same, before)


def test_a_network_family(mine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = adm_weights(Adm())
    theirs = {key.replace("input_blocks", "in_blocks"): value for key, value in weights.items()}
    monkeypatch.setitem(FAMILIES, "renamed", mine.renamed)
    made = converted(theirs, "renamed", num_head_channels=16)
    wanted = converted(weights, "adm", num_head_channels=16)
    assert made.resolved == wanted.resolved
    assert made.state.keys() == wanted.state.keys()
    assert all(torch.equal(made.state[key], value) for key, value in wanted.state.items())


def test_an_editing_method_a_study_and_a_metric(mine: ModuleType, tmp_path: Path) -> None:
    domain = load()
    images = inverted(domain.model, domain.images("test", 3), 999, 4)
    inputs = Inputs(EditInterval(999, 400), images, TrainSettings(), tmp_path)
    editor = method_of("my_package:toy").prepare(domain, TASKS["red"], inputs)
    edits = editor.edit(images, editor.settings[0])
    assert relative(edits, images.reconstructions) < 1e-3

    study = study_of("my_package:counting")
    numbers = study.measure(SimpleNamespace(test=images))  # type: ignore[arg-type]
    assert numbers == {"images": 3}
    assert study.plot(numbers).axes
    assert study.verdict(numbers).holds

    found = mine.contrast.measure(Pictures(images.images, edits))
    assert found.shape == (3,)
