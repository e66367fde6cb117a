"""Offline mode: whether the network may be touched."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE or ASYRP_OFFLINE forbids the network."""
    values = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "ASYRP_OFFLINE"))
    return any(value.strip().lower() not in ("", "0", "false", "no", "off") for value in values)


@contextmanager
def hub() -> Iterator[bool]:
    """Whether the Hub's local cache has to do; meanwhile its library is offline as a whole.

    Its `local_files_only` is not enough: it still asks the Hub which programs count as agents.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or is_offline()
    try:
        yield is_offline()
    finally:
        constants.HF_HUB_OFFLINE = before


def network_hint() -> str:
    """What to do where something did not come, as the end of a message."""
    return "leave offline mode to download it" if is_offline() else "check the network"
