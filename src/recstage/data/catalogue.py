"""What is known of the items themselves: title, text, categories, availability; aligned with an item id map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.interactions import IdMap
from recstage.data.tables.values.attributes import kind_of, restored

COLUMNS = ("item_id", "title", "text", "categories", "available")


@dataclass(frozen=True, eq=False)
class Catalogue:
    """One entry an item of `items`, in its order: `titles`, `texts` (object[n_items] of str, '' where unknown),
    `categories` (a tuple of names an item), `available` bool[n_items], and `attributes`: a frame of n_items rows, each
    column of one kind (`attribute_kinds`): number, boolean, list or text; null where unknown."""

    items: IdMap
    titles: NDArray[np.object_]
    texts: NDArray[np.object_]
    categories: Sequence[tuple[str, ...]]
    available: NDArray[np.bool_]
    attributes: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def empty(cls, items: IdMap) -> Catalogue:
        """Nothing known but the ids."""
        return cls.from_frame(pd.DataFrame({"item_id": pd.Series(dtype=str)}), items)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, items: IdMap) -> Catalogue:
        """From columns item_id and optionally title, text, categories (lists of names), available; further columns are
        attributes. Items of the map that the frame lacks stay empty and available; rows about other items are left out.
        """
        rows = frame.assign(item_id=frame["item_id"].astype(str)).drop_duplicates("item_id", keep="last")
        rows = rows.set_index("item_id").reindex(pd.Index(items.ids))
        n = len(items)

        def texts(column: str) -> NDArray[np.object_]:
            values = rows[column].to_numpy(object).tolist() if column in rows else [""] * n
            return np.array([value if isinstance(value, str) else "" for value in values], dtype=object)

        categories: list[tuple[str, ...]] = [()] * n
        if "categories" in rows:
            categories = [
                tuple(map(str, names)) if isinstance(names, list | tuple | np.ndarray) else ()
                for names in rows["categories"].to_numpy(object).tolist()
            ]
        available = np.ones(n, bool)
        if "available" in rows:
            said = rows["available"].notna().to_numpy()
            available[said] = rows["available"].to_numpy(object)[said].astype(bool)
        others = restored(rows[[name for name in rows if name not in COLUMNS]]).reset_index(drop=True)
        return cls(items, texts("title"), texts("text"), categories, available, others)

    def to_frame(self) -> pd.DataFrame:
        """Columns item_id, title, text, categories, available, and the attributes."""
        known = pd.DataFrame(
            {
                "item_id": self.items.ids,
                "title": self.titles,
                "text": self.texts,
                "categories": pd.Series([list(names) for names in self.categories], dtype=object),
                "available": self.available,
            }
        )
        return pd.concat([known, self.attributes], axis=1) if len(self.attributes.columns) else known

    @cached_property
    def attribute_kinds(self) -> dict[str, str]:
        """Each attribute's kind: number, boolean, list or text."""
        return {str(name): kind_of(self.attributes[name]) for name in self.attributes}

    @cached_property
    def category_names(self) -> list[str]:
        """All categories, sorted."""
        return sorted({name for names in self.categories for name in names})

    @cached_property
    def category_matrix(self) -> sparse.csr_matrix:
        """One where an item has a category: float32[n_items, n_categories]."""
        column = {name: i for i, name in enumerate(self.category_names)}
        rows = [i for i, names in enumerate(self.categories) for _ in names]
        columns = [column[name] for names in self.categories for name in names]
        shape = (len(self.items), len(column))
        matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
        matrix.data[:] = 1
        return matrix

    @cached_property
    def documents(self) -> list[str]:
        """Title, text and categories of each item as one string, for text models."""
        return [
            " ".join(part for part in (title, text, " ".join(names)) if part)
            for title, text, names in zip(self.titles, self.texts, self.categories, strict=True)
        ]
