"""Settings of a process that make every training step on a CPU faster."""

import ctypes
import os
import platform
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
    if platform.libc_ver()[0] != "glibc" or os.environ.get("AE_ALLOCATOR") == "default":
        return False
    mallopt = ctypes.CDLL("libc.so.6").mallopt
    mapped = any(mallopt(M_MMAP_THRESHOLD, size) for size in MOST)
    return bool(mapped and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def skip_driver_search() -> None:
    """Let torch ask its runtime whether there is a GPU, if it is known that there is none.

    Lightning makes torch ask the driver's library instead, and Adam asks at every step. Each time
    the library is searched for on the disk, which takes a thirtieth of a small model's step.
    """
    if torch.cuda.device_count() == 0:
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
