"""python -m asyrp."""

from asyrp.cli import script

script()
