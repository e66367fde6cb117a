"""How the threads of torch wait for one another. Imports nothing heavy: it acts before torch loads.

OpenMP's threads spin by default while they wait. Beside another busy process that costs an edit
many times its own work, and on an idle machine passive waiting costs nothing (docs/performance.md).
"""

import os
import sys
import warnings

VARIABLE = "OMP_WAIT_POLICY"


def wait_passively() -> None:
    """Let threads sleep while they wait, unless the user has chosen; for programs' first line."""
    os.environ.setdefault(VARIABLE, "PASSIVE")


def warn_if_overbooked() -> None:
    """Warn, once in a process, where threads spin on a machine that has less than its cores free.

    For notebooks and scripts that loaded torch without `wait_passively`.
    """
    if os.environ.get(VARIABLE, "").upper() == "PASSIVE" or not hasattr(os, "getloadavg"):
        return
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    if os.getloadavg()[0] > cores:
        warnings.warn(
            f"{os.getloadavg()[0]:.1f} processes want the {cores} cores of this machine, and the "
            f"threads of torch spin while they wait: set {VARIABLE}=PASSIVE before Python starts, "
            "or in the first cell before anything is imported",
            stacklevel=3,
        )
