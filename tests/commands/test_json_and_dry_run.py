"""--json and --dry-run, and the overview of the commands."""

import json
import shutil
from collections.abc import Sequence
from typing import Any

import pytest

from asyrp.cli import LONG, overview, read
from asyrp.commands import forecast
from asyrp.options import COMMANDS, GROUPS
from places import Place, call, edit_of, tree


def test_the_overview_names_every_command_once_in_a_group(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("--help") == 0
    shown = capsys.readouterr().out
    assert shown.strip() == overview().strip()
    for name in COMMANDS:
        assert shown.count(f"\n  {name} ") == 1, name
    for group in GROUPS:
        assert f"\n{group}:\n" in shown
    assert max(map(len, shown.splitlines())) <= 110


def test_without_a_command_the_overview_is_shown_as_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call() == 2
    said = capsys.readouterr()
    assert (said.out, "usage: asyrp COMMAND" in said.err) == ("", True)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_has_both(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(name, "--help") == 0
    shown = capsys.readouterr().out
    assert "--json" in shown
    assert "--dry-run" in shown


def test_both_stand_anywhere_behind_the_command() -> None:
    for words in (
        ["edit", "--dry-run", "--images", "a", "--out", "b", "--json"],
        ["find", "--json", "--by", "pca", "--out", "b", "--dry-run"],
    ):
        asked = read(words)
        assert (asked.json, asked.dry_run) == (True, True)


def words_of(place: Place) -> dict[str, Sequence[object]]:
    """A line of every command that works long."""
    texts = ["--source", "face", "--target", "sad face"]
    out, faces = ["--out", place.out], ["--images", place.faces]
    return {
        "demo": ["demo", *out, "--domain", "avatars-64", "--task", "smiling", "--test-images", 2],
        "edit": edit_of(place),
        "sample": ["sample", *out, "--count", 2],
        "align": ["align", place.faces, *out],
        "invert": ["invert", *faces, *out],
        "train": ["train", *faces, *texts, "--out", place.out.with_suffix(".safetensors")],
        "find": ["find", "--by", "pca", *faces, *out],
        "intervals": ["intervals", *faces, *texts, *out],
        "evaluate": ["evaluate", *faces, "--edits", place.faces, *out, "--leave-out", "fid",
                     "--leave-out", "diversity", "--leave-out", "sc"],
        "compare": ["compare", *out, "--tasks", "smiling", "--methods", "asyrp"],
        "study": ["study", "theorem1", *out],
        "reproduce": ["reproduce", "--docs", place.out, "--keep", place.out / "kept",
                      "--tasks", "smiling", "--methods", "asyrp", "--studies", "theorem1"],
        "directions": ["directions", *out],
        "world": ["world", "draw", *out, "--count", 2],
    }  # fmt: skip


@pytest.mark.parametrize("name", LONG)
def test_a_dry_run_says_what_would_come_and_writes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    if name == "align":
        pytest.importorskip("dlib", reason="needs dlib: pip install 'asyrp[align]'")
    before = tree(place.root)
    assert call(*words_of(place)[name], "--dry-run") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("would ")
    assert "time: about" in shown
    assert "memory: about" in shown
    assert tree(place.root) == before


def test_a_dry_run_refuses_what_the_run_would_refuse(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    none = place.root / "none.png"
    for words in (edit_of(place), ["invert", "--out", place.out]):
        assert call(*words, "--images", none, "--dry-run") == 2
        assert f"or one image; {str(none)!r} does not exist" in capsys.readouterr().err


def test_a_short_command_has_no_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("doctor", "--dry-run") == 2
    assert "does not work long" in capsys.readouterr().err


def test_twice_the_images_take_twice_the_time(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "pass_seconds", lambda *_, **__: 0.01)
    seconds = []
    for count in (4, 8):
        assert call("sample", "--out", place.out, "--count", count, "--json", "--dry-run") == 0
        seconds.append(told(capsys)["seconds"])
    assert seconds == pytest.approx([4 * 40 * 0.01, 8 * 40 * 0.01])


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_inspect_lists_the_directions_of_a_folder(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = place.root / "directions"
    folder.mkdir()
    shutil.copy(place.direction, folder / "odd.safetensors")
    (folder / "broken.safetensors").write_text("nothing")
    assert call("inspect", folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["broken.safetensors", "odd.safetensors"]
    assert "no direction" in lines[0]
    assert "face -> odd face, edits [T, 400]" in lines[1]


def test_json_is_all_that_stands_on_standard_output(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*edit_of(place), "--json") == 0
    edited = told(capsys)
    assert edited["command"] == "edit"
    assert all((place.out / name).is_file() for name in edited["images"])
    assert set(edited["reconstruction_mse"]) == {path.name for path in place.faces.iterdir()}
    assert call("inspect", "avatars-64", "--json") == 0
    assert told(capsys)["timesteps"] == 1000
    assert call("directions", "--domain", "avatars-64", "--json") == 0
    assert {one["name"] for one in told(capsys)["directions"]} >= {"smiling", "sad"}
    assert call("doctor", "--json") == 0
    assert told(capsys)["next"].startswith(("asyrp ", "pip "))
