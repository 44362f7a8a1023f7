"""Tables in the pages of the docs, between `<!-- MARK -->` and `<!-- end -->`; the step that measured writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from recstage.config import root

WRITTEN = ("README.md", "docs/benchmarks.md", "docs/models-composite.md", "docs/service.md")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(_line(cells) for cells in (header, ["---"] * len(header), *rows)) + "\n"


def p_value(value: object) -> str:
    """As people write it; nothing for what was not compared."""
    return "" if not isinstance(value, float) or value != value else "< .001" if value < 0.001 else f"{value:.3f}"


def write(mark: str, text: str) -> None:
    """Put `text` between the marks in every page that has them."""
    marks = re.compile(rf"(<!-- {re.escape(mark)} -->\n).*?(<!-- end -->)", re.DOTALL)
    for name in WRITTEN:
        path = root() / name
        if path.is_file():
            path.write_text(marks.sub(lambda found: f"{found[1]}{text}{found[2]}", path.read_text()))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
