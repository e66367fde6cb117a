"""Faults on purpose: kills, full disks, broken downloads, hostile files, a long soak.

`python -m faults` (with tests/ on the path, see `make faults`) runs them all and writes
docs/faults.md; the default tests run a small part of the hostile files.
"""
