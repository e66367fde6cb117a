"""Latents and walks in a store: equal to the plain path, made once, whole after kills."""

import itertools
import multiprocessing
import os
import random
import resource
import signal
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.finders.clip_training import fit, new_direction
from asyrp.method.asymmetric_process import reverse_process
from asyrp.method.cached_trajectory import CachedTrajectories, mark_of, prepare_into
from asyrp.method.cost import counted
from asyrp.method.editing import invert
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import (
    Recipe,
    add_latents,
    invert_into,
    latents_from,
    recipe_of,
    state_key,
    walk_into,
    x0_key,
)
from asyrp.method.schedule import Pair, below, paper_grid
from asyrp.method.unedited_trajectory import (
    UneditedTrajectories,
    Window,
    editing_window,
    joined,
    prepare,
)
from asyrp.settings import TrainSettings
from asyrp.storage.record_store import RecordStore
from conftest import noise, tiny_model
from doubles import TinyEncoder, tiny_guide

FORK = multiprocessing.get_context("fork")
STEPS = 8
SETTINGS = TrainSettings(steps=STEPS, epochs=2, batch_size=2, learning_rate=0.02, validate_every=0)


@pytest.fixture(scope="module")
def model() -> HSpaceUNet:
    """On v-prediction, which keeps x bounded in a random network."""
    return tiny_model("v_prediction")


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "store")


def pictures(count: int, seed: int = 0) -> Tensor:
    return noise(count, 3, 16, 16, seed=seed).tanh()


def kept(store: RecordStore, model: HSpaceUNet, images: Tensor, size: int = 4, **how: Any) -> Any:
    """Keys in the order of the images."""
    recipe = recipe_of(model, STEPS, **how)
    rows = sorted(invert_into(store, model, recipe, images, size))
    store.flush()
    return [one.key for one in rows]


# latents


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"refinements": 2},
        {"convention": "target"},
        {"convention": "extrapolated"},
        {"up_to": 600},
        {"up_to": 0, "convention": "target"},
    ],
)
def test_stored_latents_are_those_of_invert(
    store: RecordStore, model: HSpaceUNet, how: dict[str, Any]
) -> None:
    images = pictures(6)
    keys = kept(store, model, images, **how)
    again = RecordStore(store.folder)
    wanted = invert(model, images, STEPS, batch_size=4, **how).latents
    assert torch.equal(latents_from(again, keys), wanted)


def test_no_image_is_inverted_twice(store: RecordStore, model: HSpaceUNet) -> None:
    images = pictures(5)
    keys = kept(store, model, images[:3])
    again = RecordStore(store.folder)
    with counted(model) as cost:
        rows = list(invert_into(again, model, recipe_of(model, STEPS), images))
    assert cost.encodes == cost.decodes == 2 * (STEPS - 1)
    assert [(one.row, one.new) for one in rows] == [
        (0, False),
        (1, False),
        (2, False),
        (3, True),
        (4, True),
    ]
    assert [one.key for one in rows[:3]] == keys


def test_equal_pictures_are_one_record(store: RecordStore, model: HSpaceUNet) -> None:
    image = pictures(1)
    keys = kept(store, model, torch.cat([image, image, -image]))
    assert keys[0] == keys[1] != keys[2]
    assert len(store) == 2


def test_images_are_read_a_batch_at_a_time(store: RecordStore, model: HSpaceUNet) -> None:
    read: list[int] = []

    def images() -> Iterator[Tensor]:
        for row, image in enumerate(pictures(10)):
            read.append(row)
            yield image

    rows = invert_into(store, model, recipe_of(model, STEPS), images(), 4)
    next(rows)
    assert read == [0, 1, 2, 3]
    list(itertools.islice(rows, 4))
    assert len(read) == 8


def recipes() -> dict[str, Recipe]:
    base = Recipe("f" * 64, "torch.float32", (0, 499, 999), "source", 1)
    return {
        "base": base,
        "network": replace(base, network="e" * 64),
        "precision": replace(base, dtype="torch.bfloat16"),
        "grid": replace(base, times=(0, 500, 999)),
        "top": replace(base, times=(0, 499)),
        "convention": replace(base, convention="target"),
        "refinements": replace(base, refinements=0),
    }


def test_a_key_says_everything_that_a_latent_depends_on() -> None:
    image = pictures(1)[0]
    keys = {name: recipe.key(image) for name, recipe in recipes().items()}
    keys["a pixel"] = recipes()["base"].key(image + torch.eye(16) * 1e-6)
    keys["shape"] = recipes()["base"].key(image.reshape(3, 8, 32))
    assert len(set(keys.values())) == len(keys)
    assert recipes()["base"].key(image.double().clone()) == keys["base"]


def test_another_network_never_gets_these_latents(store: RecordStore, model: HSpaceUNet) -> None:
    images = pictures(2)
    first = kept(store, model, images)
    other = kept(store, tiny_model("v_prediction", norm_num_groups=2), images)
    half = kept(store, tiny_model("v_prediction", torch.bfloat16), images)
    assert not set(first) & set(other)
    assert not set(first) & set(half)


def test_bad_recipes_are_refused(model: HSpaceUNet) -> None:
    with pytest.raises(AsyrpError, match="got up_to -1"):
        recipe_of(model, STEPS, up_to=-1)
    with pytest.raises(AsyrpError, match="refinements must be 0 or more; got -1"):
        recipe_of(model, STEPS, refinements=-1)
    with pytest.raises(AsyrpError, match="convention is one of source, target"):
        recipe_of(model, STEPS, "sideways")  # type: ignore[arg-type]


# kills


def invert_slowly(folder: Path, images: Tensor) -> None:
    torch.set_num_threads(1)
    store = RecordStore(folder, shard_bytes=2 * 4 * 3 * 16 * 16 * 4)
    model = tiny_model("v_prediction")
    list(invert_into(store, model, recipe_of(model, 4), images, 4))
    store.flush()


def kill_until_done(folder: Path, kills: int) -> None:
    images, rng = pictures(12 * kills), random.Random(1)
    for _ in range(kills):
        process = FORK.Process(target=invert_slowly, args=(folder, images))
        process.start()
        time.sleep(rng.uniform(0.05, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    invert_slowly(folder, images)
    model, store = tiny_model("v_prediction"), RecordStore(folder)
    recipe = recipe_of(model, 4)
    keys = [recipe.key(image) for image in images]
    wanted = invert(model, images, 4, batch_size=4).latents
    assert torch.equal(latents_from(store, keys), wanted)
    assert len(store) == len(images)
    done = len(list(folder.glob("[!.]*.safetensors")))
    assert done <= len(images) / 8 + kills + 1  # nothing was inverted twice but what was killed


def test_an_inversion_killed_at_random_moments_ends_as_the_unbroken_one(tmp_path: Path) -> None:
    kill_until_done(tmp_path / "store", 4)


@pytest.mark.slow
def test_an_inversion_killed_twenty_times_ends_as_the_unbroken_one(tmp_path: Path) -> None:
    kill_until_done(tmp_path / "store", 20)


# memory


def test_neither_images_nor_latents_stay_in_memory(tmp_path: Path, model: HSpaceUNet) -> None:
    store, alive = RecordStore(tmp_path / "store", shard_bytes=3 * 16 * 16 * 4 * 8), []

    def images() -> Iterator[Tensor]:
        for row in range(40):
            image = noise(3, 16, 16, seed=row)
            alive.append(weakref.ref(image))
            yield image

    for _ in invert_into(store, model, recipe_of(model, 2), images(), 4):
        assert sum(one() is not None for one in alive) <= 5
        assert len(store._pending) < 8 + 4
    assert len(alive) == 40


def peak_kilobytes(folder: Path, count: int) -> int:
    """Of a process of its own that inverts so many images of 32 x 32."""
    connection, other = FORK.Pipe()

    def work() -> None:
        torch.set_num_threads(1)
        model, store = tiny_model("v_prediction", sample_size=32), RecordStore(folder, 2**20)
        images = (noise(3, 32, 32, seed=row) for row in range(count))
        for _ in invert_into(store, model, recipe_of(model, 2), images):
            pass
        store.flush()
        other.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    process = FORK.Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
    return int(connection.recv())


@pytest.mark.slow
def test_ten_thousand_images_need_the_memory_of_a_hundred(tmp_path: Path) -> None:
    few, many = peak_kilobytes(tmp_path / "few", 100), peak_kilobytes(tmp_path / "many", 10_000)
    assert len(RecordStore(tmp_path / "many")) == 10_000
    assert many - few < 16_000  # of 123 MB of latents; the index takes 0.2 kB an image


# walks


GRID = paper_grid(STEPS)
PAIRS = below(GRID, 999)


@pytest.mark.parametrize("cut", [0, 3])
def test_stored_walks_are_those_of_walk(store: RecordStore, model: HSpaceUNet, cut: int) -> None:
    keys = kept(store, model, pictures(3))
    lead, grid = PAIRS[:cut], PAIRS[cut:6]
    assert sum(walk_into(store, model, keys, lead, grid)) == 3 * 6
    store.flush()
    again = RecordStore(store.folder)
    x = latents_from(again, keys)
    for done, step in enumerate(reverse_process(model, x, (*lead, *grid)), start=1):
        walked = PAIRS[:done]
        if done in (len(lead), 6):
            assert torch.equal(latents_from(again, [state_key(k, walked) for k in keys]), step.x)
        predicted = [x0_key(k, walked) for k in keys]
        assert [key in again for key in predicted] == [done > len(lead)] * 3
        if done > len(lead):
            assert torch.equal(latents_from(again, predicted), step.x0)


def test_a_walk_goes_on_where_an_earlier_one_ended(store: RecordStore, model: HSpaceUNet) -> None:
    keys = kept(store, model, pictures(3))
    costs = []
    for lead, grid in (
        (PAIRS[:2], PAIRS[2:5]),
        (PAIRS[:2], PAIRS[2:5]),  # nothing new
        (PAIRS[:2], PAIRS[2:7]),  # two steps more
        (PAIRS[:2], PAIRS[2:4]),  # shorter: its end was not kept, so from x at t_start
        (PAIRS[:1], PAIRS[1:7]),  # an earlier start: from the latent
    ):
        with counted(model) as cost:
            assert sum(walk_into(store, model, keys, lead, grid)) == cost.decodes
        costs.append(cost.decodes // 3)
    assert costs == [5, 0, 2, 2, 7]


def test_a_missing_latent_is_refused(store: RecordStore, model: HSpaceUNet) -> None:
    with pytest.raises(AsyrpError, match=r"lacks the latent .*; invert again"):
        list(walk_into(store, model, ["ab" * 32], (), PAIRS))


def test_pairs_of_numbers_and_pairs_have_one_key() -> None:
    assert state_key("a", [Pair(3, 1)]) == state_key("a", [(3, 1)])  # type: ignore[list-item]
    assert state_key("a", [Pair(3, 1)]) != x0_key("a", [Pair(3, 1)])


# training


def sources_from(
    store: RecordStore, model: HSpaceUNet, keys: list[str], window: Window
) -> CachedTrajectories:
    guide = tiny_guide()
    for _ in prepare_into(store, model, guide, keys, window, 2):
        pass
    again = RecordStore(store.folder)
    return CachedTrajectories(again, keys, window, mark_of(guide.encoder), model.device)


def direction_from(model: HSpaceUNet, sources: UneditedTrajectories, window: Window) -> nn.Module:
    direction = new_direction(model, window.grid, SETTINGS)
    list(fit(model, direction, tiny_guide(), sources, window.grid, SETTINGS))
    return direction


@pytest.mark.parametrize("t_start", [999, 800])
def test_training_from_a_store_is_training_from_memory(
    store: RecordStore, model: HSpaceUNet, t_start: int
) -> None:
    window = editing_window(t_start, 500, STEPS)
    keys = kept(store, model, pictures(4))
    stored = sources_from(store, model, keys, window)
    plain = joined(list(prepare(model, tiny_guide(), latents_from(store, keys), window, 2)))
    found, wanted = stored.take(torch.tensor([2, 0, 3])), plain.take(torch.tensor([2, 0, 3]))
    assert torch.equal(found.latents, wanted.latents)
    assert torch.equal(found.x0, wanted.x0)
    torch.testing.assert_close(found.features, wanted.features, rtol=0, atol=1e-6)
    a = direction_from(model, stored, window).state_dict()
    b = direction_from(model, plain, window).state_dict()
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-3, atol=1e-5)
    untrained = new_direction(model, window.grid, SETTINGS).state_dict()
    assert not torch.equal(a["conv_out.weight"], untrained["conv_out.weight"])


def test_a_second_attribute_walks_only_what_is_new(store: RecordStore, model: HSpaceUNet) -> None:
    keys = kept(store, model, pictures(4))
    costs = []
    for t_edit in (500, 500, 300):
        with counted(model) as cost:
            sources_from(store, model, keys, editing_window(999, t_edit, STEPS))
        costs.append(cost.decodes)
    assert costs == [4 * 4, 0, 4 * 1]  # 999 to 570; nothing; 428


def test_random_latents_can_be_kept_too(store: RecordStore, model: HSpaceUNet) -> None:
    x = noise(3, 3, 16, 16)
    keys = add_latents(store, model, x)
    assert torch.equal(latents_from(store, keys), x)
    assert add_latents(store, model, x) == keys
    assert len(store) == 3


def test_clean_features_stand_for_every_timestep(store: RecordStore, model: HSpaceUNet) -> None:
    window = editing_window(999, 500, STEPS)
    keys = kept(store, model, pictures(3))
    clean = noise(3, 8)
    sources = replace(sources_from(store, model, keys, window), clean=clean)
    rows = torch.tensor([2, 1])
    assert torch.equal(sources.take(rows).features, clean[rows].expand(4, 2, 8))


def test_marks_tell_images_apart(store: RecordStore, model: HSpaceUNet) -> None:
    window = editing_window(999, 900, STEPS)
    sources = sources_from(store, model, kept(store, model, pictures(3)), window)
    marks = sources.marks()
    assert sources.images == 3
    assert len(set(marks)) == 3
    assert all(0 <= mark < 1 for mark in marks)
    assert replace(sources, latents=sources.latents[::-1]).marks() == marks[::-1]


def test_the_mark_of_an_encoder_sees_its_weights() -> None:
    class Module(nn.Module):
        name = "tiny"

        def __init__(self, value: float):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(value))

    class Wrapped:
        name = "tiny"

        def __init__(self, value: float):
            self.encoder = Module(value)

    encoders: list[Any] = [TinyEncoder(), TinyEncoder(1), Module(1.0), Module(2.0), Wrapped(2.5)]
    assert len({mark_of(encoder) for encoder in encoders}) == 5
    assert mark_of(TinyEncoder()) == mark_of(encoders[0])
