"""Something by its name: one of ours, or one of a user's own package as MODULE:NAME."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar, cast

from asyrp.errors import AsyrpError

T = TypeVar("T")


def look_up(name: str, ours: Mapping[str, T], what: str) -> T:
    """What has a name. what: the kind of thing, as an error says it.

    Raises:
        AsyrpError: nothing by that name.
    """
    if name in ours:
        return ours[name]
    try:
        return cast(T, own(name))
    except (ImportError, AttributeError, ValueError) as error:
        raise AsyrpError(
            f"unknown {what} {name!r}; needed one of: {', '.join(ours)}, or MODULE:NAME of your own"
        ) from error


def own(name: str) -> Any:
    """What MODULE:NAME stands for."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
