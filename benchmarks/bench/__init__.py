"""Speed, FLOPs, memory and their growth, beside the reference implementation: `make bench`."""

from asyrp.runtime.waiting import wait_passively

wait_passively()
