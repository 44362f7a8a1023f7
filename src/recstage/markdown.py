"""Tables in Markdown, for model cards, logged pages and the docs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

GAP = "&emsp;"


def spaced_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A `table` for the pages of MLflow's registry, which set the columns without any space between them."""
    return table(header, [[*(f"{cell}{GAP}" for cell in row[:-1]), *row[-1:]] for row in rows])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A pipe table that ends with a line break; a pipe within a cell is escaped."""
    return "\n".join(_line(cells) for cells in (header, ["---"] * len(header), *rows)) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
