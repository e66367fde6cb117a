"""No step of a walk makes the CPU wait for a GPU, but where a number is shown."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asyrp.finders.clip_training import fit, new_direction
from asyrp.finders.prepare import curves_of
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.editing import edit, invert, latents_of, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import invert_into, recipe_of, walk_into
from asyrp.method.schedule import paper_grid
from asyrp.method.second_order import walk_second_order
from asyrp.method.strength import response
from asyrp.method.strength_sweep import strip
from asyrp.method.unedited_trajectory import Clean, editing_window, joined, prepare
from asyrp.runtime.transfer import Leaving, numbers, sent
from asyrp.settings import TrainSettings
from asyrp.storage.record_store import RecordStore
from conftest import noise, tiny_model
from doubles import TinyDistance, tiny_guide
from far_device import FAR, FarDevice

Walk = Callable[[HSpaceUNet, int], object]
DEVICE = torch.device(FAR)


def images() -> Tensor:
    return noise(3, 3, 16, 16).tanh()


def act(strength: float = 1.0, t_edit: int = 300) -> Attribute:
    return Attribute(lambda h, emb, t: 0.1 * h, t_edit, strength)


def inversion(**how: Any) -> Walk:
    return lambda model, steps: latents_of(model, images(), steps, **how)


def exact(name: str) -> Walk:
    def walk(model: HSpaceUNet, steps: int) -> None:
        done = invert(model, images(), steps, inversion=name)  # type: ignore[arg-type]
        edit(model, done.latents, [act()], steps, 200, inversion=name)  # type: ignore[arg-type]

    return walk


def edited(**how: Any) -> Walk:
    return lambda model, steps: edit(model, random_latents(model, 3), [act()], steps, **how)


def strengths(model: HSpaceUNet, steps: int) -> object:
    ways = [[], [act()], [act(2.0)], [act(1.0, 600)]]
    return strip(model, random_latents(model, 3), ways, steps, 200)


def curves(model: HSpaceUNet, steps: int) -> object:
    x = images().to(FAR)
    return curves_of(model, x, x, TinyDistance(), steps)


def responding(model: HSpaceUNet, steps: int) -> object:
    guide, window = far_guide(), editing_window(999, 200, steps)
    sources = joined(list(prepare(model, guide, images().to(FAR), window, 3)))
    return response(model, act().direction, 1.0, guide, sources, window.grid)


def far_guide() -> Any:
    guide: Any = tiny_guide()
    guide.encoder.projection = guide.encoder.projection.to(FAR)
    return guide._replace(direction=guide.direction.to(FAR))


WALKS: dict[str, Walk] = {
    "inversion": inversion(refinements=1),
    "extrapolated inversion": inversion(convention="extrapolated"),
    "inversion by diffusers": inversion(convention="target"),
    **{f"inversion by {name}": exact(name) for name in ("belm", "bdia", "edict", "ddpm")},
    "an edit with noise": edited(t_boost=200),
    "an edit of second order": edited(walker=walk_second_order),
    "several strengths": strengths,
    "curves": curves,
    "a strength that is measured": responding,
}


def waits(work: Walk, steps: int, **changes: Any) -> Counter[str]:
    model = tiny_model(**changes).to(FAR)
    with FarDevice() as far:
        work(model, steps)
    return far.waits


def of_steps(work: Walk, **changes: Any) -> Counter[str]:
    """Where the CPU waits more often in twice as many steps."""
    return waits(work, 12, **changes) - waits(work, 6, **changes)


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_waits_at_its_ends_alone(name: str) -> None:
    assert of_steps(WALKS[name]) == Counter()


def test_a_network_of_v_predictions_waits_no_more() -> None:
    assert of_steps(WALKS["an edit with noise"], prediction="v_prediction") == Counter()


def test_the_test_sees_what_waits() -> None:
    def reading(model: HSpaceUNet, steps: int) -> None:
        for _ in latents_of(model, images(), steps):
            for pair in paper_grid(steps):
                model.encode(images().to(FAR), torch.tensor(pair.t))

    assert of_steps(reading) == Counter({"elsewhere": 6 * 3, "method.hspace:encode": 6 * 3})
    x = noise(2, 3).to(FAR)
    with FarDevice() as far:
        numbers([1.0, 2.0], x)
        sent(noise(2), DEVICE)
        assert not far.waits
        assert Leaving(x).landed().shape == x.shape
        x[[0, 1]], x.tolist(), x.new_tensor(3.0), torch.tensor(3.0, device=FAR)
        x[0], x[0, :2], x[None]
    assert far.waits == Counter({"runtime.transfer:landed": 1, "elsewhere": 4})


@pytest.mark.parametrize("along", ["edited", "trajectory", "noised"])
@pytest.mark.parametrize("kind", ["implicit", "timestep", "global"])
def test_training_reads_its_numbers_once_a_step(along: Any, kind: Any) -> None:
    def training(model: HSpaceUNet, steps: int) -> None:
        settings = TrainSettings(
            kind=kind, along=along, steps=steps, epochs=1, batch_size=3, validate_every=0
        )
        guide, window = far_guide(), editing_window(999, 200, steps)
        grid = window.grid
        clean = Clean(images(), DEVICE)
        sources = joined(list(prepare(model, guide, images().to(FAR), window, 3)))
        direction = new_direction(model, grid, settings)
        found = clean if along == "noised" else sources
        taken.append(len(list(fit(model, direction, guide, found, grid, settings))))

    taken: list[int] = []
    more = of_steps(training)
    more.pop("finders.clip_training:new_direction", None)  # a table goes to the device, once
    assert more == Counter({"finders.training_run:_step": taken[0] - taken[1]})


def test_a_store_is_filled_by_copies_that_wait_for_no_step(tmp_path: Path) -> None:
    def walking(model: HSpaceUNet, steps: int) -> None:
        store = RecordStore(tmp_path / str(steps))
        with torch.no_grad():
            recipe = recipe_of(tiny_model(), steps)
            keys = [kept.key for kept in invert_into(store, model, recipe, list(images()), 3)]
        list(walk_into(store, model, keys, (), paper_grid(steps), 3))

    assert set(of_steps(walking)) == {"runtime.transfer:landed"}
