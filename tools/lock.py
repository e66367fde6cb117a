"""Write requirements.txt: every package of `make install` with its version and SHA-256.

pip resolves twice, as this machine is set up and with pypi.org alone, without installing: the two
may differ in torch, whose build for CPUs is another file. What only the CUDA build needs goes to
requirements-cuda.txt, which `make install` installs where that build came.

python tools/lock.py    (minutes; needs pypi.org)
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WANTED = [".[dev,docs,browser]", "hatchling", "editables"]
PYPI = ["--isolated", "--index-url", "https://pypi.org/simple"]
HEAD = (
    "# Written by tools/lock.py for Linux on x86_64 with CPython 3.11; `make install` takes it.\n"
)
Packages = dict[str, tuple[str, set[str]]]


def resolved(how: Sequence[str]) -> Packages:
    """Name -> version and digests, as pip would install them."""
    words = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    words += [*how, "--report", "-", "--constraint", "constraints.txt", *WANTED]
    report = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    found: Packages = {}
    for one in report["install"]:
        told: Mapping[str, Any] = one["metadata"]
        if "archive_info" in one["download_info"]:  # all but this package itself
            name = told["name"].lower().replace("_", "-")
            version = told["version"].partition("+")[0]
            found[name] = version, {one["download_info"]["archive_info"]["hashes"]["sha256"]}
    return found


def text(packages: Packages) -> str:
    """The lines of a file."""
    lines = [HEAD]
    for name, (version, digests) in sorted(packages.items()):
        hashes = [f"    --hash=sha256:{digest}" for digest in sorted(digests)]
        lines.append(" \\\n".join([f"{name}=={version}", *hashes]) + "\n")
    return "".join(lines)


def main() -> None:
    """Resolve, compare, write."""
    here, pypi = resolved([]), resolved(PYPI)
    both = {name: (version, digests | pypi[name][1]) for name, (version, digests) in here.items()}
    assert all(pypi[name][0] == version for name, (version, _) in here.items()), "versions differ"
    Path("requirements.txt").write_text(text(both))
    cuda = {name: one for name, one in pypi.items() if name not in here}
    Path("requirements-cuda.txt").write_text(text(cuda))


if __name__ == "__main__":
    main()
