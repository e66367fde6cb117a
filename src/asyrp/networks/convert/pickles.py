"""What a torch checkpoint's pickle would call: see `untrusted.pickles`."""

from asyrp.storage.untrusted.pickles import foreign_names

__all__ = ["foreign_names"]
