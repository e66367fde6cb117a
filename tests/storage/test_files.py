"""Files that are whole or absent."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from asyrp.errors import AsyrpError
from asyrp.storage.files import (
    Kind,
    atomic_folder,
    atomic_path,
    header_of,
    load_tensors,
    parse_json,
    save_tensors,
)
from places import results

KIND = Kind("recipe", "asyrp-recipe", 3, "asyrp cook")


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.is_relative_to(tmp_path)  # a rename within one disk
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("umask")
def test_files_get_the_rights_that_the_user_asked_for(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "text") as temporary:
        temporary.write_text("x")
    save_tensors(tmp_path / "tensors", {"x": torch.zeros(2)}, {})
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_folder_fills_at_once_and_keeps_what_it_had(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with atomic_folder(out) as folder:
        (folder / "a").write_text("a")
        assert not out.parent.exists()
    (out / "mine").write_text("kept")
    with atomic_folder(out) as folder:
        (folder / "a").write_text("new")
        assert (out / "a").read_text() == "a"
    assert {name: (out / name).read_text() for name in results(out)} == {"a": "new", "mine": "kept"}
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


def test_a_link_that_leads_to_nothing_yet_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "out")
    with atomic_folder(tmp_path / "link") as folder:
        (folder / "a").write_text("a")
    assert (tmp_path / "deep" / "out" / "a").read_text() == "a"
    assert (tmp_path / "link").is_symlink()


def test_two_results_that_a_disk_takes_for_one_file_are_told(tmp_path: Path) -> None:
    """As A and a where case does not count; the second would be the only one left."""
    told = pytest.raises(AsyrpError, match="two results would be one file, 'a'")
    with told, atomic_folder(tmp_path / "out") as made:
        for text in ("first", "second"):
            with atomic_path(made / "a") as temporary:
                temporary.write_text(text)
    assert not list(tmp_path.iterdir())


def test_folders_inside_are_merged_alike(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with atomic_folder(tmp_path / "out") as folder:
            (folder / "in").mkdir()
            (folder / "in" / "a").write_text(text)
            (folder / "in" / text).write_text("kept")
    written = {path.name: path.read_text() for path in (tmp_path / "out" / "in").iterdir()}
    assert written == {"a": "new", "old": "kept", "new": "kept"}


@pytest.mark.parametrize("exists", [True, False])
def test_an_error_leaves_a_folder_as_it_was(tmp_path: Path, exists: bool) -> None:
    out = tmp_path / "out"
    if exists:
        out.mkdir()
        (out / "a").write_text("old")
    with pytest.raises(OSError, match="full"), atomic_folder(out) as folder:
        (folder / "a").write_text("half")
        raise OSError(errno.ENOSPC, "full")
    assert out.exists() == exists
    assert [path.name for path in tmp_path.rglob("*")] == (["out", "a"] if exists else [])
    assert not exists or (out / "a").read_text() == "old"


def test_tensors_come_back_with_their_header(tmp_path: Path) -> None:
    path, x = tmp_path / "a.safetensors", torch.arange(6.0).reshape(2, 3)
    header = {"format": "asyrp-recipe", "version": "3", "text": "smile — 笑"}
    save_tensors(path, {"x": x.T, "again": x.T, "grad": x.clone().requires_grad_()}, header)
    loaded = load_tensors(path, KIND)
    assert loaded.header == header == header_of(path)
    assert torch.equal(loaded.tensors["x"], x.T)
    assert torch.equal(loaded.tensors["grad"], load_file(path)["grad"])


def test_a_folder_that_is_missing_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_tensors(tmp_path / "none" / "a", {"x": torch.zeros(1)}, {})


def test_a_file_of_another_kind_says_what_makes_one(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(AsyrpError, match="not an asyrp recipe; make one with: asyrp cook"):
        load_tensors(path, KIND)
    assert header_of(path) == {}
    path.write_text("text")
    for read in (lambda: load_tensors(path, KIND), lambda: header_of(path)):
        with pytest.raises(AsyrpError, match="is not a safetensors file or is cut short"):
            read()


def test_two_processes_that_end_at_once_both_put_their_files_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one's folder comes after a look that found none, and before the rename."""
    out, rename = tmp_path / "out", os.rename

    def late(source: Path, target: Path) -> None:
        target.mkdir()
        (target / "theirs.png").write_bytes(b"theirs")
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    with atomic_folder(out) as temporary:
        (temporary / "ours.png").write_bytes(b"ours")
    assert {name: (out / name).read_bytes() for name in results(out)} == {
        "ours.png": b"ours",
        "theirs.png": b"theirs",
    }
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "c": 0, "a": 1}}]'])
def test_json_with_a_name_twice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it has 'a' twice"):
        parse_json(text)
