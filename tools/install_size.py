"""How much disk the package and what it needs take here, alone and with extras.

    python tools/install_size.py [EXTRA ...]

Counts the files of installed distributions, so that it has to run where they are installed.
"""

import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def size_of(name: str) -> int:
    """Bytes of the files of a distribution."""
    files = (file.locate() for file in distribution(name).files or ())
    return sum(path.stat().st_size for path in files if path.is_file())


def needed(name: str, extras: tuple[str, ...] = (), found: set[str] | None = None) -> set[str]:
    """A distribution and all that it needs, as far as it is installed."""
    found = set() if found is None else found
    try:
        lines = distribution(name).requires or ()
    except PackageNotFoundError:
        return found
    found.add(canonicalize_name(name))
    for one in map(Requirement, lines):
        wanted = one.marker is None or any(one.marker.evaluate({"extra": e}) for e in ("", *extras))
        if wanted and (canonicalize_name(one.name) not in found or one.extras):
            needed(one.name, tuple(one.extras), found)
    return found


if __name__ == "__main__":
    for count in range(len(sys.argv)):
        extras = tuple(sys.argv[1 : count + 1])
        size = sum(map(size_of, needed("asyrp", extras)))
        print(f"asyrp{list(extras) or ''}: {size / 1e9:.1f} GB")
