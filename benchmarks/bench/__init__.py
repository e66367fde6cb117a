"""Speed, FLOPs, memory and their growth, beside the official order: `make bench`."""

from asyrp.runtime.waiting import wait_passively

wait_passively()
