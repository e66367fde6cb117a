"""ONNX files. They run no programs and reach no other files, but what they compute has no bound."""

from pathlib import Path
from typing import Any

from asyrp.errors import need


def open_onnx(path: Path) -> Any:
    """A session of onnxruntime (extra `identity`); any Exception for what is no network."""
    providers = ["CPUExecutionProvider"]
    return need("onnxruntime", "identity").InferenceSession(str(path), providers=providers)
