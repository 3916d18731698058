"""Keep freed memory in the process while training on a CPU."""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Ask glibc to keep large freed blocks, which it else returns and faults in at every step.

    Peak memory stays the same. Both limits are set or neither: one alone is slower than none.
    Set AE_ALLOCATOR=default in the environment to leave the allocator as it is.

    Returns:
        Whether the limits were set: only on Linux with glibc.
    """
    if platform.libc_ver()[0] != "glibc" or os.environ.get("AE_ALLOCATOR") == "default":
        return False
    mallopt = ctypes.CDLL("libc.so.6").mallopt
    return bool(mallopt(M_MMAP_THRESHOLD, 1 << 30) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
