"""Import first, before torch: its threads then sleep while they wait."""

from asyrp.runtime.waiting import wait_passively

wait_passively()
