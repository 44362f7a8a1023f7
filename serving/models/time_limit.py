"""A time limit on a model's answer: calls in threads of their own, abandoned when they take too long.

Python cannot end a thread. A call that takes too long goes on in its thread, which then counts as hanging; once as many
hang as may run at a time, no further call is tried until one of them returns, so that hanging models never exhaust the
process.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
RECENT_SECONDS = 60.0
INLINE_SECONDS = 0.25
"""A version that took longer than this on the event loop runs in threads from then on, where the limit holds."""
LATER_KEYS = 64


class ModelTimeout(Exception):  # noqa: N818  caught by every caller, never shown
    """A model did not answer in time, or too many of its calls hang already."""


class ModelCalls:
    """Runs calls of models in daemon threads: `threads` at a time, each for `seconds` at most, waiting included."""

    def __init__(self, threads: int, seconds: float) -> None:
        self.seconds = seconds
        self.hanging = 0
        """Calls that took too long and have not returned."""
        self._threads, self._slots = threads, asyncio.Semaphore(threads)
        self._timed_out_at: float | None = None
        self._overran: dict[str, None] = {}

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """The result of `work`. Raises `ModelTimeout`, or what the work raises."""
        if self.hanging >= self._threads:
            raise self._timeout()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        started = False
        try:
            async with asyncio.timeout(self.seconds):
                async with self._slots:
                    started = True
                    call = (loop, future, work, arguments)
                    threading.Thread(target=_call, args=call, name="model-call", daemon=True).start()
                    return await asyncio.shield(future)
        except TimeoutError as error:
            if started and not future.done():
                self.hanging += 1
                future.add_done_callback(self._returned)
            raise self._timeout() from error

    def overran(self, key: str, seconds: float) -> None:
        """A list by the version of this key took so long on the event loop."""
        if seconds > INLINE_SECONDS:
            self._overran[key] = None
            while len(self._overran) > LATER_KEYS:
                del self._overran[next(iter(self._overran))]

    def in_thread(self, key: str) -> bool:
        """Whether a version took too long on the event loop before."""
        return key in self._overran

    @property
    def trouble(self) -> str | None:
        """What is wrong with the models' answers lately; None where nothing is."""
        recent = self._timed_out_at is not None and time.monotonic() - self._timed_out_at < RECENT_SECONDS
        if not recent and not self.hanging:
            return None
        return f"no answer within {self.seconds:g} s; {self.hanging} calls hang"

    def _timeout(self) -> ModelTimeout:
        self._timed_out_at = time.monotonic()
        return ModelTimeout(f"no answer within {self.seconds:g} s")

    def _returned(self, future: asyncio.Future[Any]) -> None:
        self.hanging -= 1
        future.exception()  # looked at, so that it is not reported as never retrieved


def _call(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], work: Callable[..., T], arguments: tuple) -> None:
    try:
        result = work(*arguments)
    except BaseException as error:
        _hand_over(loop, future.set_exception, error)
    else:
        _hand_over(loop, future.set_result, result)


def _hand_over(loop: asyncio.AbstractEventLoop, put: Callable[[Any], None], value: Any) -> None:
    try:
        loop.call_soon_threadsafe(put, value)
    except RuntimeError:  # the loop was closed meanwhile: the service ended
        return
