"""One part of the bench, in a process of its own: `python -m bench.worker KIND FIELDS FILE`.

The numbers go to standard output as JSON behind a line that begins with "=".
"""

import json
import sys
from pathlib import Path
from typing import Any

from asyrp.runtime.cpu import set_up_torch
from bench.plan import KINDS


def numbers(kind: str, fields: str, baseline: str) -> dict[str, Any]:
    """Do a work that `plan.Apart` describes."""
    set_up_torch()
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(fields).items()}
    found: dict[str, Any] = KINDS[kind](**given).measure(Path(baseline))
    return found


if __name__ == "__main__":
    sys.stdout.write("\n=" + json.dumps(numbers(*sys.argv[1:4])))
