"""Batches that do not fit into memory are halved, and nothing else changes."""

import warnings
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
import torch

from asyrp import cli
from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.editing import edit, invert, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.strength_sweep import strip
from asyrp.method.unedited_trajectory import editing_window, joined, prepare
from asyrp.runtime.batching import in_batches, out_of_memory
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


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A machine on which a network takes two images at a time."""
    encode, sizes = HSpaceUNet.encode, []

    def limited(self: HSpaceUNet, x: torch.Tensor, *rest: Any) -> Any:
        sizes.append(len(x))
        if len(x) > MOST:
            raise torch.OutOfMemoryError(MESSAGES[0])
        return encode(self, x, *rest)

    monkeypatch.setattr(HSpaceUNet, "encode", limited)
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
