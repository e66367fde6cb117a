"""The sentences over which CLIP's text direction is averaged."""

from functools import cache

from asyrp.storage.shipped import shipped


@cache
def imagenet_templates() -> tuple[str, ...]:
    """The 79 of the official code, with `{}` where the text goes (data/clip_templates.md)."""
    path = shipped("asyrp.scorers", "data", "clip_templates.txt")
    return tuple(path.read_text(encoding="utf-8").splitlines())
