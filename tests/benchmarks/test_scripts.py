"""The scripts that write pages are up to date with the package that they import."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_scripts_find_all_that_they_import() -> None:
    names = sorted(path.stem for path in FOLDER.glob("*.py"))
    assert "directions" in names
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import {', '.join(names)}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
