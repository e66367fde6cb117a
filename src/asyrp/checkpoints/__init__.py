"""Networks by name: built in, a diffusers folder, or a Hub id."""

from asyrp.checkpoints.load import BUILT_IN, load_model

__all__ = ["BUILT_IN", "load_model"]
