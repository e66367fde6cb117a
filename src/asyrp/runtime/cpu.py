"""What a process asks of its machine: faster work, and no other results."""

import ctypes
import sys

import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
KEPT = 2**30  # bytes of freed memory that stay with the process
LARGEST = 32 * 2**20  # bytes of a block that is cut from them; the most that glibc takes
AHEAD = 64 * 2**20  # bytes that are asked for beyond what is needed


def set_up_torch() -> None:
    """Take denormal numbers for 0, which are slow, and keep freed memory for the next layer.

    On a GPU: try the ways to convolve, since the shapes of a walk stay the same; and float32 means
    it, without TF32, whose products have 10 bits. Who wants its speed has more of it in bfloat16.
    """
    torch.set_flush_denormal(True)
    keep_freed_memory()
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def finish(device: torch.device) -> None:
    """Wait until a GPU has done what it was given, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def keep_freed_memory() -> bool:
    """Whether the C library agreed to keep it; only glibc can.

    By itself glibc returns large blocks to the system, which has to clear their pages before it
    gives them out again: at every layer of a network.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    asked = ((M_MMAP_THRESHOLD, LARGEST), (M_TRIM_THRESHOLD, KEPT), (M_TOP_PAD, AHEAD))
    return all(mallopt(name, value) == 1 for name, value in asked)
