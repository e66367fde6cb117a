"""What a kill leaves of a training, and whose checkpoint it is."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyrp.errors import AsyrpError
from asyrp.finders import training_checkpoint as keeper
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.unedited_trajectory import editing_window
from doubles import tiny_guide
from tiny_training import (
    Job,
    copied,
    new_job,
    same,
    scrambled,
    sources_of,
    trained,
)


@pytest.fixture
def job(model: HSpaceUNet) -> Job:
    """Two epochs of two batches at two timesteps: 8 optimiser steps and 2 validations."""
    return new_job(model)


@pytest.mark.parametrize("after", range(1, 11))
def test_a_run_killed_anywhere_ends_as_the_unbroken_one(
    job: Job, tmp_path: Path, after: int
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    killed = job.steps(job.direction(), checkpoint)
    list(itertools.islice(killed, after))
    killed.close()
    batch_done = after > 2  # the first batch's file is written when its last step is taken up
    assert checkpoint.exists() == batch_done
    fresh = job.direction()
    list(job.steps(scrambled(fresh) if batch_done else fresh, checkpoint))
    assert same(copied(fresh), trained(job))
    assert not same(copied(fresh), copied(job.direction()))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "timestep"},
        {"kind": "global", "optimiser": "sgd", "learning_rate": 5.0},
        {"layout": "adm", "zero_init": False, "decay": False},
        {"validate_every": 0},
        {"optimiser": "sgd", "learning_rate": 0.5, "zero_init": False, "batch_size": 1},
    ],
)
def test_every_kind_survives_a_chain_of_kills(
    model: HSpaceUNet, tmp_path: Path, changes: dict[str, Any]
) -> None:
    job, checkpoint = new_job(model, **changes), tmp_path / "state.safetensors"
    for _ in range(3):
        killed = job.steps(job.direction(), checkpoint)
        list(itertools.islice(killed, 4))
        killed.close()
    assert same(trained(job, checkpoint), trained(job))


def test_what_an_earlier_checkpoint_repeats_is_the_same(job: Job, tmp_path: Path) -> None:
    """A machine may lose the newest file and keep an older one."""
    checkpoint = tmp_path / "state.safetensors"
    whole, kept = list(job.steps(job.direction(), checkpoint)), b""
    checkpoint.unlink()
    running = job.steps(job.direction(), checkpoint)
    for index in range(8):
        next(running)
        kept = checkpoint.read_bytes() if index == 2 else kept
    checkpoint.write_bytes(kept)
    again = list(job.steps(scrambled(job.direction()), checkpoint))
    assert again == whole[2:]


def test_a_finished_run_does_nothing_more(job: Job, tmp_path: Path) -> None:
    checkpoint, first = tmp_path / "state.safetensors", job.direction()
    list(job.steps(first, checkpoint))
    again = scrambled(job.direction())
    assert list(job.steps(again, checkpoint)) == []
    assert same(copied(again), copied(first))


def test_a_kill_while_the_state_is_written_leaves_the_one_before(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    running = job.steps(job.direction(), checkpoint)
    list(itertools.islice(running, 3))
    before = checkpoint.read_bytes()

    def cut_short(tensors: Any, path: Path, header: Any) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("asyrp.storage.files.save_file", cut_short)
    with pytest.raises(KeyboardInterrupt):
        list(running)
    assert checkpoint.read_bytes() == before
    assert list(tmp_path.iterdir()) == [checkpoint]
    monkeypatch.undo()
    assert same(trained(job, checkpoint), trained(job))


@pytest.mark.parametrize("after", range(1, 11))
def test_a_kill_within_a_long_batch_loses_no_whole_timestep(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Batches that last: the state is kept between their timesteps too, with x."""
    monkeypatch.setattr(keeper, "SECONDS", 0.0)
    checkpoint = tmp_path / "state.safetensors"
    whole = list(job.steps(job.direction()))
    killed = job.steps(job.direction(), checkpoint)
    list(itertools.islice(killed, after))
    killed.close()
    fresh = job.direction()
    again = list(job.steps(scrambled(fresh) if after > 1 else fresh, checkpoint))
    assert again == whole[after - 1 :]
    assert same(copied(fresh), trained(job))


def test_within_a_batch_the_state_is_kept_every_15_seconds(
    model: HSpaceUNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, written = [0.0], list[float]()
    monkeypatch.setattr(keeper.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(keeper, "save_state", lambda *args: written.append(now[0]))
    window = editing_window(999, 1, steps=40)
    sources = sources_of(model, 1, window=window)
    long = new_job(model, epochs=1)._replace(window=window, sources=sources, validation=None)
    for _ in long.steps(long.direction(), tmp_path / "state.safetensors"):
        now[0] += 4.0
    assert len(written) > 8
    assert max(b - a for a, b in itertools.pairwise([0.0, *written])) <= 15 + 4


# another run's checkpoint


def others(job: Job) -> dict[str, Job]:
    model, grid = job.model, editing_window(999, 600, steps=8)
    wider = sources_of(model, 3, window=grid)
    return {
        "settings": job._replace(settings=replace(job.settings, learning_rate=0.01)),
        "seed": job._replace(settings=replace(job.settings, seed=1)),
        "texts": job._replace(guide=tiny_guide("sad face")),
        "interval": job._replace(window=grid, sources=wider, validation=None),
        "images": job._replace(sources=sources_of(model, 3, seed=1)),
        "more images": job._replace(sources=sources_of(model, 4)),
        "held-out images": job._replace(validation=sources_of(model, 3, seed=91)),
        "no held-out images": job._replace(validation=None),
        "network": job._replace(model=HSpaceUNet(model.unet, model.schedule, "v_prediction")),
        "layout": job._replace(settings=replace(job.settings, layout="adm")),
        "kind": job._replace(settings=replace(job.settings, kind="global")),
    }


NAMES = ["settings", "seed", "texts", "interval", "images", "more images", "held-out images"]
NAMES += ["no held-out images", "network", "layout", "kind"]


@pytest.mark.parametrize("name", NAMES)
def test_the_checkpoint_of_another_run_is_refused(job: Job, tmp_path: Path, name: str) -> None:
    checkpoint = tmp_path / "state.safetensors"
    list(itertools.islice(job.steps(job.direction(), checkpoint), 3))
    before = checkpoint.read_bytes()
    other = others(job)[name]
    with pytest.raises(AsyrpError, match="delete it to start anew"):
        next(other.steps(other.direction(), checkpoint))
    assert checkpoint.read_bytes() == before


def test_a_checkpoint_forgives_the_rounding_of_another_machine(job: Job, tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    list(itertools.islice(job.steps(job.direction(), checkpoint), 3))
    near = job._replace(sources=job.sources._replace(x0=job.sources.x0 * (1 + 1e-6)))
    assert next(near.steps(near.direction(), checkpoint)).batch == 1


@pytest.mark.parametrize("content", [b"", b"no safetensors at all, but long enough"])
def test_a_broken_checkpoint_is_refused(job: Job, tmp_path: Path, content: bytes) -> None:
    checkpoint = tmp_path / "state.safetensors"
    checkpoint.write_bytes(content)
    with pytest.raises(AsyrpError, match=r"not a checkpoint of this run .*; delete it"):
        next(job.steps(job.direction(), checkpoint))
