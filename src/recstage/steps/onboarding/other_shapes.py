"""Files whose rows are no events, a matrix or lists in cells: refused with the code that makes rows of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from recstage.data.schema import ITEM, USER
from recstage.data.tables.delimited import DelimitedFile
from recstage.data.tables.names import EVENT_NAMES, plain
from recstage.data.tables.table import TableFile
from recstage.data.tables.values.numbers import WITH_COMMA
from recstage.errors import DataError
from recstage.steps.onboarding.facts.columns import Meanings, resembles
from recstage.steps.onboarding.facts.contents import Contents

BASKETS = {"items", "products", "basket", "cart", "lineitems", "orderitems", "articles", "skus", "history", "itemlist"}
KEYS = {plain(name) for name in (*EVENT_NAMES[ITEM], "id")}


def matrix_refused(file: TableFile) -> DataError:
    """The refusal of a matrix. Cells without a value, and those that are 0, are no events."""
    of_items = file.has_header and not _without_ids(file) and resembles(file.names[0], ITEM)
    row, column = (ITEM, USER) if of_items else (USER, ITEM)
    rows = f".rename_axis('{row}').melt(ignore_index=False, var_name='{column}').dropna().query('value != 0')"
    return DataError(
        f"{file.where}: {len(file.names)} columns, from {file.names[0]} to {file.names[-1]}",
        rule="it looks like a matrix with a column for each item, and rows are events: one user, one item",
        fix=f"Write it as rows, in pandas: {_frame(file)}{rows}.to_csv('events.csv')",
    )


def _without_ids(file: TableFile) -> bool:
    """Whether the first column is called as the others are but for numbers (item0, item1, ...): then rows have no ids,
    and their places are the users."""
    return file.has_header and len({re.sub(r"\d+", "#", name) for name in file.names}) == 1


def _frame(file: TableFile) -> str:
    """Code that reads a matrix as a frame, with its first column as the index, where that holds ids."""
    if not isinstance(file, DelimitedFile) or not Path(file.where).is_file():
        return "frame" if _without_ids(file) else f"frame.set_index({file.names[0]!r})"
    dialect = file.dialect
    options = [f"{file.where!r}", *([] if _without_ids(file) else ["index_col=0"])]
    if dialect.separator != ",":
        options.append(f"sep={dialect.separator!r}")
    if not file.has_header:
        options.append("header=None")
    if dialect.skip > file.has_header:
        options.append(f"skiprows={dialect.skip - file.has_header}")
    if any(re.match(WITH_COMMA, cell.strip()) for row in file.rows for cell in row[1:]):
        options.append("decimal=','")
    return f"pandas.read_csv({', '.join(options)})"


def refuse_lists(file: TableFile, found: Meanings, contents: Contents, given: Mapping[str, str]) -> None:
    """Raises `DataError` where the items of a row stand in one cell: in the column that is called as one of items is,
    while no other one is."""
    if ITEM in given:
        return
    called = [found.columns[ITEM]] if found.why.get(ITEM) in ("by its name", "by its name and values") else []
    for name in called or [name for name in file.names if resembles(name, ITEM) or plain(name) in BASKETS]:
        if contents.list_mark(name):
            raise lists_refused(file, name, contents)


def lists_refused(file: TableFile, name: str, contents: Contents) -> DataError:
    """The refusal of a column of lists of items."""
    mark, first = contents.list_mark(name), str(contents.given(name).iloc[0])
    if mark == "[" and not isinstance(file, DelimitedFile):
        code = f"frame.explode('{name}')"
        inner = next((key for key in re.findall(r"['\"](\w+)['\"]:", first) if plain(key) in KEYS), None)
        if inner:
            code += f".assign(item_id=lambda f: f['{name}'].str['{inner}'])"
    elif mark == "[":
        code = f"frame.assign(item_id=frame['{name}'].map(ast.literal_eval)).explode('item_id')"
    else:
        mark = mark or next((one for one in "|;," if one in first), ";")
        code = f"frame.assign(item_id=frame['{name}'].str.split('{mark}')).explode('item_id')"
    return DataError(
        f"{file.where}: {name} '{contents.first(name)}'",
        rule="it holds lists, and rows are events: one user, one item",
        fix=f"Write a row for each, in pandas: {code}",
    )
