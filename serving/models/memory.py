"""Memory that loading a bundle takes: whether it fits, asked before, since the system kills a process that takes too
much, and what is given back afterwards."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path

import psutil

from recstage import bundle
from recstage.errors import BundleError

COPIES = 2
"""The arrays of a bundle are mapped into memory, and a model derives others of about the same size from them."""
CGROUP = Path("/sys/fs/cgroup")


def check_fits(folder: Path) -> None:
    """Raise `BundleError` where loading the bundle would need more memory than is available now."""
    needed, available = COPIES * bundle.size_of(folder), available_bytes()
    if needed > available:
        raise BundleError(
            f"a bundle of {bundle.size_of(folder) / 2**20:,.0f} MB",
            rule=f"loading it needs about {needed / 2**20:,.0f} MB, and {available / 2**20:,.0f} MB are available",
            fix="Promote a smaller model, or give the service more memory",
        )


def available_bytes(cgroup: Path = CGROUP) -> int:
    """Memory this process may still take: of the machine, of its container and of its own limit, the least."""
    found = [psutil.virtual_memory().available]
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        found.append(most - psutil.Process().memory_info().vms)
    try:
        limit, used = ((cgroup / name).read_text().strip() for name in ("memory.max", "memory.current"))
        if limit != "max":
            found.append(int(limit) - int(used))
    except (OSError, ValueError):  # no control groups, or those of version 1
        pass
    return max(0, min(found))


def give_back_unused() -> None:
    """Return memory that is free within this process to the system, where the C library can (glibc's `malloc_trim`).

    Loading needs some for a moment, and a version that is served no more leaves some: many swaps must not grow the
    process.

    No garbage collection: it would stop all requests for tens of milliseconds, and a version has no cycles.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
