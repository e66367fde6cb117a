"""Configs of strangers, measured before anything is built: see `untrusted.configs`."""

from asyrp.storage.untrusted.configs import (
    check_config,
    check_sample_size,
    check_values,
    count_pickled,
    count_safe,
)

__all__ = ["check_config", "check_sample_size", "check_values", "count_pickled", "count_safe"]
