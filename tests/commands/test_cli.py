"""The command line itself: help, exit codes, read-only folders and full disks."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import SafetensorError

import asyrp
from asyrp.options import COMMANDS
from places import (
    FEW,
    QUICK,
    Place,
    call,
    edit_of,
    train_of,
    tree,
)

# --help


def modules_after(*lines: str) -> set[str]:
    """Top-level modules that a fresh Python has imported after some lines."""
    code = ["import sys", *lines, "print('|', *{name.split('.')[0] for name in sys.modules})"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=True
    )
    return set(done.stdout.rpartition("|")[2].split())


HEAVY = {"torch", "diffusers", "transformers", "numpy", "PIL", "matplotlib", "scipy", "gradio"}


def test_help_of_every_command_imports_nothing_heavy() -> None:
    loaded = modules_after(
        "from asyrp.cli import main, COMMANDS",
        "for words in ([], *([name] for name in COMMANDS)):",
        "    try: main([*words, '--help'])",
        "    except SystemExit as done: assert not done.code",
    )
    assert "tyro" in loaded
    assert not loaded & HEAVY


def test_the_installed_command_shows_help() -> None:
    script = Path(sys.executable).with_name("asyrp")
    for command in ([str(script)], [sys.executable, "-m", "asyrp"]):
        done = subprocess.run([*command, "train", "--help"], capture_output=True, text=True)
        assert done.returncode == 0
        assert "--train.learning-rate" in done.stdout
        assert "Find the direction from one text to another" in done.stdout


def test_every_option_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert call(name, "--help") == 0
        shown = capsys.readouterr().out
        assert "usage: asyrp" in shown
        words = shown.replace("│", " ").split("\n")
        for line, following in zip(words, [*words[1:], ""], strict=True):
            if line.strip().startswith("--"):
                assert (line + following).count("  ") > 1, line


def test_help_says_what_happens_where_an_option_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in COMMANDS:
        call(name, "--help")
        shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert "default: None" not in shown, name
        assert "default: )" not in shown, name
        assert not re.search(r"; default: .{,60}\(default: ", shown), name


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out == f"asyrp {asyrp.__version__}\n"


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["paint"], "paint"),
        (["edit", "--images", "a", "--out", "b", "--colour", "red"], "--colour"),
        (["edit", "--images", "a"], "--out"),
        (["edit", "--images", "a", "--out", "b", "--steps", "many"], "many"),
        (["edit", "--images", "a", "--out", "b", "--dtype", "float8"], "float8"),
    ],
)
def test_options_that_do_not_exist_exit_with_2(
    capsys: pytest.CaptureFixture[str], argv: list[str], named: str
) -> None:
    assert call(*argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert named in said.err
    assert len(said.err.splitlines()) < 20


@pytest.mark.parametrize("command", ["edit", "invert", "sample", "intervals"])
def test_a_read_only_folder_is_refused_before_the_work(
    place: Place,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    """Simulated, since the superuser may write anywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != place.root)
    words = {
        "edit": edit_of(place),
        "invert": ["invert", "--images", place.faces, "--out", place.out],
        "sample": ["sample", "--out", place.out],
        "intervals": ["intervals", "--images", place.faces, "--source", "face", "--target",
                      "sad face", "--out", place.out],
    }  # fmt: skip
    assert call(*words[command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match("asyrp: the results cannot be written: .* is read-only", line)
    assert tree(place.root) == {}


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_memory_that_is_full_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def run(options: object) -> None:
        raise error

    monkeypatch.setattr("asyrp.commands.sample.run", run)
    assert call("sample", "--out", "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("asyrp: out of memory")
    assert "--batch-size" in line


def test_an_error_of_the_program_is_no_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(options: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("asyrp.commands.sample.run", run)
    with pytest.raises(RuntimeError, match="mat1"):
        call("sample", "--out", "out")


# a full disk


def assert_full_disk(place: Place, argv: Sequence[object], capsys: Any) -> None:
    before = tree(place.root)
    assert call(*argv) == 2
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith("asyrp: No space left on device")
    assert sum(line.startswith("asyrp:") for line in err) == 1
    assert tree(place.root) == before


@pytest.mark.parametrize("command", ["edit", "invert", "sample"])
def test_no_space_for_the_second_picture_leaves_nothing(
    place: Place,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    save, saved = Image.Image.save, []

    def full(self: Image.Image, path: Path, *rest: Any, **more: Any) -> None:
        saved.append(path)
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, path, *rest, **more)

    monkeypatch.setattr(Image.Image, "save", full)
    words = {
        "edit": edit_of(place),
        "invert": ["invert", "--images", place.faces, "--out", place.out, *FEW],
        "sample": ["sample", "--out", place.out, "--count", 2, "--steps", 2],
    }
    assert_full_disk(place, words[command], capsys)
    assert len(saved) == 2


@pytest.mark.parametrize("command", ["invert", "train"])
def test_no_space_for_tensors_leaves_nothing(
    place: Place,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    def full(tensors: Any, path: Path, header: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: ... (os error 28)")

    monkeypatch.setattr("asyrp.storage.files.save_file", full)
    words = {
        "invert": ["invert", "--images", place.faces, "--out", place.out, *FEW],
        "train": train_of(place, *QUICK),
    }
    assert_full_disk(place, words[command], capsys)
