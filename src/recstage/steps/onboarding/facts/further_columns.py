"""Further columns of events and items that would mislead: constant ones, copies, those known only after the event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from recstage.data.schema import ITEM, TYPE, RawData
from recstage.data.tables.table import TableFile
from recstage.data.tables.values.attributes import kind_of
from recstage.data.tables.values.numbers import numbers

ENOUGH = 20  # rows, or items, from which a coincidence is unlikely
GOES_WITH = 0.95
FEW = 100
EMPTY, SHOWN = "is empty", 10
NOT_ATTRIBUTES = ("title", "text", "categories", "available")


def of_events(files: Sequence[TableFile], columns: Mapping[str, str]) -> list[str]:
    """Warnings about the further columns of events, by all rows: the first rows say which are worth reading."""
    file = files[0]
    names = [name for name in file.names if name not in columns.values() and name]
    width = len(file.names)
    first = pd.DataFrame([row for row in file.rows if len(row) == width], columns=list(file.names), dtype=object)
    suspects = [name for name, _ in _findings(first, names, columns)]
    if not suspects:
        return []
    wanted = list(dict.fromkeys([*suspects, *columns.values()]))
    parts = [one.read([name for name in wanted if name in one.names]).frame for one in files]
    whole = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
    found = dict(_findings(whole.astype(object), suspects, columns))
    empty = [name for name, warning in found.items() if warning.endswith(EMPTY)]
    rest = [warning for name, warning in found.items() if name not in empty]
    if len(empty) < 2:
        return [*(found[name] for name in empty), *rest]
    return [f"{len(empty)} columns are empty: {', '.join(empty[:SHOWN])}{', ...' * (len(empty) > SHOWN)}", *rest]


def _findings(frame: pd.DataFrame, names: Iterable[str], columns: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each suspect column with what is wrong with it."""
    if len(frame) < 2:
        return
    text = {name: _text(frame[name]) for name in {*names, *columns.values()} if name in frame}
    ours = {one: text[theirs] for one, theirs in columns.items() if theirs in text}
    for name in names:
        if name not in text:
            continue
        warning = _warning(name, text[name], ours, columns)
        if warning:
            yield name, warning


def _warning(name: str, column: pd.Series, ours: Mapping[str, pd.Series], columns: Mapping[str, str]) -> str:
    given = column.dropna()
    if not len(given):
        return f"column {name} {EMPTY}"
    different = given.nunique()
    if different == 1 and len(given) == len(column):
        return f"column {name} is constant ('{str(given.iloc[0])[:30]}'): it says nothing"
    for one, other in ours.items():
        if column.equals(other):
            return f"column {name} repeats {columns[one]} ({one}): as a feature it would leak what is to be predicted"
    if TYPE in ours and ours[TYPE].nunique() > 1:
        types = ours[TYPE][column.notna()].unique()
        if len(types) == 1 and len(given) >= 2 and len(given) < len(column):
            return f"column {name} is filled for '{types[0]}' only: it is known after the event, and would leak it"
        if len(column) >= ENOUGH and 1 < different <= FEW and _decides(column, ours[TYPE]):
            return f"column {name} decides {columns[TYPE]} ({TYPE}): as a feature it would leak what is to be predicted"
    for one in ("value",):
        if one in ours and len(column) >= ENOUGH and _goes_with(column, ours[one]):
            return f"column {name} goes with {columns[one]} ({one}): as a feature it would leak what is to be predicted"
    return ""


def _text(column: pd.Series) -> pd.Series:
    """Values as text without blanks around them, None where there is none."""
    return (
        column.map(lambda value: None if pd.isna(value) or not str(value).strip() else str(value).strip()).astype(
            object
        )
        if not column.map(lambda value: isinstance(value, list | dict | np.ndarray)).any()
        else column.map(str)
    )


def _decides(one: pd.Series, other: pd.Series) -> bool:
    pairs = pd.DataFrame({"one": one, "other": other}).dropna().drop_duplicates()
    return len(pairs) > 1 and not pairs["one"].duplicated().any()


def _goes_with(one: pd.Series, other: pd.Series) -> bool:
    first, second = numbers(one), numbers(other)
    known = (first.notna() & second.notna()).to_numpy()
    if known.sum() < ENOUGH or known.mean() < 0.5 or first[known].nunique() < 3 or second[known].nunique() < 3:
        return False
    return abs(float(np.corrcoef(first[known].rank(), second[known].rank())[0, 1])) > 0.999


def of_items(raw: RawData) -> list[str]:
    """Warnings about attributes of the items file: constant ones, and those that go with the number of events."""
    if raw.items is None:
        return []
    counts = raw.events[ITEM].astype(str).value_counts()
    per_item = raw.items[ITEM].astype(str).map(counts).fillna(0).to_numpy(np.float64)
    found = []
    for name in raw.items.columns:
        if name == ITEM or name in NOT_ATTRIBUTES:
            continue
        column = raw.items[name]
        shown = column.dropna().map(str)
        if len(shown) == len(column) > 1 and shown.nunique() == 1:
            found.append(f"items: column {name} is constant ('{str(shown.iloc[0])[:30]}'): it says nothing")
        elif kind_of(column) == "number" and _counts_events(column.to_numpy(np.float64), per_item):
            found.append(
                f"items: column {name} goes with the number of events of each item: if it counts them, what is tested "
                "leaks into it"
            )
    return found


def _counts_events(values: np.ndarray, per_item: np.ndarray) -> bool:
    known = np.isfinite(values) & (per_item > 0)
    if known.sum() < ENOUGH or len(np.unique(values[known])) < 3 or len(np.unique(per_item[known])) < 3:
        return False
    ranks = (pd.Series(values[known]).rank(), pd.Series(per_item[known]).rank())
    return float(np.corrcoef(*ranks)[0, 1]) > GOES_WITH
