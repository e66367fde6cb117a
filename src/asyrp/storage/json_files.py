"""Results as text and JSON files, whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asyrp.storage.files import atomic_path


def plain(value: Any) -> Any:
    """A result as JSON data: estimates become objects, arrays lists, paths their names."""
    if hasattr(value, "as_json"):  # an estimate with its interval
        return plain(value.as_json())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and value != value else value


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """JSON, whole or not at all; floats to their last digit."""
    write_text(path, json.dumps(plain(content), indent=1, allow_nan=False) + "\n")
