"""Event types that differ in capitals and blanks only are one type, called as the data set's weights call it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import pandas as pd

SHOWN = 5


def one_spelling(names: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """The names that are to be another one, with that one: of `known` names the first that differs in nothing else; of
    several unknown ones the last by their letters, which is in small ones. Known names stay as they are."""
    called: dict[str, str] = {}
    for name in known:
        called.setdefault(_key(name), name)
    unknown = [name for name in names if name not in known]
    for name in sorted(unknown, reverse=True):
        called.setdefault(_key(name), name)
    return {name: called[_key(name)] for name in unknown if called[_key(name)] != name}


def respelt(column: pd.Series, spellings: Mapping[str, str]) -> pd.Series:
    """A column of types with those names replaced."""
    if not spellings:
        return column
    types = column.astype("category")
    names = [spellings.get(str(name), str(name)) for name in types.cat.categories]
    codes, different = pd.factorize(pd.Index([*names, None], dtype=object))
    found = pd.Categorical.from_codes(codes[types.cat.codes.to_numpy()], categories=pd.Index(different, dtype=object))
    return pd.Series(found, column.index, name=column.name)


def spelling_note(spellings: Mapping[str, str]) -> list[str]:
    """What there is to say of them."""
    if not spellings:
        return []
    by_name: dict[str, list[str]] = {}
    for name, taken in sorted(spellings.items()):
        by_name.setdefault(taken, []).append(f"'{name}'")
    told = "; ".join(f"{', '.join(some[:SHOWN])} as '{taken}'" for taken, some in sorted(by_name.items()))
    return [f"event types that differ in capitals and blanks only are one: {told}"]


def _key(name: str) -> str:
    return " ".join(name.casefold().split())
