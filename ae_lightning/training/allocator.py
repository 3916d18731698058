"""Settings of a process that make every training step on a CPU faster."""

import ctypes
import os
import platform
from collections.abc import Sequence
from typing import Final

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MOST: Final = (1 << 30, 1 << 25)  # bytes; until its release 2.35, glibc takes the second at most


def keep_freed_memory() -> bool:
    """Keep freed blocks instead of returning them to the OS and faulting them in again each step.

    Peak memory stays the same. Either both limits are set or neither: one alone is slower than
    none. Set AE_ALLOCATOR=default in the environment to leave the allocator as it is.

    Returns:
        Whether the limits were set, which only glibc allows.
    """
    if os.environ.get("AE_ALLOCATOR") == "default":
        return False
    return limits(MOST, 2**31 - 1)


def return_freed_memory() -> None:
    """Undo `keep_freed_memory`: freed blocks return to the OS, now and from now on."""
    if limits((1 << 17,), 1 << 17):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def limits(sizes: Sequence[int], trimmed: int) -> bool:
    """Set from how many bytes on glibc maps blocks on their own, and trims its heap.

    Args:
        sizes: for the first of these, the first that it takes.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL("libc.so.6").mallopt
    mapped = any(mallopt(M_MMAP_THRESHOLD, size) for size in sizes)
    return bool(mapped and mallopt(M_TRIM_THRESHOLD, trimmed))


def skip_driver_search() -> None:
    """Let torch ask its runtime whether there is a GPU, if it is known that there is none.

    Lightning makes torch ask the driver's library instead, and Adam asks at every step. Each time
    the library is searched for on the disk, which takes a thirtieth of a small model's step.
    """
    if torch.cuda.device_count() == 0:
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
