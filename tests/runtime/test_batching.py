"""Batches that do not fit into memory are halved, and nothing else changes."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
import torch

from asyrp import cli
from asyrp.errors import AsyrpError
from asyrp.finders.clip_training import fit, new_direction
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.editing import edit, invert, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.strength_sweep import strip
from asyrp.method.unedited_trajectory import editing_window, joined, prepare
from asyrp.metrics.perceptual import distances
from asyrp.options import Network
from asyrp.runtime.batching import by_batches, in_batches, out_of_memory
from asyrp.settings import TrainSettings, official
from conftest import noise
from doubles import tiny_guide

MOST = 2  # images that the small memory of these tests holds
MESSAGES = (
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "MPS backend out of memory (MPS allocated: 1 GB)",
    "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory",
)


def test_rows_are_worked_once_each_in_their_order() -> None:
    for count in (0, 1, 5, 8):
        for size in (1, 3, 8, 100):
            rows = list(in_batches(count, size, range(count).__getitem__))
            assert list(chain(*rows)) == list(range(count))
            assert all(len(batch) <= size for batch in rows)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_batch_too_large_is_halved_from_there_on(message: str) -> None:
    tried: list[slice] = []

    def work(rows: slice) -> list[int]:
        tried.append(rows)
        if rows.start and rows.stop - rows.start > MOST:
            raise RuntimeError(message)
        return list(range(rows.start, rows.stop))

    with pytest.warns(UserWarning, match="not suffice for 8 images at a time; going on with 2"):
        rows = list(in_batches(20, 8, work))
    assert list(chain(*rows)) == list(range(20))
    assert [len(batch) for batch in rows] == [8, 2, 2, 2, 2, 2, 2]
    assert tried[1:4] == [slice(8, 16), slice(8, 12), slice(8, 10)]


def test_other_errors_and_single_rows_are_not_hidden() -> None:
    def broken(message: str) -> Any:
        def work(rows: slice) -> None:
            raise RuntimeError(message)

        return work

    with pytest.raises(RuntimeError, match="of another kind"):
        list(in_batches(4, 4, broken("an error of another kind")))
    with pytest.raises(RuntimeError, match="out of memory"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        list(in_batches(4, 4, broken(MESSAGES[0])))
    with pytest.raises(AsyrpError, match="batch_size must be 1 or more; got 0"):
        list(in_batches(4, 0, lambda rows: rows))


def limit(patch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Let networks take so many images at a time; the numbers that they are given."""
    encode, sizes = HSpaceUNet.encode, []

    def limited(self: HSpaceUNet, x: torch.Tensor, *rest: Any) -> Any:
        sizes.append(len(x))
        if len(x) > most:
            raise torch.OutOfMemoryError(MESSAGES[0])
        return encode(self, x, *rest)

    patch.setattr(HSpaceUNet, "encode", limited)
    return sizes


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A machine on which a network takes two images at a time."""
    sizes = limit(monkeypatch, MOST)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "memory does not suffice")
        yield sizes


def test_every_job_goes_on_with_less(
    model: HSpaceUNet, small_memory: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, guide = noise(5, 3, 16, 16).tanh(), tiny_guide()
    latents, window = random_latents(model, 5), editing_window(800, 400, steps=8)
    act = Attribute(lambda h, emb, t: 0.1 * h, 500)
    jobs = {
        "invert": lambda size: invert(model, x, 4, batch_size=size).reconstructions,
        "edit": lambda size: edit(model, latents, [act], 4, 300, batch_size=size),
        "strip": lambda size: strip(model, latents, [[act]], 4, 300, batch_size=size),
        "prepare": lambda size: joined(list(prepare(model, guide, latents, window, size))).x0,
    }
    for name, job in jobs.items():
        small_memory.clear()
        found = job(5)
        assert small_memory[0] == 5, name
        torch.testing.assert_close(found, job(MOST), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["implicit", "timestep"])
@pytest.mark.filterwarnings("ignore:memory does not suffice")
def test_training_divides_a_batch_and_learns_the_same(model: HSpaceUNet, kind: Any) -> None:
    settings = TrainSettings(kind=kind, steps=8, epochs=2, batch_size=4, validate_every=0)
    settings = replace(settings, zero_init=False, optimiser="sgd", learning_rate=0.1)
    window, guide = editing_window(999, 600, steps=8), tiny_guide()
    sources = joined(list(prepare(model, guide, noise(6, 3, 16, 16), window, 2)))
    found = []
    for most in (4, MOST):
        direction = new_direction(model, window.grid, settings)
        with pytest.MonkeyPatch.context() as patch:
            sizes = limit(patch, most)
            steps = fit(model, direction, guide, sources, window.grid, settings)
            told = torch.tensor([step.total for step in steps])
        weights = torch.cat([p.detach().flatten() for p in direction.parameters()])
        found.append((weights, told))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
    assert [sizes.count(4), max(sizes[1:])] == [1, MOST]  # what fits is remembered


def test_a_loss_that_is_no_mean_is_not_divided(model: HSpaceUNet, small_memory: list[int]) -> None:
    settings = replace(official(), steps=8, batch_size=4)
    window = editing_window(999, 600, steps=8)
    sources = joined(list(prepare(model, tiny_guide(), noise(4, 3, 16, 16), window, MOST)))
    direction = new_direction(model, window.grid, settings)
    with pytest.raises(torch.OutOfMemoryError):
        list(fit(model, direction, tiny_guide(), sources, window.grid, settings))


def test_measures_go_on_with_less() -> None:
    def limited(x: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        if len(x) > MOST:
            raise torch.OutOfMemoryError(MESSAGES[0])
        return x.flatten(1).mean(1)

    x = noise(5, 3, 4, 4)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "memory does not suffice")
        assert torch.equal(by_batches(limited, 5, x), x.flatten(1).mean(1))
        assert distances(limited, x, x, 5).shape == (5,)  # type: ignore[arg-type]


def test_batches_are_numbers_or_chosen() -> None:
    assert Network().at_once == Network(device="cpu").at_once == 16
    assert Network(device="cuda:1").at_once == 256
    assert Network(device="cuda", batch_size=4).at_once == 4
    line = ["sample", "--out", "o", "--batch-size"]
    assert [cli.parsed([*line, one]).network.at_once for one in ("auto", "3")] == [16, 3]


def test_the_command_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: object) -> None:
        raise torch.OutOfMemoryError(MESSAGES[0])

    monkeypatch.setattr("asyrp.commands.inspect.run", run)
    assert cli.main(["inspect", "avatars-64"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "lower --batch-size" in told[0]
    assert not out_of_memory(ValueError("out of memory."))
