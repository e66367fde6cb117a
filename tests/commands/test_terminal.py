"""What a stranger's file says may be shown by a terminal, but steers none."""

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from asyrp.cli import READER_GONE, _tell_error
from asyrp.errors import AsyrpError, printable
from asyrp.method.direction_file import DirectionCard, save_direction
from asyrp.method.directions import GlobalDirection
from asyrp.networks import load_model
from conftest import tiny_unet
from originals import Ddpm, ddpm_weights
from places import call

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\x08\u202e\u2066\u2028\x85\x00"
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
NAME = EVIL.replace("\x00", "")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("\x9b2J\x7f\r", r"\x9b2J\x7f\r"),
        ("photo\u202egnp.exe", r"photo\u202egnp.exe"),
        (b"\xff.png".decode(errors="surrogateescape"), r"\udcff.png"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("é 笑 \xa0 👩\u200d🎤 می\u200cشود", "é 笑 \xa0 👩\u200d🎤 می\u200cشود"),
    ],
)
def test_what_would_steer_a_terminal_is_written_out(text: str, wanted: str) -> None:
    assert printable(text) == wanted
    assert printable(printable(text)) == wanted


def test_every_message_of_the_library_is_plain() -> None:
    assert not STEERING.search(str(AsyrpError(f"no such file: {EVIL}")))


def shown(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What a command prints, both ways; a progress bar steers, and it is ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        call(*words)
    said = capsys.readouterr()
    return said.out + said.err.replace("\r", "")


def assert_plain(text: str) -> None:
    assert "owned" in text
    assert not STEERING.search(text), repr(STEERING.search(text))


def direction(folder: Path) -> Path:
    model = load_model("avatars-64")
    card = DirectionCard(f"face{EVIL}", f"odd{EVIL}", 400, 200, 4, model.fingerprint(), EVIL)
    save_direction(folder / "d.safetensors", GlobalDirection(torch.zeros(*model.h_shape)), card)
    return folder / "d.safetensors"


def test_the_texts_of_a_direction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_plain(shown(capsys, "inspect", direction(tmp_path)))


def test_a_converted_direction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / f"{NAME}.json").write_text(json.dumps({NAME: 1}))
    torch.save(ddpm_weights(Ddpm()), tmp_path / "a.pt")
    words = ("--config", tmp_path / f"{NAME}.json")
    text = shown(capsys, "convert", tmp_path / "a.pt", "--out", tmp_path / f"o{NAME}", *words)
    assert_plain(text)


@pytest.mark.parametrize("suffix", [".png", ".txt", ".safetensors"])
def test_names_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / f"{NAME}{suffix}").write_bytes(b"no picture")
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    text = shown(capsys, "gather", "--images", folder, "--out", tmp_path / f"out{NAME}")
    assert_plain(text)
    out = ("--steps", 2, "--out", tmp_path / "o")
    assert_plain(shown(capsys, "invert", "--images", folder / f"{NAME}{suffix}", *out))


def test_configs_and_headers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_unet().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {f"odd{EVIL}": EVIL}))
    (tmp_path / "scheduler_config.json").write_text(json.dumps({"_class_name": EVIL}))
    assert_plain(shown(capsys, "inspect", tmp_path))


def test_a_domain_s_own_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(EVIL)  # a basic string of TOML escapes alike
    (tmp_path / "d.toml").write_text(f"{text} = 1\n")
    assert_plain(shown(capsys, "domain", "check", tmp_path / "d.toml"))


def test_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise RuntimeError(EVIL)
    except RuntimeError as error:
        _tell_error(type(error), error, error.__traceback__)
    assert_plain(capsys.readouterr().err)


def test_the_installed_command_shows_tracebacks_so(tmp_path: Path) -> None:
    code = (
        "import asyrp.cli as c, sys\n"
        f"def main(argv=None): raise RuntimeError({EVIL!r})\n"
        "c.main = main\nc.script()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert_plain(done.stderr)


@pytest.mark.parametrize("stopped", [True, False])
def test_nobody_who_reads_is_no_error(stopped: bool) -> None:
    """`asyrp --help | head -1`, whose reader stops, and `asyrp --help >&-`, which has none."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "asyrp", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        preexec_fn=None if stopped else lambda: os.close(1),
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (READER_GONE if stopped else 0, b"")


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--source", "face", "--target", "{}", "--random", 64, "--out", "x.safetensors"),
        ("invert", "--images", "x", "--out", "y", "--prompt", "{}"),
    ],
)
def test_texts_in_another_encoding_are_refused_before_the_work(
    words: tuple[Any, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """As a terminal in Latin-1 gives them; a direction with one could not be read again."""
    text = "sourire marqu\xe9".encode("latin-1").decode(errors="surrogateescape")
    assert call(*(text if word == "{}" else word for word in words)) == 2
    assert r"must be a text in UTF-8; got 'sourire marqu\udce9'" in capsys.readouterr().err
