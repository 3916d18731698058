"""How much memory there is, and how much of it is free."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch

from ae_lightning.core.errors import UsageError

SMALL: Final = 2**24  # bytes, too few to be worth asking how many are free
PROCESS: Final = Path("/proc/self/status")
GROUP: Final = Path("/sys/fs/cgroup")
# What a container may take and has taken, by its system; what it has read from files is let go of.
CONTAINERS: Final = (
    ("memory.max", "memory.current", "memory.stat"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
    ),
)


def memory() -> float:
    """The memory in bytes of this machine or container; infinity if the system does not tell."""
    if not hasattr(os, "sysconf"):
        return math.inf
    machine = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min([machine, *(number(GROUP / limit) for limit, *_ in CONTAINERS)])


def free_memory(device: torch.device | str = "cpu") -> float:
    """The free memory in bytes of a GPU, or of this machine or container; infinity if unknown."""
    if torch.device(device).type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + kept)
    free = fields("/proc/meminfo").get("MemAvailable", math.inf) * 1024
    for limit, taken, stat in CONTAINERS:
        files = fields(GROUP / stat).get("inactive_file", 0.0)
        free = min(free, number(GROUP / limit) - number(GROUP / taken, 0.0) + files)
    if (now := fields(PROCESS).get("VmData")) is not None:
        free = min(free, limits()[0] - now * 1024)
    return max(0.0, free)


def limits() -> tuple[float, float]:
    """What this process may take, as `ulimit -d` sets it, and what that may be raised to."""
    import resource  # which not all systems have

    found = resource.getrlimit(resource.RLIMIT_DATA)
    soft, hard = (math.inf if limit == resource.RLIM_INFINITY else float(limit) for limit in found)
    return soft, hard


def fitting(each: float, most: int, device: torch.device | str = "cpu") -> int:
    """How many things of `each` bytes a quarter of the free memory holds, from 1 to `most`.

    Below that, it is a power of 2: it then rarely depends on what else is running.

    >>> fitting(1, 100), fitting(1e30, 100)
    (100, 1)
    """
    if each * most <= SMALL:
        return most
    n = free_memory(device) / 4 / max(1, each)
    return most if n >= most else 2 ** math.floor(math.log2(max(1, n)))


def require_room(size: float, what: str) -> None:
    """Refuse what would take more bytes of memory than are free.

    Args:
        what: it is, for the sentence.

    Raises:
        UsageError: if it does.
    """
    if size > SMALL and size > (free := free_memory()):
        raise UsageError(
            f"{what} takes {size / 2**30:,.1f} GiB, more than the {free / 2**30:,.1f} GiB of "
            "memory that are free."
        )


def allowance(share: float = 1.0) -> float:
    """How many bytes this process may have in all: what it has, and a share of what is free.

    Infinity if the system does not tell.
    """
    if (now := fields(PROCESS).get("VmData")) is None:
        return math.inf
    return min(now * 1024 + share * free_memory(), *limits())


@contextmanager
def bounded_memory(share: float = 1.0, most: float = math.inf) -> Iterator[None]:
    """Let this process take no more memory than is free now, or than a share of it.

    An allocation beyond that then fails with an error; otherwise, Linux would end the process
    without a word.

    Args:
        most: bytes that it must not exceed in any case.
    """
    if not math.isfinite(most := min(most, allowance(share))):
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(most), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def number(file: Path, otherwise: float = math.inf) -> float:
    """The number that a file holds."""
    try:
        text = file.read_text().strip()
    except OSError:
        return otherwise
    return float(text) if text.isdigit() else otherwise


def fields(file: str | Path) -> dict[str, float]:
    """The numbers in a file of the system's, by their names."""
    try:
        words = [line.replace(":", " ").split() for line in Path(file).read_text().splitlines()]
    except OSError:
        return {}
    return {w[0]: float(w[1]) for w in words if len(w) > 1 and w[1].isdigit()}
