"""The memory of a fit: how much was taken, and in one line, with the setting to try, where it ends."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recstage.errors import OutOfMemory

SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")
"""In the messages of torch (CUDA, and its allocator on the CPU), Arrow, and the system."""
SIZES = ("batch_size", "factors", "neighbors", "k", "history")
"""Hyperparameters that memory grows with, the one to try first first."""


@contextmanager
def told_by_setting(model: str, params: Any) -> Iterator[None]:
    """Turns what NumPy, torch and the system raise where memory ends into `OutOfMemory`, with a value to try."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not isinstance(error, MemoryError) and not any(sign in str(error).lower() for sign in SIGNS):
            raise
        values = ((name, getattr(params, name, None)) for name in SIZES)
        sized = [(name, value) for name, value in values if isinstance(value, int) and value > 1]
        given, fix = f"a fit of {model}", "Take fewer rows, or a machine with more memory"
        if sized:
            name, value = sized[0]
            given, fix = f"{given} with {name} = {value}", f"Try -P model.params.{name}={value // 2}"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise OutOfMemory(given, rule=f"it needs more memory than this machine has ({reason})", fix=fix) from error


def peak_memory_mb() -> float:
    """The most memory that this process has taken so far, in MiB, mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
