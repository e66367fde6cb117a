"""What every finder keeps to, on networks of every kind."""

import functools
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from asyrp.errors import AsyrpError
from asyrp.finders.base import NEEDS, DirectionFinder, FinderData, FinderStep, check_needs, last_of
from asyrp.finders.catalogue import (
    Amortised,
    Clip,
    Compose,
    Fitting,
    Jacobian,
    Labels,
    Pairs,
    Pca,
)
from asyrp.method.direction_file import (
    DirectionCard,
    SavedDirection,
    load_direction,
    save_direction,
)
from asyrp.method.editing import edit
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_space import Pixels
from asyrp.method.unedited_trajectory import editing_window
from asyrp.networks.latent_pipeline import Prompt, load_latent
from asyrp.options.finding import By
from asyrp.scorers.decoded import Decoded
from asyrp.settings import TrainSettings
from conftest import noise, tiny_model
from doubles import TinyEncoder, random_f_t
from tiny_folders import save_ldm, save_stable_diffusion

STEPS, IMAGES = 8, 9
WINDOW = editing_window(999, 800, STEPS)
SHORT = Fitting(epochs=1, batch_size=5)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("networks")
    save_ldm(root / "ldm")
    save_stable_diffusion(root / "sd")
    (root / "texts.csv").write_text("source,target\nface,smiling face\nface,sad face\n")
    return root


@pytest.fixture(scope="session")
def network(folders: Path) -> Callable[[str], HSpaceUNet]:
    makers: dict[str, Callable[[], HSpaceUNet]] = {
        "pixels": tiny_model,
        "bfloat16": lambda: tiny_model(dtype=torch.bfloat16),
        "latents": lambda: load_latent(folders / "ldm"),
        "guidance": lambda: load_latent(folders / "sd", prompt=Prompt("a face", 3.0)),
    }

    @functools.cache
    def made(kind: str) -> HSpaceUNet:
        return makers[kind]()

    return made


def finders(folders: Path) -> dict[str, DirectionFinder]:
    texts = folders / "texts.csv"
    return {
        "clip": Clip("face", "smiling face", TrainSettings(epochs=1, batch_size=5)),
        "labels-means": Labels("", "a", "b"),
        "labels-logistic": Labels("", "a", "b", "logistic"),
        "labels-svm": Labels("", "a", "b", "svm"),
        "pca-joint": Pca(2),
        "pca-timestep": Pca(2, "timestep"),
        "jacobian-prediction": Jacobian("prediction", 1, timesteps=2, iterations=1),
        "jacobian-bottleneck": Jacobian("bottleneck", 1, timesteps=2, iterations=1),
        "pairs-mean": Pairs(Path()),
        "pairs-f_t": Pairs(Path(), "f_t", SHORT),
        "amortised": Amortised(texts, ("face:old face",), SHORT),
        "compose": Compose(("x:0.5",)),
    }


NAMES = list(finders(Path()))


def data_for(model: HSpaceUNet, seed: int = 0, **changes: Any) -> FinderData:
    x = noise(IMAGES, *model.image_shape, seed=seed)
    plain = isinstance(model.space, Pixels)
    encoder: Any = TinyEncoder() if plain else Decoded(TinyEncoder(), model.space)
    part = SavedDirection(random_f_t(model), DirectionCard("a", "b", 800, 0, STEPS, ""))
    everything = FinderData(
        x, WINDOW, 0.1 * x, torch.arange(IMAGES) % 2, x + 0.1 * noise(*x.shape, seed=5), encoder,
        (part,), steps=STEPS, batch_size=4,
    )  # fmt: skip
    return replace(everything, **changes)


def few_for(finder: DirectionFinder, data: FinderData) -> FinderData:
    """Two images for finders that look at each for long."""
    return replace(data, latents=data.latents[:2]) if isinstance(finder, Jacobian) else data


@pytest.mark.parametrize("kind", ["pixels", "bfloat16", "latents", "guidance"])
@pytest.mark.parametrize("name", NAMES)
def test_it_finds_directions_that_are_saved_loaded_and_edit(
    network: Any, folders: Path, tmp_path: Path, name: str, kind: str
) -> None:
    model, finder = network(kind), finders(folders)[name]
    data = few_for(finder, data_for(model))
    steps = list(finder.find(model, data))
    assert all(isinstance(step, FinderStep) for step in steps)
    assert all(0 <= step.done <= step.total for step in steps)
    assert not any(step.directions for step in steps[:-1])
    assert steps[-1].done == steps[-1].total
    assert steps[-1].directions
    plain = edit(model, data.latents[:2], (), STEPS)
    for found in steps[-1].directions:
        assert found.explains
        assert not any(p.requires_grad for p in found.direction.parameters())
        card = DirectionCard("a", "b", 800, 0, STEPS, model.fingerprint())
        save_direction(tmp_path / "found.safetensors", found.direction, card)
        saved = load_direction(tmp_path / "found.safetensors", model)
        edited = edit(model, data.latents[:2], [saved.attribute(3.0)], STEPS)
        assert torch.isfinite(edited).all()
        assert not torch.equal(edited, plain)


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_the_same_again_and_changes_nothing(
    network: Any, folders: Path, name: str
) -> None:
    model, finder = network("pixels"), finders(folders)[name]
    data = few_for(finder, data_for(model))
    kept, before = data.latents.clone(), model.fingerprint()
    state = torch.random.get_rng_state()
    first, second = (last_of(finder.find(model, data)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.name == b.name
        assert a.explains == b.explains
        assert same(a.direction, b.direction)
    assert torch.equal(data.latents, kept)
    assert model.fingerprint() == before
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", NAMES)
def test_a_search_that_is_broken_off_anywhere_ends_as_an_unbroken_one(
    network: Any, folders: Path, tmp_path: Path, name: str
) -> None:
    model, finder = network("pixels"), finders(folders)[name]
    data = few_for(finder, data_for(model))
    *steps, whole = finder.find(model, data)
    kept = replace(data, state=tmp_path / "state")
    begun = finder.find(model, kept)
    for _ in range(1 + len(steps) // 2):
        next(begun, None)
    begun.close()  # type: ignore[attr-defined]
    for a, b in zip(last_of(finder.find(model, kept)), whole.directions, strict=True):
        assert same(a.direction, b.direction)


@pytest.mark.parametrize("name", NAMES)
def test_unfinished_work_of_other_data_is_not_taken(
    network: Any, folders: Path, tmp_path: Path, name: str
) -> None:
    model, finder = network("pixels"), finders(folders)[name]
    last_of(finder.find(model, few_for(finder, data_for(model, state=tmp_path))))
    other = few_for(finder, data_for(model, seed=77))
    found = last_of(finder.find(model, replace(other, state=tmp_path)))
    for a, b in zip(found, last_of(finder.find(model, other)), strict=True):
        assert same(a.direction, b.direction)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_needs(network: Any, folders: Path, name: str) -> None:
    model, finder = network("pixels"), finders(folders)[name]
    assert finder.needs <= NEEDS.keys()
    nothing = {"latents": noise(0, *model.image_shape), "labels": None, "after": None}
    nothing |= {"encoder": None, "directions": ()}
    data = data_for(model)
    check_needs(finder, data)
    for need in finder.needs:
        field = {"images": "latents", "text": "encoder"}.get(need, need)
        lacking = replace(data, **{field: nothing[field]})
        with pytest.raises(AsyrpError, match=f"the finder '{finder.name}' needs"):
            check_needs(finder, lacking)
        with pytest.raises(AsyrpError):
            last_of(finder.find(model, lacking))


def test_every_finder_of_the_command_is_here(folders: Path) -> None:
    kinds = {get_args(kind)[0] for kind in get_args(By)}
    assert {type(finder) for finder in finders(folders).values()} == kinds
    assert len({kind.name for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert is_dataclass(kind)
        assert {f.name for f in fields(kind)}


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in theirs)
