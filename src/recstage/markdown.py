"""Tables in Markdown and values in words, for model cards, logged pages and the docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

GAP = "&emsp;"


def spaced_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A `table` for the pages of MLflow's registry, which set the columns without any space between them."""
    return table(header, [[*(f"{cell}{GAP}" for cell in row[:-1]), *row[-1:]] for row in rows])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A pipe table that ends with a line break; a pipe within a cell is escaped."""
    return "\n".join(_line(cells) for cells in (header, ["---"] * len(header), *rows)) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def words(value: object) -> str:
    """A setting for a reader, without the signs of Python: its parts, those of a part in parentheses."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_within(inner)}" for key, inner in value.items()) or "none"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(_within, value)) or "none"
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _within(value: object) -> str:
    return f"({words(value)})" if isinstance(value, Mapping | list | tuple | set | frozenset) else words(value)
