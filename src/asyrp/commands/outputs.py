"""What every command does with its options before it begins: it puts what a domain names in its
place, tries and locks outputs, and spares inputs.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from asyrp.domains.base import source_of
from asyrp.errors import AsyrpError
from asyrp.method.direction_file import KIND
from asyrp.runtime.distributed import is_first
from asyrp.storage.files import beside, header_of
from asyrp.storage.outputs import check_file, protecting
from asyrp.storage.unfinished import alone, unfinished

WRITTEN_TO = ("out", "previews", "store", "cache", "keep", "docs")
TRIED = ("out", "previews", "docs", "keep")
NAMES = (  # options whose texts may be those of files
    *("domain", "model", "encoder", "distance", "direction", "images", "judge", "segmenter"),
    *("identity", "features", "what", "file", "labels", "directions", "without"),
)
Options = TypeVar("Options")


def on_domain(options: Options) -> Options:
    """Options with the networks and training images of their --domain in their places."""
    own: Any = options
    if not own.network.domain:
        return options
    names = source_of(own.network.domain).NETWORKS
    told = {name: getattr(names, name) for name in ("model", "prompt", "guidance", "class_label")}
    parts: dict[str, Any] = {"network": replace(own.network, **told)}
    if hasattr(own, "guides"):
        parts["guides"] = replace(own.guides, encoder=names.encoder, distance=names.distance)
    if getattr(own, "images", "") is None and not own.random:
        parts["images"] = names.images.get("train")
    return cast(Options, replace(own, **parts))


@contextmanager
def guarded(options: Any) -> Iterator[None]:
    """Have outputs that can be written to, to itself; inputs and files of others stay as they are.

    Raises:
        AsyrpError: another process writes to --out, or nobody can.
    """
    with ExitStack() as held:
        held.enter_context(protected(options))
        if is_first():
            for name in TRIED:
                if isinstance(getattr(options, name, None), Path):
                    place = Path(os.path.realpath(getattr(options, name)))
                    with _tried(place), unfinished(place if place.is_dir() else beside(place)):
                        pass
            if isinstance(getattr(options, "out", None), Path):
                place = Path(os.path.realpath(options.out))
                held.enter_context(alone(place, beside(place)))
        yield


def protected(options: Any) -> AbstractContextManager[None]:
    """Have inputs, and files of others, stay as they are.

    Raises:
        AsyrpError: a text of the options holds bytes of another encoding, which no file could keep
            and no tokenizer read; names of files may.
    """
    inputs: list[Path] = []
    for name, value in leaves(options):
        if isinstance(value, str) and name not in NAMES:
            if value != value.encode("utf-8", "replace").decode("utf-8"):
                raise AsyrpError(
                    f"--{name.replace('_', '-')} must be a text in UTF-8; got {value!r:.80}"
                )
        elif isinstance(value, str | Path) and name not in WRITTEN_TO:
            inputs += _existing(str(value))
    return protecting(inputs, getattr(options, "overwrite", False))


def leaves(options: Any) -> Iterator[tuple[str, Any]]:
    """Name and value of every option, of groups and tuples one by one."""
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            yield from leaves(value)
        else:
            yield from ((field.name, x) for x in (value if isinstance(value, tuple) else [value]))


def check_direction(path: Path) -> None:
    """Refuse to replace a file that is no direction of ours.

    Raises:
        AsyrpError: it is an input, or holds something else and --overwrite was not given.
    """
    try:
        ours = header_of(path).get("format") == KIND.format
    except (AsyrpError, OSError):
        ours = False
    check_file(path, ours)


@contextmanager
def _tried(path: Path) -> Iterator[None]:
    """Say that an output cannot be written, where it cannot."""
    try:
        yield
    except OSError as error:
        place = error.filename or path
        raise AsyrpError(
            f"the results cannot be written: {str(place)!r}: {error.strerror}; give another folder"
        ) from error


def _existing(name: str) -> Iterator[Path]:
    for place in (name, name.rpartition(":")[0]):  # FILE:STRENGTH
        with suppress(OSError, ValueError):  # too long, or with a NUL
            if place and Path(place).exists():
                yield Path(place)
