"""Values of a table as messages show them: short, and plain where they are lists or objects."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import numpy as np

LONGEST = 40  # characters
FIELDS = 2  # of an object
WRITTEN = re.compile(r"\[.*['\"].*\]|\{.*['\"].*\}", re.DOTALL)
"""A list or an object that holds what neither JSON nor Python's literals know, such as a moment."""


def shown(value: Any) -> str:
    """A value in at most some forty characters, cut ones with dots: of a list the first elements, and how many more
    there are; of an object its first fields. Text that writes a list or an object, as Python or JSON, is shown as such.
    """
    value = _meant(value)
    if isinstance(value, list):
        return _of_list([_plain(one) for one in value])
    return _cut(_plain(value))


def _meant(value: Any) -> Any:
    if isinstance(value, np.ndarray | tuple | set):
        return list(value)
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{"):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, list | dict) else value
    return re.sub(r"[\[\]{}'\"]", "", value) if WRITTEN.fullmatch(value.strip()) else value


def _of_list(texts: list[str]) -> str:
    fitting = [text for at, text in enumerate(texts) if len(", ".join(texts[: at + 1])) <= LONGEST]
    some = fitting or [_cut(text) for text in texts[:1]]
    more = len(texts) - len(some)
    return ", ".join(some) + (f" and {more} more" if more else "")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(one)}" for key, one in list(value.items())[:FIELDS])
    if isinstance(value, list | np.ndarray):
        return ", ".join(map(_plain, value))
    return str(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
