"""What the programs of the other libraries share: they run in environments of their own, from this folder."""

import time
from collections.abc import Callable
from typing import Any


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that `work` took, and its result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
