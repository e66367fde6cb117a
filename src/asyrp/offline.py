"""Offline mode: whether the network may be touched."""

import os


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE or ASYRP_OFFLINE forbids the network."""
    values = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "ASYRP_OFFLINE"))
    return any(value.strip().lower() not in ("", "0", "false", "no", "off") for value in values)
