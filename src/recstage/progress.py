"""Progress with the time that is left: a bar that stays on a terminal, a line a step on a pipe, one line that is
written over in a notebook. A bar is not shown of what takes less than `QUIET_SECONDS`."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

QUIET_SECONDS = 2.0
log = logging.getLogger(__name__)


class Progress:
    """Steps of one thing, `total` of them (None: open), each called `unit`. `advance` says what a step came to."""

    def __init__(
        self, title: str, total: int | None, unit: str, *, within: bool = False, at_once: bool = False
    ) -> None:
        """`within`: it is a part of another one, whose bar stays; that of this goes when it is done. `at_once`: it is
        known to take long, and its bar stands from the start."""
        self.title, self.total, self.unit = title, total, unit
        self._started, self._done, self._first = time.monotonic(), 0, 0
        self._bar = None
        if _on_a_terminal():
            delay = 0 if at_once else QUIET_SECONDS
            self._bar = tqdm(total=total, desc=title, unit=unit, delay=delay, disable=None, leave=not within)
        self._shown = _NotebookLine(within) if in_a_notebook() else None

    def resume(self, done: int, *, last: bool = False) -> None:
        """Say that the first `done` steps were made by an earlier run; `last`: there are no more."""
        if not done:
            return
        self._done = self._first = done
        words = f"{self.title}: resuming at {self.unit} {done + 1}"
        if last:
            words = f"{self.title}: all {done} {self.unit}s were made before"
        if self._bar is None:
            log.info("%s", words)
            return
        self._bar.write(words, file=sys.stderr)
        self._bar.update(done)

    def advance(self, metrics: Mapping[str, float], step: int | None = None, words: str = "") -> None:
        """One more step is done, or all up to the `step`-th; `words` say what the figures do not."""
        before, self._done = self._done, self._done + 1 if step is None else step
        figures = ", ".join([*(f"{key} {value:.4g}" for key, value in metrics.items()), *([words] if words else [])])
        if self._bar is not None:
            self._bar.set_postfix_str(figures, refresh=False)
            self._bar.update(self._done - before)
        elif self._shown is not None:
            self._shown.update(self._line(figures))
        else:
            log.info("%s", self._line(figures))

    def close(self) -> None:
        """The bar stays as it is; a line of a notebook, too, unless it is of a part of another thing."""
        if self._bar is not None:
            self._bar.close()
        if self._shown is not None:
            self._shown.close()

    def _line(self, figures: str) -> str:
        of = "" if self.total is None else f" of {self.total}"
        words = [f"{self.title}: {self.unit} {self._done}{of}", figures, self._left()]
        return ", ".join(word for word in words if word)

    def _left(self) -> str:
        made = self._done - self._first
        if self.total is None or made < 1 or self._done >= self.total:
            return ""
        seconds = (time.monotonic() - self._started) / made * (self.total - self._done)
        return f"{in_words(seconds)} left" if seconds >= 1 else ""


def in_words(seconds: float) -> str:
    """A time as one says it: 40 s, 3 min 20 s, 2 h 5 min."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


@contextmanager
def progress(
    title: str, total: int | None, unit: str, *, within: bool = False, at_once: bool = False
) -> Iterator[Progress]:
    """A `Progress` that is closed whatever happens."""
    shown = Progress(title, total, unit, within=within, at_once=at_once)
    try:
        yield shown
    finally:
        shown.close()


def _on_a_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def in_a_notebook() -> bool:
    """Whether this is a kernel. A program, such as a test, may have imported `ipykernel` without being one."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class _NotebookLine:
    """A line of a cell's output that the next one takes the place of; there is none of what is quickly done."""

    def __init__(self, within: bool) -> None:
        self._started, self._within = time.monotonic(), within
        self._handle: Any = None

    def update(self, text: str) -> None:
        if time.monotonic() - self._started < QUIET_SECONDS:
            return
        if self._handle is None:
            from IPython.display import display

            self._handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": text}, raw=True)

    def close(self) -> None:
        if self._handle is not None and self._within:
            self._handle.update({"text/plain": ""}, raw=True)
