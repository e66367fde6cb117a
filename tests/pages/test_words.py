"""The pages use the field's words, name options that exist, and read well in the repository."""

import re
from contextlib import redirect_stdout, suppress
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from test_docs import DOCS, GUIDES

from asyrp.options import COMMANDS
from snippets import FENCE, READMES, ROOT, pages
from walking import parsed

WRITTEN = [
    *READMES, ROOT / "CONTRIBUTING.md", DOCS / "index.md", *(DOCS / f"{g}.md" for g in GUIDES)
]  # fmt: skip
OURS = {  # what only this project says -> what the field says
    "lesson": "task, training goal", "keeper": "checkpoint", "dose": "strength",
    "led back": "reconstructed", "lead back": "reconstruct", "leads back": "reconstructs",
    "rival": "baseline", "rivals": "baselines",
    "official order of work": "reference implementation",
    "traded": "speed against quality", "spoilt": "corrupted", "strangers": "untrusted",
    "at hand": "available", "anew": "again", "alone": "only", "has not": "does not have",
    "shall": "should", "walk": "reverse process", "walks": "reverse process",
    "walked": "run", "built-in world": "built-in domain", "melt": "are distorted",
}  # fmt: skip
TRACES = r"\b[A-Z]{3,}-[A-Z]{3,}\b|^```\{|\{py:\w+\}"  # placeholders and bare directives
ELSEWHERE = {  # options of other programs, or of the official code in its own column
    "--run_train", "--run_test", "--lpips", "--version",
}  # fmt: skip


def named(page: Path) -> str:
    return page.name


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_pages_use_the_words_of_the_field(page: Path) -> None:
    prose = FENCE.sub("", page.read_text())
    prose = re.sub(r"`[^`]*`", "", prose)
    for word, better in OURS.items():
        assert not re.search(rf"\b{word}\b", prose, re.IGNORECASE), f"{word}: say {better}"


@pytest.mark.parametrize("page", pages(), ids=named)
def test_a_page_reads_well_in_the_repository(page: Path) -> None:
    found = re.findall(TRACES, page.read_text(), re.MULTILINE)
    assert not found


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_options_that_pages_name_exist(page: Path) -> None:
    text = page.read_text()
    if page.stem == "from_official_code":  # whose first columns have the official code's
        text = re.sub(r"^\| `--.*? \|(?= )", "|", text, flags=re.MULTILINE)
    spans = re.findall(r"`([^`]*)`", FENCE.sub("", text))
    told = {name for span in spans for name in re.findall(r"(?<![\w-])--[a-z][\w.-]*", span)}
    assert told - ELSEWHERE <= every_option()


@cache
def every_option() -> frozenset[str]:
    """The long options of all commands, and those of find's ways."""
    found = {"--by"}
    for name in COMMANDS:
        ways = WAYS if name == "find" else [[]]
        for way in ways:
            found |= options_of([name, *way])
    return frozenset(found)


WAYS = [["--by", way] for way in ("clip", "labels", "pca", "jacobian", "pairs", "amortised")]
WAYS.append(["--by", "compose"])


def options_of(words: list[str]) -> set[str]:
    """The long options that a command's help has."""
    told = StringIO()
    with redirect_stdout(told), suppress(SystemExit):
        parsed([*words, "--help"])
    return set(re.findall(r"(?<![\w-])--[a-z][\w.-]*", told.getvalue()))


def test_pages_that_the_code_names_exist() -> None:
    """Or are written by the file that names them. A name in capitals stands for others."""
    for place in ("src", "benchmarks", "tests", "tools", "docs", "examples"):
        for path in (ROOT / place).rglob("*.py"):
            text = path.read_text()
            for name in re.findall(r"docs/([a-z_-]+\.md)", text):
                own = (DOCS / name).is_file() or f'"{name}"' in text
                assert own, f"{path.relative_to(ROOT)} names docs/{name}"
