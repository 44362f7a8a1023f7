"""Files as shops export them, small and drawn by a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recstage.steps.onboarding import init
from recstage.steps.onboarding.init import InitResult

NAMES = ("customer", "sku", "bought_at", "action")


def rows_of_a_shop(rows: int = 600, users: int = 40, items: int = 25, seed: int = 5) -> list[list[str]]:
    """Customer, article, date and kind of event, of which purchases are the rarest."""
    random = np.random.default_rng(seed)
    found = []
    for at in range(rows):
        kind = str(random.choice(["pageview", "add_to_basket", "purchase"], p=[0.8, 0.15, 0.05]))
        time = f"2026-03-{1 + at * 28 // rows:02d} 12:{at % 60:02d}:00"
        found.append([f"c{random.integers(users)}", f"p{random.integers(items)}", time, kind])
    return found


def written(path: Path, rows: list[list[str]], names: tuple[str, ...] | None = NAMES, separator: str = ";") -> Path:
    """Rows as delimited text, with a header or without one."""
    lines = [separator.join(cells) for cells in ([list(names), *rows] if names else rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def shop(folder: Path, names: tuple[str, ...] | None = NAMES, **more: int) -> Path:
    """The file of a shop."""
    return written(folder / "Shop Export.csv", rows_of_a_shop(**more), names)


def first_look(path: Path | str, *words: str) -> InitResult:
    """`recstage init PATH --yes` with further options."""
    return init.run(init.settings_from(["--path", str(path), "--yes", "true", *words]))
