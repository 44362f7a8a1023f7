"""What the programs of the peers share: they run in environments of their own, beside this file."""

import time
from collections.abc import Callable
from typing import Any


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that `work` took, and what it came to."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
