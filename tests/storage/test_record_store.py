"""The store of records: what goes in comes out, whoever adds, reads, kills or damages."""

import itertools
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.storage import record_store
from asyrp.storage.record_store import MARKER, RecordStore, digest, key_of
from conftest import noise
from leftovers import abandoned

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def record(number: int) -> dict[str, Tensor]:
    return {"x": noise(2, 3, seed=number), "steps": torch.tensor(number)}


def fill(store: RecordStore, numbers: range) -> None:
    for number in numbers:
        store.add(key_of(number), record(number))
    store.flush()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.safetensors"))


# one process


def test_what_was_added_is_read_by_another_store(folder: Path) -> None:
    fill(RecordStore(folder), range(5))
    again = RecordStore(folder)
    assert len(again) == 5
    assert set(again.keys()) == {key_of(number) for number in range(5)}
    assert all(same(again.read(key_of(number)), record(number)) for number in range(5))
    assert key_of(5) not in again


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int64])
def test_every_precision_and_layout_survives(folder: Path, dtype: torch.dtype) -> None:
    x = noise(2, 4, 6, 6).mul(9).to(dtype).to(memory_format=torch.channels_last)
    store = RecordStore(folder)
    store.add(key_of(0), {"x": x, "empty": x[:0], "one": x[0, 0, 0, 0]})
    store.flush()
    read = RecordStore(folder).read(key_of(0))
    assert same(read, {"x": x, "empty": x[:0], "one": x[0, 0, 0, 0]})
    assert read["x"].dtype == dtype


def test_records_are_read_before_they_reach_the_disk(folder: Path) -> None:
    store = RecordStore(folder)
    store.add(key_of(0), record(0))
    assert key_of(0) in store
    assert same(store.read(key_of(0)), record(0))
    assert not shards(folder)
    assert len(RecordStore(folder)) == 0


def test_a_record_that_is_there_stays(folder: Path) -> None:
    store = RecordStore(folder)
    fill(store, range(1))
    store.add(key_of(0), record(7))
    store.flush()
    assert len(shards(folder)) == 1
    assert same(store.read(key_of(0)), record(0))


def test_a_shard_is_written_when_enough_waits(folder: Path) -> None:
    store = RecordStore(folder, shard_bytes=3 * 32)
    for number in range(7):
        store.add(key_of(number), record(number))  # 24 + 8 bytes
        store.write_due()
    assert [len(RecordStore(folder)), len(shards(folder))] == [6, 2]


def test_a_shard_is_written_when_the_last_was_long_ago(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(record_store.time, "monotonic", lambda: now[0])
    store = RecordStore(folder, shard_seconds=30)
    for number, seconds in enumerate((10, 19, 1, 29, 1)):
        now[0] += seconds
        store.add(key_of(number), record(number))
        store.write_due()
    assert [len(RecordStore(folder)), len(shards(folder))] == [5, 2]


def test_shards_are_never_changed(folder: Path) -> None:
    fill(RecordStore(folder), range(3))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    fill(RecordStore(folder), range(6))
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(shards(folder)) == 2


def test_what_is_read_belongs_to_the_reader(folder: Path) -> None:
    fill(RecordStore(folder), range(1))
    store = RecordStore(folder)
    store.read(key_of(0))["x"].zero_()
    assert same(store.read(key_of(0)), record(0))


def test_few_shards_stay_open(folder: Path) -> None:
    for number in range(20):
        fill(RecordStore(folder), range(number, number + 1))
    store = RecordStore(folder)
    assert all(same(store.read(key_of(number)), record(number)) for number in range(20))
    assert store._shard.cache_info().currsize == record_store.MOST_OPEN


def test_others_are_seen_after_refresh(folder: Path) -> None:
    store = RecordStore(folder)
    fill(RecordStore(folder), range(4))
    assert len(store) == 0
    assert [store.refresh(), store.refresh(), len(store)] == [4, 0, 4]


# refusals


def test_a_missing_record_is_named(folder: Path) -> None:
    with pytest.raises(AsyrpError, match=f"has no record {key_of(1)}; invert again"):
        RecordStore(folder).read(key_of(1))


def test_every_changed_byte_of_a_record_is_noticed(folder: Path) -> None:
    fill(RecordStore(folder), range(1))
    (path,) = shards(folder)
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    assert len(whole) - start == 32
    for place in range(start, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(AsyrpError, match=r"is damaged .*; delete it, and what it held is made"):
            RecordStore(folder).read(key_of(0))


@pytest.mark.parametrize("kept", [0, 7, 40, -1])
def test_a_shard_cut_short_is_refused_when_the_store_opens(folder: Path, kept: int) -> None:
    fill(RecordStore(folder), range(2))
    (path,) = shards(folder)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(AsyrpError, match="is damaged"):
        RecordStore(folder)
    path.unlink()
    store = RecordStore(folder)
    fill(store, range(2))
    assert len(RecordStore(folder)) == 2


@pytest.mark.parametrize("name", ["picture.png", "a.safetensors", "folder"])
def test_a_folder_of_something_else_is_refused(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).write_text("x")
    with pytest.raises(AsyrpError, match="holds something else; give another folder"):
        RecordStore(folder)
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_file_is_refused(folder: Path) -> None:
    folder.write_text("x")
    with pytest.raises(AsyrpError, match="holds something else"):
        RecordStore(folder)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"format": "asyrp-store", "version": 2}', "is a store of version 2; .* update asyrp"),
        ('{"format": "asyrp-latents", "version": 1}', "is not that of a store"),
        ("[1]", "is not that of a store"),
        ("no json", "is not that of a store"),
    ],
)
def test_a_store_of_another_kind_is_refused(folder: Path, content: str, reason: str) -> None:
    RecordStore(folder)
    (folder / MARKER).write_text(content)
    with pytest.raises(AsyrpError, match=reason):
        RecordStore(folder)


def test_the_digest_sees_names_shapes_precisions_and_bytes() -> None:
    x = torch.arange(6.0)
    others = [{"y": x}, {"x": x.view(2, 3)}, {"x": x.view(torch.int32)}, {"x": x, "y": x}, {}]
    found = [digest(one) for one in ({"x": x}, *others, {"x": x + 1e-6})]
    assert len(set(found)) == len(found)
    assert digest({"x": x, "y": x}) == digest({"y": x, "x": x})


def test_keys_say_all_parts() -> None:
    found = [key_of(*parts) for parts in ((1, 2), (12,), ("1", 2), ([1], 2), (1,), ())]
    assert len(set(found)) == 6
    assert all(len(bytes.fromhex(key)) == 32 for key in found)


# half-written files


def test_files_of_writers_long_dead_are_removed(folder: Path) -> None:
    RecordStore(folder)
    mine = folder / ".1.safetensors.backup"
    mine.write_bytes(b"a user's")
    left = abandoned(folder, lambda place: save_file(record(0), place / "new.safetensors"))
    os.utime(mine, (1, 1))
    assert len(RecordStore(folder)) == 0
    assert [left.exists(), mine.exists()] == [False, True]


@pytest.mark.parametrize("fails", ["record_store.save_tensors", "files.reach_disk"])
def test_a_full_disk_leaves_no_shard_and_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    store = RecordStore(folder)
    store.add(key_of(0), record(0))

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"asyrp.storage.{fails}", full)
    with pytest.raises(OSError, match="No space"):
        store.flush()
    monkeypatch.undo()
    assert not shards(folder)
    store.flush()
    assert same(RecordStore(folder).read(key_of(0)), record(0))


# many processes


def started(work: Callable[..., None], *args: object) -> multiprocessing.process.BaseProcess:
    process = FORK.Process(target=work, args=args)
    process.start()
    return process


def write_all(folder: Path, first: int) -> None:
    store = RecordStore(folder, shard_bytes=64)
    for number in range(first, first + 60):
        store.add(key_of(number), record(number))
        store.write_due()
    store.flush()


def test_processes_write_and_read_at_the_same_time(folder: Path) -> None:
    writers = [started(write_all, folder, first) for first in (0, 30, 60, 90)]
    reader, seen = RecordStore(folder), set[str]()
    while any(writer.is_alive() for writer in writers):
        reader.refresh()
        for key in set(reader.keys()) - seen:
            reader.read(key)
            seen.add(key)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    reader.refresh()
    assert all(same(reader.read(key_of(number)), record(number)) for number in range(150))
    assert len(reader) == 150


def large(number: int) -> dict[str, Tensor]:
    """A megabyte, so that a kill finds a file half written."""
    return {"x": torch.full((512, 512), float(number))}


def write_until_killed(folder: Path) -> None:
    torch.set_num_threads(1)
    store = RecordStore(folder, shard_bytes=4 * 2**20)
    for number in itertools.count():
        store.add(key_of(number), large(number))
        store.write_due()


def kill_and_check(folder: Path, times: int) -> None:
    rng, before = random.Random(0), 0
    for left in reversed(range(times)):
        process = started(write_until_killed, folder)
        time.sleep(rng.uniform(0.02, 0.2))
        while not left and not shards(folder):  # a busy machine may not have begun
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        store = RecordStore(folder)
        found = sorted(store.keys())
        numbers = range(len(found))
        assert found == sorted(key_of(number) for number in numbers)  # a beginning, no gaps
        assert all(same(store.read(key_of(number)), large(number)) for number in numbers)
        assert len(found) >= before
        before = len(found)
    assert before > 0


def test_a_store_is_whole_after_kills_at_random_moments(folder: Path) -> None:
    kill_and_check(folder, 4)


@pytest.mark.slow
def test_a_store_is_whole_after_many_kills(folder: Path) -> None:
    kill_and_check(folder, 20)


def test_shards_are_plain_safetensors_with_a_header(folder: Path) -> None:
    from safetensors import safe_open

    fill(RecordStore(folder), range(2))
    with safe_open(shards(folder)[0], "pt") as file:
        header = file.metadata()
    assert [header["format"], header["version"]] == ["asyrp-store", "1"]
    assert json.loads(header["records"]) == {key_of(n): digest(record(n)) for n in range(2)}
