#!/bin/sh
# All that a GPU can show, in at most 8 minutes on an H200: tests, then docs/performance-gpu.md.
# Stopped, it goes on where it was; without a GPU it says what it skips.
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
"$python" -m pytest -m gpu -rs tests/gpu
tests=$?
PYTHONPATH=benchmarks "$python" -m bench.gpu "$@" || exit $?
exit $tests
