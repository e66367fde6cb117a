"""The direction of the dependencies, and the habits that keep the core pure."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "asyrp"

# Top to bottom: what stands in a line imports only its own line, without cycles, and those above.
ORDER = (
    "errors",
    "lookup",  # by name, ours or a user's own
    "settings",
    "storage",  # files, images, results
    "runtime",  # threads, memory, processes, downloads
    "reporting",  # intervals, tables, figures
    "method",  # one idea of the paper a file
    "scorers",  # networks that guide and measure
    "networks",  # anybody's U-Net, converted and loaded
    "metrics",
    "finders",  # ways to find a direction
    "domains",  # a network, its scorers and images behind one name
    "editing_methods",  # the paper's rivals
    "experiments",
    "diffusers_pipeline",
    "options",  # of every command, as data
    "app",
    "commands",
    "cli",
    "__main__",
)
EDGES = ("cli", "app", "options", "commands", "demo", "report", "__main__")  # may print
PROMISES = "asyrp"  # __init__.py: names only, imported on first use

FORBIDDEN = {
    "torch.manual_seed",
    "torch.save",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "np.random.seed",
    "numpy.random.seed",
    "random.seed",
    "pickle.dump",
    "pickle.load",
    "pickle.loads",
    "pickle.dumps",
}
EXPORTS = {"asyrp.networks.convert.convert": {"torch.save"}}  # files for other people's code
FILE_LINES, BODY_LINES = 300, 30
MEDIAN_LINES, MOST_LINES = 6, 20  # of functions with their signature: half, and nine in ten
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def modules() -> dict[str, Path]:
    """Dotted name -> file."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = ["asyrp", *path.relative_to(SOURCE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def entry(module: str) -> str:
    """The name that the layer table uses: the part after `asyrp.`."""
    return module.split(".")[1] if "." in module else module


def place(module: str) -> int:
    assert entry(module) in ORDER, f"{module} has no place: add {entry(module)!r} to ORDER"
    return ORDER.index(entry(module))


def imports(module: str, path: Path) -> Iterator[str]:
    """Modules of asyrp that a file imports, inside functions too; relative imports included."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*up, *filter(None, [node.module])]) if node.level else node.module
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (known(name) for name in names if name.split(".")[0] == "asyrp")


def known(name: str) -> str:
    """The module that holds a dotted name."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


@pytest.mark.parametrize("module", [name for name in MODULES if name != PROMISES])
def test_a_package_imports_only_those_above_it(module: str) -> None:
    for other in imports(module, MODULES[module]):
        if other == PROMISES:  # for its version
            assert module == "asyrp.cli", f"{module} imports the top of the package"
            continue
        assert place(other) <= place(module), f"{module} imports {other}, which stands below it"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: set(imports(name, path)) - {name} for name, path in MODULES.items()}
    while ready := {name for name, needs in graph.items() if not needs & graph.keys()}:
        graph = {name: needs for name, needs in graph.items() if name not in ready}
    assert not graph, f"imports run in a circle among {sorted(graph)}"


def test_every_entry_of_the_order_exists() -> None:
    assert {entry(name) for name in MODULES if name != PROMISES} == set(ORDER)


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute chain."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("module", MODULES)
def test_no_printing_below_the_edges(module: str) -> None:
    if entry(module).startswith(EDGES):
        return
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Call):
            assert dotted(node.func) != "print", f"line {node.lineno}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None), *(alias.name for alias in node.names)]
            assert not {"tqdm", "argparse", "tyro"} & set(names), f"line {node.lineno}"


@pytest.mark.parametrize("module", MODULES)
def test_no_global_seeds_and_no_pickles(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Attribute):
            forbidden = FORBIDDEN - EXPORTS.get(module, set())
            assert dotted(node) not in forbidden, f"line {node.lineno}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "manual_seed", "__future__"}, f"line {node.lineno}"
        if isinstance(node, ast.Call) and dotted(node.func) == "torch.load":
            given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            assert given.get("weights_only") is True, f"line {node.lineno}"


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_stay_small(module: str) -> None:
    text = MODULES[module].read_text()
    assert len(text.splitlines()) <= FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, FUNCTIONS):
            assert body_lines(node) <= BODY_LINES, f"{node.name}, line {node.lineno}"


def test_most_functions_are_short() -> None:
    trees = [ast.parse(path.read_text()) for path in MODULES.values()]
    lengths = sorted(
        node.end_lineno - node.lineno + 1 - docstring_lines(node)  # type: ignore[operator]
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, FUNCTIONS)
    )
    assert lengths[len(lengths) // 2] <= MEDIAN_LINES
    assert lengths[len(lengths) * 9 // 10] <= MOST_LINES


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first.end_lineno - first.lineno + 1 if documented else 0  # type: ignore[operator]


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function below its signature and docstring."""
    body = node.body[bool(docstring_lines(node)) :]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
