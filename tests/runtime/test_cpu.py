"""What a process asks of its machine."""

import subprocess
import sys

import pytest

from asyrp.runtime import cpu as machine

FAULTS = """
import resource, sys
import torch
from asyrp.runtime.cpu import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def work():
    blocks = [torch.ones(5 * 2**20) for _ in range(4)]  # 20 MB each
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, way], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone can keep memory")
def test_freed_memory_is_used_again() -> None:
    ways = ("kept", "as it is") * 3  # the system gives a process more or fewer pages at once
    found = [(way, faults(way)) for way in ways]
    kept, plain = (min(count for one, count in found if one == way) for way in ways[:2])
    assert kept < plain


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not machine.keep_freed_memory()
