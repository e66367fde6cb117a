"""Folders and Hub ids of transformers, looked at before the library builds anything from them."""

from pathlib import Path
from typing import Any

from asyrp.storage.files import read_object
from asyrp.storage.untrusted.bounds import MOST_NAMES
from asyrp.storage.untrusted.configs import check_config, check_values, count_pickled, count_values
from asyrp.storage.untrusted.encoder_configs import name_unread
from asyrp.storage.untrusted.revisions import pinned, tell_revision
from asyrp.storage.untrusted.tensors import read_checkpoint
from asyrp.storage.weight_files import choose

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")  # in the library's own order
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def check_pretrained(kind: Any, source: str | Path, local: bool) -> None:
    """Raise AsyrpError where a config says more than the weights hold, or a pickle would run.

    Args:
        kind: the auto class of transformers. local: whether the Hub must not be asked.

    Raises:
        Exception: any of transformers, for what it cannot load anyway.
    """
    from transformers import AutoConfig

    place = find_file(source, "config.json", local)
    if place is None:
        return  # the library has a line of its own for that
    told = read_object(place)
    check_config(told, source, MOST_NAMES)
    stored = sum(
        count_values(path)
        if path.suffix == ".safetensors"
        else count_pickled(read_checkpoint(path))
        for path in _weights(source, local)
    )
    asked = pinned(source)
    tell_revision(asked, place)
    config = AutoConfig.from_pretrained(
        asked.name, revision=asked.revision, local_files_only=local, trust_remote_code=False
    )
    name_unread(told, config, str(source))
    check_values(lambda: kind.from_config(config, trust_remote_code=False), stored, source)


def find_file(source: str | Path, name: str, local: bool) -> Path | None:
    """A file of a folder or Hub id, fetched if need be; None where there is none."""
    from transformers.utils import cached_file

    asked = pinned(source)
    found = cached_file(
        asked.name,
        name,
        revision=asked.revision,
        local_files_only=local,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


def _weights(source: str | Path, local: bool) -> list[Path]:
    folder = Path(source)
    if folder.is_dir():
        found = choose([path.name for path in folder.iterdir()])
        return [folder / name for name in (found.names if found else ())]
    for name in (*WEIGHTS, *PICKLED):
        place = find_file(source, name, local)
        if place is None:
            continue
        if place.suffix != ".json":
            return [place]
        parts = sorted({str(part) for part in read_object(place).get("weight_map", {}).values()})
        return [path for part in parts if (path := find_file(source, part, local))]
    return []
