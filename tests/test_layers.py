"""The direction of the dependencies, and the habits that keep the core pure."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "asyrp"

# A module imports its own layer (without cycles) or lower ones. A package counts as one entry.
LAYERS = {
    0: {
        "errors",
        "batches",
        "offline",
        "files",
        "machine",
        "schedule",
        "config_fields",
        "finite",
        "strict_loading",
        "weight_files",
        "pipeline_inputs",
        "images",
        "settings",
        "state",
        "bootstrap",
        "tables",
        "datasets",
        "stages",
        "record_store",
        "team",
    },
    1: {"unet", "unet_condition", "latent_space", "scheduler_config"},
    2: {
        "compiled",
        "lean",
        "ddim",
        "directions",
        "scorers",
        "costs",
        "templates",
        "views",
        "clip",
        "lpips",
        "decoded",
        "identity",
        "segmentation",
        "vision",
    },
    3: {
        "checkpoints",
        "process",
        "multistep",
        "guide",
        "intervals",
        "losses",
        "metrics",
        "direction_files",
        "direction_model",
        "latent_files",
        "plots",
        "figures",
    },
    4: {
        "sources",
        "strength",
        "latent_store",
        "stored_sources",
        "strips",
        "train",
        "lessons",
        "keeper",
        "studies",
        "baselines",
        "world",
        "registry",
        "pipeline",
        "jobs",
        "api",
        "evaluation",
        "bench",
    },
    5: {"options", "commands", "cli", "app", "__main__"},
}
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


def layer(module: str) -> int:
    levels = [level for level, names in LAYERS.items() if entry(module) in names]
    assert levels, f"{module} has no layer: add {entry(module)!r} to LAYERS in {__file__}"
    return levels[0]


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
def test_imports_point_downwards(module: str) -> None:
    for other in imports(module, MODULES[module]):
        if other == PROMISES:  # for its version
            assert layer(module) == 5, f"{module} imports the top of the package"
            continue
        assert layer(other) <= layer(module), f"{module} imports {other}, which lies above it"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: set(imports(name, path)) - {name} for name, path in MODULES.items()}
    while ready := {name for name, needs in graph.items() if not needs & graph.keys()}:
        graph = {name: needs for name, needs in graph.items() if name not in ready}
    assert not graph, f"imports run in a circle among {sorted(graph)}"


def test_the_table_names_each_module_once() -> None:
    names = [name for level in LAYERS.values() for name in level]
    assert len(names) == len(set(names))


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
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert body_lines(node) <= BODY_LINES, f"{node.name}, line {node.lineno}"


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function below its signature and docstring."""
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    body = node.body[1:] if documented else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
