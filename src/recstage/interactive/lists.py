"""A DataFrame of lists that shows itself, in Jupyter, as one table a user: rank, title, categories, score, reason."""

from __future__ import annotations

from html import escape
from typing import Any

import pandas as pd

SHOWN_USERS = 20
COLUMNS = ("rank", "title", "categories", "score", "reason")


class Lists(pd.DataFrame):
    """What `FittedModel.recommend` and `similar` return: a DataFrame in all but its looks. Whatever is selected from it
    that no longer has the columns of a list looks like any other DataFrame."""

    @property
    def _constructor(self) -> type[Lists]:
        return Lists

    def _repr_html_(self) -> str:
        group = next((name for name in ("user_id", "to_item") if name in self.columns), None)
        if group is None or not {"rank", "title", "score"} <= set(self.columns):
            return pd.DataFrame(self).to_html(max_rows=20)
        parts, groups = [], list(self.groupby(group, sort=False))
        for name, rows in groups[:SHOWN_USERS]:
            parts.append(_table(f"{'user' if group == 'user_id' else 'similar to'} {name}", rows))
        if len(groups) > SHOWN_USERS:
            parts.append(f"<p>and {len(groups) - SHOWN_USERS} more</p>")
        return "".join(parts)


def _table(caption: str, rows: pd.DataFrame) -> str:
    columns = [name for name in COLUMNS if name in rows.columns and (rows[name].astype(str) != "").any()]
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(_cell(name, row) for name in columns)}</tr>" for row in rows.to_dict("records"))
    title = f"<caption style='text-align:left;font-weight:bold'>{escape(caption)}</caption>"
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(name: str, row: dict[Any, Any]) -> str:
    value = row[name]
    if name == "title":
        value = value or row.get("item_id", "")
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return f"<td style='text-align:left'>{escape(text)}</td>"
