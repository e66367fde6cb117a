"""Threads wait passively in every way in; a notebook is told where they spin on a busy machine."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from asyrp.runtime.waiting import VARIABLE, wait_passively, warn_if_overbooked

ROOT = Path(__file__).parents[2]
ASKS = (
    "import os, sys; sys.argv = ['asyrp', '--version']\n"
    "try:\n {start}\nexcept SystemExit: pass\n"
    "assert 'torch' not in sys.modules; print(os.environ.get('OMP_WAIT_POLICY'))"
)


def policy(start: str, given: str | None) -> str:
    """What a new process has after a way in, before torch."""
    env = {k: v for k, v in os.environ.items() if k != VARIABLE}
    if given:
        env[VARIABLE] = given
    code = ASKS.format(start=start)
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "start",
    [
        "from asyrp.cli import script; script()",
        "import runpy; runpy.run_module('asyrp', run_name='__main__')",
    ],
)
def test_every_way_in_waits_passively_unless_told(start: str) -> None:
    assert policy(start, None) == "PASSIVE"
    assert policy(start, "ACTIVE") == "ACTIVE"


def test_importing_the_library_changes_nothing() -> None:
    assert policy("import asyrp", None) == "None"


@pytest.mark.parametrize("module", ["bench", "passive"])
def test_the_scripts_that_measure_wait_passively(module: str) -> None:
    assert policy(f"sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); import {module}", None) == (
        "PASSIVE"
    )


def test_the_tests_themselves_wait_passively() -> None:
    assert os.environ[VARIABLE]


def test_a_busy_machine_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    monkeypatch.delenv(VARIABLE)
    with pytest.warns(UserWarning, match=f"{VARIABLE}=PASSIVE before Python starts"):
        warn_if_overbooked()
    wait_passively()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_overbooked()


def test_an_idle_machine_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.0, 0.0))
    monkeypatch.delenv(VARIABLE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_overbooked()
