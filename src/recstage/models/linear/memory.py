"""Refusing a fit that would take too much memory, before anything is taken."""

from __future__ import annotations

import logging

import psutil

from recstage.errors import TooMuchData

GB = 1 << 30
FLOAT, SPARSE = 4, 8
"""Bytes of a dense float32, and of a sparse one with its int32 column."""

logger = logging.getLogger(__name__)


def require_memory(model: str, needed: int, limit_gb: float, *, n_items: int, for_what: str, fix: str) -> None:
    """Say how much memory a fit takes (`needed` bytes). Raises `TooMuchData` where that is above `limit_gb` GB or above
    what this machine has free."""
    logger.info("%s: about %s for %s of %s items", model, _size(needed), for_what, f"{n_items:,}")
    free = psutil.virtual_memory().available
    if needed <= min(limit_gb * GB, free):
        return
    short = f"memory_gb = {limit_gb:g}" if needed > limit_gb * GB else f"this machine has {_size(free)} free"
    raise TooMuchData(
        f"{n_items:,} items",
        rule=f"{model} needs about {_size(needed)} for {for_what}, and {short}",
        fix=fix,
    )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / GB:.1f} GB" if n_bytes >= GB else f"{n_bytes / (1 << 20):.0f} MB"
