"""How the pages are built: Sphinx with MyST, furo and sphinx-gallery. `make docs` runs it.

The gallery and the notebooks are executed by the build, on the built-in world and without the
internet; an error in one of them, or a warning anywhere, fails it.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "100"}

from provide import provide  # noqa: E402
from reference import reference  # noqa: E402

from asyrp import __version__  # noqa: E402

project, author, copyright = "asyrp", "the asyrp authors", "2025, the asyrp authors"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.zip", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = f"asyrp {__version__}"
html_static_path: list[str] = []
html_copy_source = False

myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 900  # of a cell, on a machine that does other work too
nb_merge_streams = True
nb_output_stderr = "remove"  # warnings of the machine that builds, not of the notebook

default_role = "literal"  # docstrings put code between single backticks
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"exclude-members": "__init__, __new__"}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/",
    "ignore_pattern": "__init__",
    "within_subsection_order": "order.GalleryOrder",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 3600,
}


CAPTIONS = {
    "Guides": (
        "first_edit", "app", "your_photos", "train_a_direction", "finders", "your_model",
        "paper_networks", "from_official_code", "evaluating", "troubleshooting",
    ),
    "Background": ("concepts", "measured_advice"),
    "Examples": ("gallery/index", "notebooks/*"),
    "Reference": ("api", "responsible_use", "security"),
}  # fmt: skip
REST = "Measured"  # pages that scripts write: all that no other caption names


def fill_pages(app: Any, docname: str, source: list[str]) -> None:
    """Add what only the built pages show: tables of contents, and what the code says of itself."""
    if docname == "index":
        source[0] += contents()
    if docname == "api":
        source[0] += reference()


def contents() -> str:
    """The tables of contents, which a reader of the repository would see as raw text."""
    pages = [page.stem for page in sorted(HERE.glob("*.md")) if page.stem != "index"]
    named = {name for names in CAPTIONS.values() for name in names}
    parts = {
        caption: [name for name in names if "/" in name or name in pages]
        for caption, names in CAPTIONS.items()
    } | {REST: [page for page in pages if page not in named]}
    return "".join(
        "\n".join(
            ["\n```{toctree}", f":caption: {caption}", ":hidden:", ":glob:", "", *names, "```\n"]
        )
        for caption, names in parts.items()
    )


def plain_docstring(
    app: Any, what: str, name: str, it: Any, options: Any, lines: list[str]
) -> None:
    """Docstrings are plain text: |x| and a trailing _ mean nothing special in them."""
    lines[:] = [
        re.sub(r"(\||\*|_\b(?!_))", r"\\\1", line) if mark(line) else line for line in lines
    ]


def mark(line: str) -> bool:
    """Whether a line of a docstring is prose, outside of literals and directives."""
    return "`" not in line and not line.lstrip().startswith((":", ".."))


def give_directions(app: Any, config: Any) -> None:
    """Give the gallery and the notebooks their directions, where they are executed."""
    if str(config.plot_gallery) not in ("0", "False"):
        provide(HERE.parent / "examples")
    if config.nb_execution_mode != "off":
        provide(HERE / "notebooks", "smiling")


def setup(app: Any) -> None:
    """Connect the above."""
    app.connect("config-inited", give_directions)
    app.connect("source-read", fill_pages)
    app.connect("autodoc-process-docstring", plain_docstring)
