"""Temporary folders: who may remove them, and who may not; one writer to an output at a time."""

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asyrp.errors import AsyrpError
from asyrp.networks.convert.convert import _put_in_place
from asyrp.storage import unfinished as module
from asyrp.storage.files import atomic_folder, atomic_path
from asyrp.storage.unfinished import MARKER, alone, unfinished
from leftovers import FORK, abandoned, aged, touched
from places import results, tree


def write_both(folder: Path) -> None:
    """A file called y.safetensors and a folder called edited, as commands do."""
    with atomic_path(folder / "y.safetensors") as temporary:
        temporary.write_text("new")
    with atomic_folder(folder / "edited") as temporary:
        (temporary / "00.png").write_text("new")


def test_what_killed_writers_left_is_removed_after_a_day(tmp_path: Path) -> None:
    old = abandoned(tmp_path)
    young = abandoned(tmp_path, seconds=3600)
    deep = abandoned(tmp_path, lambda place: (place / "new").mkdir())
    write_both(tmp_path)
    assert [old.exists(), young.exists(), deep.exists()] == [False, True, False]


@pytest.mark.parametrize(
    "name",
    [
        ".edited.original",
        ".edited.settings",
        ".edited.12345678",
        ".y.safetensors.backups1",
        ".y.safetensors.0a1b2c3d",
        ".asyrp-notes",
        f".asyrp-{'0' * 16}",
        f".asyrp-{'0' * 15}g",
        f".asyrp-{'A' * 16}",
        f".asyrp-{'0' * 16}.safetensors",
    ],
)
def test_a_users_hidden_files_are_nobodys_rubbish(tmp_path: Path, name: str) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "folders" / name).mkdir(parents=True)
    (tmp_path / "folders" / name / "photo.png").write_bytes(b"mine")
    (tmp_path / "files" / name).write_bytes(b"mine")
    for folder in (tmp_path / "files", tmp_path / "folders"):
        before = tree(aged(folder))
        write_both(folder)
        assert before.items() <= tree(folder).items()


def other_marker(place: Path) -> None:
    (place / MARKER).write_text("notes of mine")


def copied_marker(place: Path) -> None:
    """As `cp -r` of a leftover under another name."""
    place.rename(place.with_name(f".asyrp-{'f' * 16}"))


def linked(place: Path) -> None:
    """A link by such a name to a leftover that lies elsewhere."""
    moved = place.parent.parent / "elsewhere" / place.name
    moved.parent.mkdir()
    place.rename(moved)
    place.symlink_to(moved)


def linked_marker(place: Path) -> None:
    content = (place / MARKER).read_bytes()
    (place / MARKER).unlink()
    (place.parent / "marker").write_bytes(content)
    (place / MARKER).symlink_to(place.parent / "marker")


@pytest.mark.parametrize("change", [other_marker, copied_marker, linked, linked_marker])
def test_what_is_not_surely_ours_stays(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    change(abandoned(folder))
    before = tree(aged(tmp_path))
    write_both(folder)
    assert before.items() <= tree(tmp_path).items()


def test_links_in_a_leftover_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.png").write_bytes(b"mine")
    left = abandoned(tmp_path, lambda place: (place / "link").symlink_to(tmp_path / "mine"))
    write_both(tmp_path)
    assert not left.exists()
    assert (tmp_path / "mine" / "photo.png").read_bytes() == b"mine"


@pytest.mark.parametrize("years", [-30, 60])
def test_a_clock_that_jumps_takes_nothing_from_a_writer_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    now = time.time
    with atomic_path(tmp_path / "a") as first:
        first.write_text("slow")
        monkeypatch.setattr(time, "time", lambda: now() + years * 365 * 86400)
        other = FORK.Process(target=write_both, args=(tmp_path,))  # another process than its own
        other.start()
        other.join()
        assert other.exitcode == 0
        assert first.exists()
    assert (tmp_path / "a").read_text() == "slow"


def test_where_nothing_can_be_locked_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = abandoned(tmp_path)
    monkeypatch.setattr(module, "fcntl", None)
    write_both(tmp_path)
    with alone(tmp_path / "out", tmp_path):
        pass
    assert left.exists()


def test_names_are_random_and_as_long_as_a_disk_allows(tmp_path: Path) -> None:
    with unfinished(tmp_path) as one, unfinished(tmp_path) as two:
        assert one.name != two.name
        assert one.stat().st_mode & 0o777 == 0o700
    with atomic_path(tmp_path / ("x" * 255)) as temporary:
        temporary.write_text("long")
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


def test_a_folder_that_is_missing_or_read_only_is_named_as_the_user_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*args: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied", "something hidden")

    with pytest.raises(FileNotFoundError) as missing, unfinished(tmp_path / "none"):
        pass
    monkeypatch.setattr(Path, "mkdir", locked)
    with pytest.raises(PermissionError) as refused, unfinished(tmp_path):
        pass
    assert missing.value.filename == str(tmp_path / "none")
    assert refused.value.filename == str(tmp_path)


# folders and files in each other's place


def test_a_folder_in_the_way_of_a_file_is_told_before_anything_moves(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "b.png").mkdir(parents=True)
    (out / "sheet").write_text("mine")
    for name in ("b.png", "sheet/sheet.png"):
        before = tree(tmp_path)
        with pytest.raises(AsyrpError, match="already; rename it"), atomic_folder(out) as new:
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_text("new")
            (new / "a.png").write_text("first")
        assert tree(tmp_path) == before


def test_a_parent_that_cannot_be_written_to_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The temporary folder lies in the output itself then; root is told so."""
    out, access = tmp_path / "locked" / "out", os.access
    out.mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != out.parent and access(p, mode))
    with atomic_folder(out) as temporary:
        assert temporary.is_relative_to(out)
        (temporary / "a").write_text("a")
    assert results(out) == ["a"]


def test_a_network_that_cannot_be_put_back_is_not_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = tmp_path / "new", tmp_path / "network"
    for folder in (new, old):
        folder.mkdir()
        (folder / "config.json").write_text(folder.name)
    rename, calls = Path.rename, []

    def broken(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) > 1:  # neither the new one nor the old one goes back
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(OSError, match="Input/output"):
        _put_in_place(new, old)
    assert "network" in [path.read_text() for path in tmp_path.rglob("config.json")]


# one at a time


def hold(path: Path, begun: "object", go: "object") -> None:
    with alone(path, path.parent):
        begun.set()  # type: ignore[attr-defined]
        go.wait()  # type: ignore[attr-defined]


def test_one_process_at_a_time_writes_to_an_output(tmp_path: Path) -> None:
    path, begun, go = tmp_path / "out", FORK.Event(), FORK.Event()
    other = FORK.Process(target=hold, args=(path, begun, go))
    other.start()
    assert begun.wait(20)
    refused = pytest.raises(AsyrpError, match="another process is writing to .*; wait")
    with refused, alone(path, tmp_path):
        pass
    with alone(tmp_path / "other", tmp_path):
        pass
    go.set()
    other.join()
    with alone(path, tmp_path):
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_binds_nobody(tmp_path: Path) -> None:
    path, begun = tmp_path / "out", FORK.Event()
    other = FORK.Process(target=hold, args=(path, begun, FORK.Event()))
    other.start()
    assert begun.wait(20)
    other.kill()
    other.join()
    with alone(path, tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_goes_after_a_day(tmp_path: Path) -> None:
    name = f".asyrp-lock-{'0' * 16}"
    for folder in ("old", "young", "held", "mine", "linked"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("mine" * (folder == "mine"))
    (tmp_path / "linked" / name).unlink()
    (tmp_path / "linked" / name).symlink_to(tmp_path / "young" / name)
    for folder in ("old", "held", "mine"):
        aged(tmp_path / folder)
    holder = module._locked(tmp_path / "held" / name)
    assert holder is not None
    for folder in tmp_path.iterdir():
        module.remove_abandoned(folder)
    os.close(holder)
    assert sorted(path.parent.name for path in tmp_path.glob(f"*/{name}")) == [
        "held", "linked", "mine", "young",
    ]  # fmt: skip


def test_a_lock_that_its_holder_removes_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, hold_it, seen = tmp_path / "lock", module._others_hold, []

    def late(file: int) -> bool | None:
        if not seen:
            lock.unlink()
        seen.append(file)
        return hold_it(file)

    monkeypatch.setattr(module, "_others_hold", late)
    file = module._locked(lock)
    assert file is not None
    assert os.fstat(file).st_ino == lock.stat().st_ino
    assert len(seen) == 2
    os.close(file)


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    with alone(tmp_path / "out", tmp_path):
        (lock,) = tmp_path.iterdir()
    lock.symlink_to(tmp_path / secrets.token_hex(4))
    with pytest.raises(OSError, match="symbolic"), alone(tmp_path / "out", tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [lock.name]


def test_leftovers_are_what_they_are_meant_to_be(tmp_path: Path) -> None:
    left = abandoned(tmp_path, touched)
    assert {path.name for path in left.iterdir()} == {MARKER, "half"}
