"""The variants of the official code, by name."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

import official
from asyrp.finders.clip_training import fit
from asyrp.method.directions import ImplicitDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import pairs
from asyrp.method.text_direction import TextDirection
from asyrp.method.unedited_trajectory import Window, editing_window, joined, prepare
from asyrp.settings import official as official_settings
from conftest import noise
from doubles import tiny_guide
from tiny_training import WINDOW, Job, State, sources_of

NEW = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 5)  # older ones round otherwise
ATOL = 1e-6 if NEW else 5e-5
FIXTURES = Path(__file__).parents[1] / "data" / "official"


class Projection:
    """The fixtures' image encoder."""

    name = "fixture"
    text_common = 0.0

    def __init__(self, matrix: Tensor):
        self.matrix = matrix

    def image_features(self, images: Tensor) -> Tensor:
        return functional.normalize(images.flatten(1) @ self.matrix.T, dim=1)

    def text_features(self, texts: Any) -> Tensor:
        raise NotImplementedError


@pytest.mark.parametrize(("kind", "weight"), [("training", 3.0), ("training_clip_only", 0.0)])
@pytest.mark.parametrize("name", ["ddpm", "adm"])
def test_fit_with_the_official_settings_is_the_official_training(
    name: str, kind: str, weight: float
) -> None:
    """Clean CLIP source, log form, SGD 0.5, one step a timestep: the official losses, to 1e-4."""
    net = official.load(FIXTURES, name)
    given = load_file(FIXTURES / f"{name}.{kind}.safetensors")
    grid = pairs(given["timesteps"].flip(0).tolist())
    text, cosine = given["text_direction"][0], float(given["text_cosine"])
    guide = TextDirection(Projection(given["image_encoder"]), text, cosine)
    images, x = given["x0_image"], given["x_T"]
    sources = joined(list(prepare(net.model, guide, x, Window((), grid), 1, images)))
    settings = replace(official_settings(), batch_size=len(x), lambda_recon=weight)
    f_t = official.direction(part(given, "before."), net.layout)
    steps = list(fit(net.model, f_t, guide, sources, grid, settings))
    rows = [(s.total, s.directional, s.reconstruction, s.grad_norm) for s in steps]
    wanted = torch.cat([given["losses"], given["grad_norms"][:, None]], dim=1)
    torch.testing.assert_close(torch.tensor(rows), wanted, rtol=1e-4, atol=ATOL)
    ends = official.direction(part(given, "after."), net.layout).state_dict()
    for key, value in f_t.state_dict().items():
        assert float((value - ends[key]).norm() / ends[key].norm()) < 1e-4


def part(given: State, prefix: str) -> State:
    return {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}


@pytest.mark.parametrize("layout", ["ddpm", "adm"])
@pytest.mark.parametrize("kind", ["implicit", "timestep", "global"])
def test_the_official_settings_run(model: HSpaceUNet, kind: Any, layout: Any) -> None:
    settings = official_settings(kind, layout)
    window = editing_window(999, 900, settings.steps)
    sources = sources_of(model, 2, window=window, clean=True)
    job = Job(model, tiny_guide(), sources, None, settings, window)
    direction = job.direction()
    steps = list(job.steps(direction))
    assert isinstance(direction, ImplicitDirection) == (kind == "implicit")
    assert [step.t for step in steps] == [999, 973, 947, 922] * 2  # batch 1, one epoch
    assert all(math.isfinite(step.total) for step in steps)
    first = steps[0]
    clip = -math.log((2 - first.directional) / 2)
    recon = 3.0 * job.guide.cosine * first.reconstruction
    assert first.total == pytest.approx(clip + recon, rel=1e-5)


def test_the_clean_source_is_the_image_at_every_timestep(model: HSpaceUNet) -> None:
    x, encoder = noise(3, 3, 16, 16), tiny_guide().encoder
    clean, predicted = sources_of(model, 3, clean=True), sources_of(model, 3)
    assert torch.equal(clean.x0, predicted.x0)
    for k in range(len(WINDOW.grid)):
        torch.testing.assert_close(clean.features[k], encoder.image_features(x))
        own = encoder.image_features(predicted.x0[k])
        torch.testing.assert_close(predicted.features[k], own)
