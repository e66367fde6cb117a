"""The restatement of the reference implementation, which lies outside the package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from asyrp.errors import AsyrpError


def load_baseline(path: Path) -> ModuleType:
    """benchmarks/naive.py of a checkout, as a module.

    Raises:
        AsyrpError: no such file.
    """
    if not path.is_file():
        raise AsyrpError(
            f"needed benchmarks/naive.py, the order of work to compare with; {str(path)!r} does "
            "not exist; run in a checkout of the repository, or give --baseline"
        )
    spec = importlib.util.spec_from_file_location("asyrp_baseline", path)
    if spec is None or spec.loader is None:
        raise AsyrpError(f"needed a Python file; got {str(path)!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
