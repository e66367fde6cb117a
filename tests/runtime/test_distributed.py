"""Several processes do what one does: the same sums, the same direction, the same store."""

import os
import signal
import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asyrp.commands import common
from asyrp.errors import AsyrpError
from asyrp.finders.prepare import Pictures, start_training
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import invert_into, latents_from, recipe_of
from asyrp.runtime.distributed import SINGLE_PROCESS, ProcessGroup, assemble
from asyrp.settings import TrainSettings
from asyrp.storage.record_store import RecordStore
from conftest import noise
from doubles import tiny_guide
from gloo import together

IMAGES, STEPS = 5, 8
# Not from dh = 0, where the L1 loss has the sign of rounding errors for a gradient
SETTINGS = TrainSettings(
    steps=STEPS,
    zero_init=False,
    epochs=2,
    batch_size=3,
    optimiser="sgd",
    learning_rate=0.1,
    validate_every=2,
    patience=100,
)


def arrays(values: Sequence[Tensor]) -> list[np.ndarray]:
    """Tensors in a form that a pipe can carry."""
    return [value.detach().numpy().copy() for value in values]


def training(model: HSpaceUNet, processes: ProcessGroup, checkpoint: Path | None = None) -> Any:
    x = noise(IMAGES, 3, 16, 16)
    pictures, held = Pictures(x.tanh(), x), Pictures(x[:3].tanh(), x[:3])
    guide, phases = tiny_guide(), EditInterval(999, 800, 0)
    return start_training(model, guide, pictures, held, phases, SETTINGS, checkpoint, processes)


def weights(direction: nn.Module) -> list[np.ndarray]:
    return arrays(list(direction.parameters()))


def trained(model: HSpaceUNet, processes: ProcessGroup, checkpoint: Path | None = None) -> Any:
    job = training(model, processes, checkpoint)
    losses = [step.total for step in job.steps]
    return weights(job.direction), losses


# shares and sums


@pytest.mark.parametrize("count", [0, 1, 4, 7, 10])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_shares_cover_all_rows_once_and_evenly(size: int, count: int) -> None:
    shares = [range(count)[ProcessGroup(rank, size).share(count)] for rank in range(size)]
    assert [row for share in shares for row in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("size", [2, 4])
def test_sums_and_gathers_of_processes(size: int) -> None:
    rows = torch.arange(14.0).view(7, 2)

    def work(processes: ProcessGroup) -> Any:
        own = rows[processes.share(7)]
        weight = torch.tensor([float(processes.rank + 1)], requires_grad=True)
        mean = processes.mean(weight * 2, (processes.rank + 1) / sum(range(1, processes.size + 1)))
        mean.sum().backward()
        return {
            "total": processes.total(own.sum(0)).tolist(),
            "whole": processes.whole(own, 7).tolist(),
            "joined": processes.joined([processes.rank]),
            "same": processes.same(f"from {processes.rank}"),
            "mean": mean.item(),
            "gradient": weight.grad.item(),
        }

    found = together(size, work)
    shares = [(rank + 1) / sum(range(1, size + 1)) for rank in range(size)]
    mean = sum(2 * (rank + 1) * share for rank, share in enumerate(shares))
    for rank, one in enumerate(found):
        assert one["total"] == rows.sum(0).tolist()
        assert one["whole"] == rows.tolist()
        assert one["joined"] == list(range(size))
        assert one["same"] == "from 0"
        assert one["mean"] == pytest.approx(mean)
        assert one["gradient"] == pytest.approx(2 * shares[rank])


# training


@pytest.mark.parametrize("size", [2, 4])
def test_a_team_finds_the_direction_of_one_process(model: HSpaceUNet, size: int) -> None:
    wanted, losses = trained(model, SINGLE_PROCESS)
    start = weights(training(model, SINGLE_PROCESS).direction)
    assert max(np.abs(a - b).max() for a, b in zip(wanted, start, strict=True)) > 1e-3
    for found, told in together(size, lambda processes: trained(model, processes)):
        assert told == pytest.approx(losses, abs=1e-5)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)


def test_all_processes_end_with_the_same_bits(model: HSpaceUNet) -> None:
    first, second = together(2, lambda processes: trained(model, processes))
    assert all((a == b).all() for a, b in zip(first[0], second[0], strict=True))
    assert first[1] == second[1]


def test_a_first_process_that_fails_ends_the_others(model: HSpaceUNet) -> None:
    def failing(processes: ProcessGroup) -> str:
        job = training(model, processes)
        for _ in islice(job.steps, 3):
            pass
        if processes.rank == 0:
            raise AsyrpError("the disk is full")
        list(job.steps)
        return "finished without the first"

    started = time.monotonic()
    assert together(2, failing) == [None, None]
    assert time.monotonic() - started < 60


def test_processes_wait_for_uneven_work(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def state(**how: Any) -> SimpleNamespace:
        asked.update(how)
        return SimpleNamespace(process_index=1, num_processes=2, device="cpu")

    monkeypatch.setattr("accelerate.PartialState", state)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert assemble("cpu").rank == 1
    assert asked["timeout"] >= timedelta(hours=1)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    with pytest.raises(AsyrpError, match="2 processes need a GPU each; this machine has 1"):
        assemble("cuda")


def test_training_goes_on_after_one_process_was_killed(model: HSpaceUNet, tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"

    def dying(processes: ProcessGroup) -> str:
        job = training(model, processes, checkpoint)
        for _ in islice(job.steps, 5):  # two batches of two timesteps, and one validation
            pass
        if processes.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        list(job.steps)
        return "finished without the other"

    assert together(2, dying) == [None, None]
    assert checkpoint.exists()
    wanted, losses = trained(model, SINGLE_PROCESS)
    for found, told in together(2, lambda processes: trained(model, processes, checkpoint)):
        assert 0 < len(told) < len(losses)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)


# the store


def inverted(
    model: HSpaceUNet, folder: Path, processes: ProcessGroup, most: int = 100
) -> list[str]:
    """Keys of this process's share, a shard an image."""
    store, images = RecordStore(folder, shard_bytes=1), noise(6, 3, 16, 16).tanh()
    rows = invert_into(store, model, recipe_of(model, STEPS), images[processes.share(6)], 1)
    keys = [row.key for row in islice(rows, most)]
    if processes.rank == 1 and len(keys) == most:
        os.kill(os.getpid(), signal.SIGKILL)
    store.flush()
    return keys


@pytest.mark.parametrize("size", [2, 4])
def test_processes_fill_one_store(model: HSpaceUNet, tmp_path: Path, size: int) -> None:
    together(size, lambda processes: inverted(model, tmp_path / "shared", processes))
    keys = inverted(model, tmp_path / "alone", SINGLE_PROCESS)
    shared, alone = RecordStore(tmp_path / "shared"), RecordStore(tmp_path / "alone")
    assert set(shared.keys()) == set(alone.keys()) == set(keys)
    torch.testing.assert_close(latents_from(shared, keys), latents_from(alone, keys))


def test_a_store_goes_on_after_one_process_was_killed(model: HSpaceUNet, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    first, second = together(2, lambda processes: inverted(model, folder, processes, most=2))
    assert first is not None
    assert second is None
    before = RecordStore(folder)
    assert 4 <= len(before) <= 5  # 2 of the first, whose walk was cut, and 2 or 3 of the second
    shards = set(folder.glob("*.safetensors"))
    together(2, lambda processes: inverted(model, folder, processes))
    assert len(RecordStore(folder)) == 6
    assert len(set(folder.glob("*.safetensors")) - shards) == 6 - len(before)


def test_a_process_of_a_team_looks_at_its_own_device_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A look at "cuda" would take memory of the first GPU in every process."""
    looked, zeros = list[object](), torch.zeros

    def watched(*size: int, device: object) -> torch.Tensor:
        looked.append(device)
        return zeros(*size, device="cpu")

    monkeypatch.setattr(torch, "zeros", watched)
    monkeypatch.setattr(common, "assemble", lambda device: ProcessGroup(1, 2, "cuda:1"))
    assert common.own_device("cuda") == "cuda:1"
    assert looked == ["cuda:1"]
    monkeypatch.setattr(common, "assemble", lambda device: ProcessGroup(1, 2, "cpu"))
    with pytest.raises(AsyrpError, match="no device 'cuda' here"):
        common.own_device("cuda")
