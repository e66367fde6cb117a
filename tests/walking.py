"""How tests walk through a page of the documentation: run, parse, and follow its links."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from asyrp import cli
from asyrp.method.schedule import Timesteps, paper_grid
from places import call
from snippets import (
    PHOTOGRAPHS,
    ROOT,
    STEPS,
    Block,
    anchors,
    asyrp_argv,
    blocks,
    few_steps,
    links,
    quick,
)


def run_page(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, whole: bool = False
) -> None:
    """Run a page's blocks in an empty folder, in order, on few pictures and steps.

    The photographs of the documentation are there, as in a clone.
    """

    def short(steps: int = 40, length: int = 1000) -> Timesteps:
        return paper_grid(min(steps, STEPS), length)

    monkeypatch.chdir(folder)
    shutil.copytree(ROOT / PHOTOGRAPHS, folder / PHOTOGRAPHS, dirs_exist_ok=True)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if "run" not in block.tags or ("slow" in block.tags and not whole):
            continue
        if block.language == "python":
            with monkeypatch.context() as patch:
                patch.setattr("asyrp.method.editing.paper_grid", short)
                exec(compile(few_steps(block.text), page.name, "exec"), names)
        else:
            run_commands(block)


def run_commands(block: Block) -> None:
    """Run the commands of a block; each must end with 0."""
    for command in block.commands:
        argv = asyrp_argv(command)
        assert argv, f"{block.page.name}: only asyrp is run; tag the block shell: {command}"
        assert call(*quick(argv)) == 0, f"{block.page.name}: {command}"


def parsed(argv: list[str]) -> Any:
    """The options that the real command line reads; SystemExit where it does not."""
    return cli.parsed(argv)


def exists(page: Path) -> None:
    """Fail on a link of a page that leads nowhere."""
    for target in links(page):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        if not name.startswith("gallery/"):  # made when the pages are built
            assert path.exists(), f"{page.name} links to {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{page.name} links to {target}"
