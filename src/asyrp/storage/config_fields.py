"""What an untrusted config says: every field obeyed, refused, or named in a warning."""

import inspect
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from asyrp.errors import AsyrpError

Fields = dict[str, Any]


def said(config: Mapping[str, Any]) -> Fields:
    """The fields that a config sets: not its own bookkeeping ("_class_name"), and no null."""
    return {k: v for k, v in config.items() if not k.startswith("_") and v is not None}


def defaults_of(kind: Any) -> Fields:
    """The fields of a class of diffusers and their defaults; those without one are left out."""
    if not inspect.isclass(kind):
        return {}
    told = inspect.signature(vars(kind).get("__init__", kind)).parameters.values()
    return {p.name: _plain(p.default) for p in told if p.default is not inspect.Parameter.empty}


def differs(value: object, other: object) -> bool:
    """Whether two values of a field differ; JSON turns tuples into lists."""
    return bool(_plain(value) != _plain(other))


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def refuse_others(
    config: Mapping[str, Any], only: Mapping[str, Any], why: Mapping[str, str]
) -> None:
    """Raise AsyrpError for the first field of another value than the one that is computed here.

    Args:
        only: field -> the value that it may have, besides null and absence.
        why: field -> what the other value means, and what to do.
    """
    for name, value in said(config).items():
        if name in only and differs(value, only[name]):
            raise AsyrpError(f"{name} = {value!r:.80} {why[name]}")


def name_passed_over(fields: Mapping[str, Any] | Collection[str], whose: str, why: str) -> None:
    """Warn in one line of fields that change nothing here; of none nothing is said."""
    if fields:
        values = fields if isinstance(fields, Mapping) else dict.fromkeys(fields)
        told = ", ".join(k if v is None else f"{k} = {v!r:.60}" for k, v in values.items())
        warnings.warn(f"passed over in {whose}: {told:.600}; {why}", stacklevel=3)
