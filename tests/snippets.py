"""The commands and the Python that the documentation shows, and how a test runs them.

A fenced block says behind its language what a test does with it:

- `console run`, `python run`: run, on few pictures and steps.
- `console parse`, `python parse`: the options are read by the real command line, or the Python is
  compiled: it needs a GPU or a download.
- `console shell`: not `asyrp`: its make targets, extras and scripts exist.
- `slow` behind it: run by the slow tests alone.

Blocks that say nothing are parsed.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
PHOTOGRAPHS = Path("docs") / "images" / "photographs"  # which commands name as in a clone
FENCE = re.compile(r"^```(?P<info>[a-z][^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
SHELLS = ("console", "bash", "sh", "shell")
MOST_FACES = 2
STEPS = 3

# What makes a command quick: options that take the place of those on the page.
QUICK = {
    "invert": "--steps 3",
    "intervals": "--steps 10",
    "edit": "--steps 3 --refinements 0",
    "sample": "--steps 3 --count 2",
    "study": "--steps 3 --faces 2",
    "evaluate": "--leave-out fid --leave-out diversity",
    "train": "--train.steps 3 --train.epochs 1 --train.batch-size 4 --validation 0 --refinements 0"
    " --t-start 999 --t-edit 700 --t-boost 100 --strength 1",
    "demo": "--test-images 2 --train-images 5 --validation-images 2 --train.epochs 1"
    " --train.steps 10",
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, language, what a test does with it, and the text."""

    page: Path
    language: str
    tags: frozenset[str]
    text: str

    @property
    def commands(self) -> list[str]:
        """The command lines; with prompts only what stands behind one."""
        joined = self.text.replace("\\\n", " ")
        lines = [line.strip() for line in joined.splitlines() if line.strip()]
        if any(line.startswith("$ ") for line in lines):
            return [line[2:] for line in lines if line.startswith("$ ")]
        return [line for line in lines if not line.startswith("#")]


def pages() -> list[Path]:
    """README in both languages, and every page of the documentation."""
    return [*READMES, *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page that hold commands or Python."""
    for match in FENCE.finditer(page.read_text()):
        language, *tags = match["info"].split()
        if language in (*SHELLS, "python"):
            yield Block(page, language, frozenset(tags), match["body"])


def asyrp_argv(command: str) -> list[str] | None:
    """The words behind `asyrp`, also behind launchers; None for other commands."""
    words = shlex.split(command, comments=True)
    if "asyrp" not in words:
        return None
    return words[words.index("asyrp") + 1 :]


def quick(argv: list[str]) -> list[str]:
    """The same command on few pictures and steps."""
    name, *rest = argv
    for option in ("--count", "--random"):
        if option in rest:
            at = rest.index(option) + 1
            rest[at] = str(min(int(rest[at]), MOST_FACES))
    wanted = shlex.split(QUICK.get(name, ""))
    if name == "evaluate":
        return [name, *rest, *wanted]
    return [name, *without(rest, {word for word in wanted if word.startswith("--")}), *wanted]


def without(words: list[str], options: set[str]) -> list[str]:
    """Words without some options and their values."""
    kept: list[str] = []
    skip = False
    for word in words:
        if word.startswith("--"):
            skip = word in options
        if not skip:
            kept.append(word)
    return kept


def few_steps(text: str) -> str:
    """Python of the documentation on few timesteps."""
    return re.sub(r"(\bsteps=|paper_grid\()\d+", rf"\g<1>{STEPS}", text)


def links(page: Path) -> Iterator[str]:
    """Targets of a page's links and pictures, outside of code."""
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings can be linked to."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
