"""requirements*.txt: what `make install` installs, each package with its SHA-256."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"([a-z0-9.-]+)==([\w.+]+) --hash=sha256:[0-9a-f]{64}")
BUILDS = ("", "-cpu", "-cuda")


def locked(build: str) -> dict[str, str]:
    lines = (ROOT / f"requirements{build}.txt").read_text().splitlines()
    found = [LINE.fullmatch(line) for line in lines if not line.startswith("#")]
    assert all(found), "a line without a hash"
    return {one[1]: one[2] for one in found if one}


def named(project: dict[str, dict[str, list[str]]], extra: str | None) -> Iterator[str]:
    """The packages of an extra, those of the extras in it too."""
    words = project["optional-dependencies"][extra] if extra else project["dependencies"]
    for word in map(str, words):
        name = re.match(r"[\w-]+", word)
        assert name
        inner = re.search(r"\[(.*)\]", word)
        for one in inner[1].split(",") if inner and name[0] == "asyrp" else ():
            yield from named(project, one)
        if name[0] != "asyrp":
            yield name[0].lower().replace("_", "-")


def test_every_package_that_developers_need_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {name for extra in (None, "dev", "docs", "browser") for name in named(project, extra)}
    assert wanted - locked("").keys() == {"torch"}
    assert locked("-cpu").keys() == {"torch"}
    assert locked("-cuda")["torch"] == locked("-cpu")["torch"].partition("+")[0]


def test_no_package_is_locked_twice() -> None:
    every = [name for build in BUILDS if build != "-cpu" for name in locked(build)]
    assert len(every) == len(set(every))


def test_make_installs_nothing_else() -> None:
    rule = (ROOT / "Makefile").read_text().partition("\n$(STAMP):")[2].partition("\n\n")[0]
    installs = [line for line in rule.splitlines() if "PIP)" in line]
    assert len(installs) == 4
    assert all("--require-hashes" in line or "--no-build-isolation" in line for line in installs)


def test_what_runs_is_what_is_locked() -> None:
    """Where the build for CPUs runs; a version of another machine says nothing."""
    if version("torch") != locked("-cpu")["torch"]:
        return
    for name in ("torch", "diffusers", "transformers", "numpy", "gradio"):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        assert (locked("") | locked("-cpu"))[name] == found
