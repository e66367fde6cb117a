"""What README shows works: its commands, its Python, its links, the names in its table."""

import re
from pathlib import Path

import pytest

from asyrp.networks.presets import PRESETS
from asyrp.networks.resolve import BUILT_IN
from asyrp.scorers.load import DISTANCES, ENCODERS
from places import place_in
from snippets import READMES, blocks, links
from walking import exists, run_page

README, CHINESE = READMES


def named(page: Path) -> str:
    return page.name


@pytest.mark.parametrize("page", READMES, ids=named)
def test_every_block_says_what_a_test_does_with_it(page: Path) -> None:
    assert all(block.tags for block in blocks(page))


def test_the_commands_and_the_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("resvg_py")
    pytest.importorskip("dlib")
    place_in(tmp_path, tmp_path, monkeypatch)
    run_page(README, tmp_path, monkeypatch)
    pasted = {path.name for path in (tmp_path / "photograph" / "pasted").glob("*.png")}
    assert pasted == {f"astronaut_{factor:+g}.png" for factor in (0.5, 1)}
    assert (tmp_path / "smiling.png").is_file()


def test_both_languages_show_the_same_blocks_in_the_same_order() -> None:
    english, chinese = (
        [(block.language, block.tags, block.text) for block in blocks(page)] for page in READMES
    )
    assert english == chinese


def test_both_languages_link_to_the_same_pages() -> None:
    others = {page.name for page in READMES}
    english, chinese = (set(links(page)) - others for page in READMES)
    assert english == chinese


def test_the_python_has_ten_lines() -> None:
    (block,) = (block for block in blocks(README) if block.language == "python")
    assert len([line for line in block.text.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("page", READMES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    exists(page)


@pytest.mark.parametrize("page", READMES, ids=named)
def test_the_table_names_what_there_is(page: Path) -> None:
    parts = page.read_text().split("\n## ")
    (table,) = (part for part in parts if "`avatars-64`" in part and "`imagenet-256`" in part)
    found = set(re.findall(r"`([a-z0-9-]+)`", table))
    assert found == {*BUILT_IN, *PRESETS}
    for option, known in (("encoder", ENCODERS), ("distance", DISTANCES)):
        told = re.findall(rf"--{option} ([\w-]+)", table)
        assert told
        assert set(told) <= set(known)
