"""What the documentation shows works, exists and is the same as in the code."""

import inspect
import json
import re
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import matplotlib
import pytest

import asyrp
from asyrp.experiments.studies import diagnose
from asyrp.method.protocols import Thresholds
from asyrp.networks.released_tables import DATASETS, released_intervals
from asyrp.options import COMMANDS
from asyrp.scorers.load import load_distance
from asyrp.settings import TrainSettings, official, paper
from places import furnished, place_in
from snippets import ROOT, Block, asyrp_argv, blocks, few_steps, pages
from walking import exists, parsed, run_page

DOCS, EXAMPLES = ROOT / "docs", ROOT / "examples"
WEIGHTS = ROOT / "src" / "asyrp"
GUIDES = [
    "first_edit", "app", "your_photos", "train_a_direction", "finders", "your_model",
    "paper_networks", "from_official_code", "evaluating", "concepts", "measured_advice",
    "troubleshooting", "responsible_use", "api",
]  # fmt: skip
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py"))
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
FIGURES = ["alpha_bar", "phases", "theorem1"]
SLOW_FIGURES = ["predicted", "inversion"]
LONGEST = 39  # lines of a gallery script

matplotlib.use("Agg")


def named(page: Path) -> str:
    return page.stem


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; commands that run in it share their networks."""
    pytest.importorskip("resvg_py")
    place_in(tmp_path, tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.parametrize("name", GUIDES)
def test_the_guides_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(DOCS / f"{name}.md", folder, monkeypatch)


@pytest.mark.slow
def test_the_demo_of_the_first_guide_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(DOCS / "first_edit.md", folder, monkeypatch, whole=True)
    assert (folder / "demo" / "report.html").is_file()


@pytest.mark.parametrize("name", GUIDES)
def test_every_block_of_the_guides_says_what_a_test_does_with_it(name: str) -> None:
    for block in blocks(DOCS / f"{name}.md"):
        assert block.tags & {"run", "parse", "shell"}, block.text


@pytest.mark.parametrize("page", pages(), ids=named)
def test_the_command_line_reads_every_command(page: Path) -> None:
    for block in blocks(page):
        for command in block.commands if block.language != "python" else ():
            argv = asyrp_argv(command)
            if argv is not None:
                parsed(argv)
            else:
                check_shell(command)


def check_shell(command: str) -> None:
    """What other commands name must exist: make targets, extras, scripts."""
    words = command.split()
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets), command
    for extra in re.findall(r"\[([a-z,]+)\]'?$", command) if "pip" in words else ():
        known = (ROOT / "pyproject.toml").read_text()
        assert all(f"\n{name} = [" in known for name in extra.split(",")), command
    if words[0] == "python" and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file(), command


@pytest.mark.parametrize("page", pages(), ids=named)
def test_python_compiles(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, page.name, "exec")


@pytest.mark.parametrize("page", pages(), ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    exists(page)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_gallery_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    assert len(text.splitlines()) <= LONGEST
    run_script(few_steps(text), folder, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_gallery_runs_whole(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_script((EXAMPLES / f"{name}.py").read_text(), folder, monkeypatch)


def run_script(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script beside two directions."""
    import matplotlib.pyplot as plt

    odd = furnished(folder) / "odd.safetensors"
    for name in ("smiling", "glasses"):
        shutil.copyfile(odd, folder / f"{name}.safetensors")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(plt, "show", plt.close)
    exec(compile(text, "example", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    for cell in code:
        compile("".join(cell["source"]), path.name, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
@pytest.mark.filterwarnings("default")  # of the kernel's own machinery
def test_notebooks_run(path: Path, tmp_path: Path, provided: Path) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    shutil.copyfile(provided, tmp_path / provided.name)
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()


@pytest.fixture(scope="session")
def provided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A direction as the build of the pages has it: shipped, or trained quickly."""
    place = tmp_path_factory.mktemp("provided")
    return Path(runpy.run_path(str(DOCS / "provide.py"))["provide"](place, "smiling")[0])


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_those_of_the_code(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(name, tmp_path, monkeypatch)
    drawn, kept = (read(place / f"{name}.json") for place in (tmp_path, DOCS / "images"))
    assert flat(drawn) == pytest.approx(flat(kept), abs=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_FIGURES)
def test_figures_of_the_network_are_those_of_the_code(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(name, tmp_path, monkeypatch)
    drawn, kept = (read(place / f"{name}.json") for place in (tmp_path, DOCS / "images"))
    assert flat(drawn) == pytest.approx(flat(kept), rel=0.02, abs=1e-4)


def draw(name: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a figure's script."""
    script = DOCS / "figures" / f"{name}.py"
    monkeypatch.syspath_prepend(str(script.parent))
    monkeypatch.setattr(sys, "argv", [str(script), "--out", str(out)])
    runpy.run_path(str(script), run_name="__main__")
    assert (out / f"{name}.png").stat().st_size > 10_000


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def flat(value: Any) -> list[float]:
    """All numbers of a JSON value, in order."""
    if isinstance(value, dict):
        return [n for one in value.values() for n in flat(one)]
    if isinstance(value, list):
        return [n for one in value for n in flat(one)]
    return [float(value)]


def test_the_costs_of_networks_are_counted() -> None:
    script = runpy.run_path(str(DOCS / "figures" / "paper_cost.py"))
    counted = [*script["rows"](), *script["command_rows"]()]
    page = (DOCS / "measured_advice.md").read_text().splitlines()
    assert len(counted) == 7 + 5
    for row in counted:
        (told,) = (line for line in page if line.split("|")[1:2] == row.split("|")[1:2])
        numbers = [[float(n) for n in re.findall(r"[\d.]+", one)] for one in (row, told)]
        assert numbers[0] == pytest.approx(numbers[1], rel=0.03)  # torch 2.4 holds 1 % less


def table_after(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table behind a heading, head row first."""
    behind = (DOCS / page).read_text().partition(f"## {heading}")[2]
    rows = re.findall(r"^\| (.+) \|$", re.split(r"\n#+ ", behind)[0], re.MULTILINE)
    return [[cell.strip(" `") for cell in row.split("|")] for row in rows]


def test_the_released_intervals_are_those_of_the_tables() -> None:
    head, *rows = table_after("concepts.md", "Released tables")
    assert len(head) == 1 + len(DATASETS)
    *edits, boosts = rows
    for cosine, *cells in edits:
        found = [released_intervals(name, float(cosine)).t_edit for name in DATASETS]
        assert [int(cell) for cell in cells] == found
    found = [released_intervals(name, 1.0).t_boost for name in DATASETS]
    assert boosts == ["t_boost", *map(str, found)]


def test_the_thresholds_are_those_of_the_distances() -> None:
    _, paper, own = table_after("concepts.md", "Thresholds belong to a distance")
    assert Thresholds(*map(float, paper[1:3])) == Thresholds()
    assert Thresholds(*map(float, own[1:4])) == load_distance(own[0]).thresholds


def test_troubleshooting_explains_every_advice_of_diagnose() -> None:
    source = " ".join(inspect.getsource(diagnose.advice).split())
    _, *rows = table_after("troubleshooting.md", "My edit does nothing, or too much")
    assert len(rows) == source.count("return ")
    for said, *_ in rows:
        assert f'"{said}' in source, said


def test_the_official_settings_are_those_of_the_code() -> None:
    (block,) = (b for b in blocks(DOCS / "train_a_direction.md") if "official" in b.tags)
    (command,) = block.commands
    options = parsed(asyrp_argv(command) or [])
    assert options.training == official()
    assert options.inverting.refinements == options.validation == 0


def test_the_table_of_settings_is_that_of_the_code() -> None:
    _, *rows = table_after("train_a_direction.md", "Settings")
    assert len(rows) > 10
    for option, *cells, _ in rows:
        name = option.removeprefix("--train.").replace("-", "_")
        recipes = (TrainSettings(), official(), paper())
        found = [one.rate if name == "learning_rate" else getattr(one, name) for one in recipes]
        assert cells == [str(value) for value in found], option


def test_the_licences_of_all_shipped_files_are_stated() -> None:
    page = (DOCS / "responsible_use.md").read_text()
    source = ROOT / "src" / "asyrp"
    data = [p for p in source.rglob("*") if p.suffix in (".safetensors", ".tsv", ".txt", ".json")]
    assert data
    for path in data:
        places = [path.relative_to(source), *path.relative_to(source).parents]
        stated = any(f"`{place}`" in page for place in places if place.name)
        assert stated, f"docs/responsible_use.md does not name {path.relative_to(source)}"


@pytest.mark.parametrize(
    "path",
    sorted(
        [
            *WEIGHTS.glob("domains/*/weights/*.safetensors"),
            *WEIGHTS.glob("scorers/data/st*.safetensors"),
        ]
    ),
    ids=named,
)
def test_every_network_has_a_card(path: Path) -> None:
    card = path.with_suffix(".md").read_text()
    for said in ("Licence", "Data" if path.stem != "stlpips_alex" else "Origin"):
        assert said in card
    assert card.startswith("# ")
    trained = re.search(r"asyrp\.world\.train_(\w+)", card)
    assert not trained or parsed(["world", trained[1], "--out", "again"])


def test_the_api_page_has_every_promised_name() -> None:
    page = (DOCS / "api.md").read_text()
    promised = set(asyrp.__all__) - {"__version__"}
    rows = re.findall(r"^\| (`asyrp\..+?) \|", page, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`asyrp\.(\w+)`", row)} == promised


def test_the_reference_names_every_command() -> None:
    page = (DOCS / "api.md").read_text()
    rows = re.findall(r"^\| (`asyrp [a-z`, ]+) \|", page, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"asyrp (\w+)", row)]
    assert sorted(named) == sorted(COMMANDS)


def test_the_built_reference_has_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    text = runpy.run_path(str(DOCS / "reference.py"))["reference"]()
    assert text.count("\nusage: asyrp ") == text.count("```text\n") >= len(COMMANDS)
    assert all(f"### asyrp {name}\n" in text for name in COMMANDS)
    documented = set(re.findall(r"auto(?:function|class):: asyrp\.(\w+)$", text, re.MULTILINE))
    assert documented == set(asyrp.__all__) - {"__version__"}


def test_a_block_is_read_as_it_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```console parse\n$ asyrp edit --images a \\\n  --out b\nwrote 3 images\n```\n"
        "```bash\n# a remark\naccelerate launch -m asyrp train --out c\n```\n"
    )
    first, second = blocks(page)
    assert first == Block(page, "console", frozenset({"parse"}), first.text)
    assert [asyrp_argv(c) for c in first.commands] == [["edit", "--images", "a", "--out", "b"]]
    assert [asyrp_argv(c) for c in second.commands] == [["train", "--out", "c"]]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Sphinx and its extensions
def test_the_pages_build_without_warnings(tmp_path: Path) -> None:
    build = pytest.importorskip("sphinx.cmd.build")
    off = ["-D", "plot_gallery=0", "-D", "nb_execution_mode=off"]
    assert build.main(["-W", "--keep-going", "-q", *off, str(DOCS), str(tmp_path)]) == 0
    assert (tmp_path / "gallery" / "edit_faces.html").is_file()
