"""Files that come with the package: weights, and tables of words and numbers in TOML."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any


def shipped(package: str, *place: str) -> Path:
    """A file of one of our packages."""
    return Path(str(files(package).joinpath(*place)))


def shipped_tables(package: str, *place: str) -> dict[str, Any]:
    """The tables of a TOML file of ours, lists as tuples, in their order."""
    tables: dict[str, Any] = _as_tuples(tomllib.loads(shipped(package, *place).read_text("utf-8")))
    return tables


def _as_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_tuples(one) for key, one in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value
