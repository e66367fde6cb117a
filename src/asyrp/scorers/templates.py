"""The sentences over which CLIP's text direction is averaged."""

from functools import cache
from importlib.resources import files


@cache
def imagenet_templates() -> tuple[str, ...]:
    """The 79 of the official code, with `{}` where the text goes (data/clip_templates.md)."""
    text = files("asyrp.scorers").joinpath("data", "clip_templates.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
