"""Amounts of memory in short: 800MB, 8GiB."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?b)", re.IGNORECASE)
_UNITS = {f"{letter}{i}b": (1024 if i else 1000) ** power for power, letter in enumerate("kmgt", 1) for i in ("", "i")}


def bytes_of(text: str) -> int:
    """Bytes of "800MB" (millions) or "8GiB" (2**30). Raises `ValueError` on anything else."""
    found = _PATTERN.fullmatch(text.strip())
    if found is None or float(found[1]) <= 0:
        raise ValueError(f"'{text}' is no amount of memory: write a number and MB, GB, MiB or GiB, such as 8GiB")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def shown(amount: float) -> str:
    """Bytes as `bytes_of` reads them, to three digits."""
    unit, name = (1 << 30, "GiB") if amount >= 1 << 30 else (1 << 20, "MiB")
    return f"{amount / unit:.3g} {name}" if amount < 1000 * unit else f"{amount / unit:.0f} {name}"


def _checked(text: str) -> str:
    if text:
        bytes_of(text)
    return text.strip()


MemorySize = Annotated[str, AfterValidator(_checked)]
"""An amount of memory as text, written as 800MB or 8GiB; empty: not said."""
