"""Write requirements.txt: every package of `make install` with its version and SHA-256.

pip resolves twice without installing, as this machine is set up and with pypi.org alone: the two
differ in torch, whose build for CPUs (of PyTorch's own index, or a disk) is another file. It goes
to requirements-cpu.txt, the build of pypi.org with what it needs to requirements-cuda.txt.

python tools/lock.py    (minutes; needs pypi.org, and the build for CPUs where pip looks)
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
Packages = dict[str, tuple[str, str]]


def resolved(how: Sequence[str]) -> Packages:
    """Name -> version and digest, as pip would install them."""
    words = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    words += [*how, "--report", "-", "--constraint", "constraints.txt", *WANTED]
    report = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    found: Packages = {}
    for one in report["install"]:
        told: Mapping[str, Any] = one["metadata"]
        if "archive_info" in one["download_info"]:  # all but this package itself
            name = told["name"].lower().replace("_", "-")
            found[name] = told["version"], one["download_info"]["archive_info"]["hashes"]["sha256"]
    return found


def text(packages: Packages) -> str:
    """The lines of a file."""
    lines = [f"{name}=={v} --hash=sha256:{digest}\n" for name, (v, digest) in packages.items()]
    return "".join([HEAD, *sorted(lines)])


def main() -> None:
    """Resolve, compare, write."""
    here, pypi = resolved([]), resolved(PYPI)
    both = {name: one for name, one in here.items() if pypi[name] == one}
    assert here.keys() - both.keys() == {"torch"}, "other files differ as well"
    Path("requirements.txt").write_text(text(both))
    for build, found in (("cpu", here), ("cuda", pypi)):
        own = {name: one for name, one in found.items() if name not in both}
        Path(f"requirements-{build}.txt").write_text(text(own))


if __name__ == "__main__":
    main()
