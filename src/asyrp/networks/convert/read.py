"""Files of tensors, opened without running anything: see `untrusted.tensors`."""

from asyrp.storage.untrusted.tensors import read_checkpoint, tensor_dicts

__all__ = ["read_checkpoint", "tensor_dicts"]
