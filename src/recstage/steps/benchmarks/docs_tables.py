"""Tables in the pages of the docs, between `<!-- MARK -->` and `<!-- end -->`; the step that measured writes them."""

from __future__ import annotations

import re
from pathlib import Path

from recstage.config import root
from recstage.errors import ConfigError

WRITTEN = ("README.md", "docs/benchmarks.md", "docs/models-composite.md", "docs/scale.md", "docs/service.md")


def p_value(value: object) -> str:
    """Three digits, `< .001` below that; nothing for what was not compared."""
    return "" if not isinstance(value, float) or value != value else "< .001" if value < 0.001 else f"{value:.3f}"


def check(mark: str) -> None:
    """Raises `ConfigError` where no page has a place for the table; called before hours of work."""
    if not _having(mark):
        raise ConfigError(
            "write = true",
            rule=f"no page has the marks '<!-- {mark} -->' and '<!-- end -->'",
            fix=f"Leave it out, or put them on two lines of one of {', '.join(WRITTEN)}",
        )


def write(mark: str, text: str) -> None:
    """Put `text` between the marks in every page that has them."""
    for path in _having(mark):
        path.write_text(_marks(mark).sub(lambda found: f"{found[1]}{text}{found[2]}", path.read_text()))


def _having(mark: str) -> list[Path]:
    pages = [root() / name for name in WRITTEN]
    return [page for page in pages if page.is_file() and _marks(mark).search(page.read_text())]


def _marks(mark: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {re.escape(mark)} -->\n).*?(<!-- end -->)", re.DOTALL)
