"""What README shows works: its commands, its Python, its links, the names in its table."""

import re
from pathlib import Path

import pytest

from asyrp.networks.presets import PRESETS
from asyrp.networks.resolve import BUILT_IN
from asyrp.scorers.load import DISTANCES, ENCODERS
from places import place_in
from snippets import ROOT, blocks
from walking import exists, run_page

README = ROOT / "README.md"


def test_every_block_says_what_a_test_does_with_it() -> None:
    assert all(block.tags for block in blocks(README))


def test_the_commands_and_the_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("resvg_py")
    place_in(tmp_path, tmp_path, monkeypatch)
    run_page(README, tmp_path, monkeypatch)
    edited = sorted(path.name for path in (tmp_path / "edited").glob("*.png"))
    assert edited == sorted(path.name for path in (tmp_path / "photos").glob("*.png"))
    assert (tmp_path / "smiling.png").is_file()


def test_the_python_has_ten_lines() -> None:
    (block,) = (block for block in blocks(README) if block.language == "python")
    assert len([line for line in block.text.splitlines() if line.strip()]) <= 10


def test_links_lead_somewhere() -> None:
    exists(README)


def test_the_table_names_what_there_is() -> None:
    table = README.read_text().partition("## What works")[2].partition("## Limits")[0]
    named = set(re.findall(r"`([a-z0-9-]+)`", table))
    assert {*BUILT_IN, *PRESETS} <= named
    assert named - {*BUILT_IN, *PRESETS} == set()
    for option, known in (("encoder", ENCODERS), ("distance", DISTANCES)):
        assert set(re.findall(rf"--{option} ([\w-]+)", table)) <= set(known)
