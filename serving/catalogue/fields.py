"""Fields of the catalogue that a list carries: `fields=categories,price` of a request.

Of each, what was posted to the service counts, else what the served version was trained with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from recstage.data.catalogue import Catalogue
from recstage.errors import valid_names
from serving.catalogue.merged import MergedCatalogue
from serving.errors import Problem
from serving.models.loaded_model import LoadedModel
from serving.rules.attributes import PostedItems

TITLE, TEXT, CATEGORIES = "title", "text", "categories"
OWN_FIELDS = (TITLE, TEXT, CATEGORIES)
MAX_FIELDS = 20


class FieldReader:
    """Reads the fields of items. `texts` are those of the service's own catalogue, which are not kept in memory."""

    def __init__(self, served: LoadedModel | None, catalogue: MergedCatalogue, posted: PostedItems) -> None:
        """Read from the merged catalogue, and attributes from what was posted and from the version's catalogue."""
        self._served, self._catalogue, self._posted = served, catalogue, posted

    def check(self, names: Sequence[str]) -> None:
        """Raise a 422 problem that names the fields there are, where one of these is none of them."""
        attributes = [] if self._served is None else [str(name) for name in self._served.catalogue.attributes]
        known = {*OWN_FIELDS, *attributes, *self._posted.kinds}
        for name in names:
            if name not in known:
                raise Problem(422, "unknown-field", f"No item has the field '{name[:80]}'. {valid_names(name, known)}.")

    def read(self, item_ids: Sequence[str], names: Sequence[str], texts: Mapping[str, str]) -> list[dict[str, Any]]:
        """The fields of each item; null where nothing is known."""
        return [{name: self._value(item_id, name, texts) for name in names} for item_id in item_ids]

    def _value(self, item_id: str, name: str, texts: Mapping[str, str]) -> Any:
        if name == TITLE:
            return self._catalogue.title(item_id) or None
        if name == TEXT:
            return texts.get(item_id) or self._catalogue.text(item_id) or None
        if name == CATEGORIES:
            return list(self._catalogue.categories(item_id))
        posted = self._posted.items.get(item_id)
        if posted is not None and name in posted.attributes:
            return posted.attributes[name]
        index = -1 if self._served is None else self._served.train.items.find(item_id)
        return None if self._served is None or index < 0 else _attribute(self._served.catalogue, index, name)


def attributes_of(catalogue: Catalogue, index: int) -> dict[str, Any]:
    """The attributes that the version's catalogue knows of an item, as JSON has them."""
    found = {str(name): _attribute(catalogue, index, str(name)) for name in catalogue.attributes}
    return {name: value for name, value in found.items() if value is not None}


def _attribute(catalogue: Catalogue, index: int, name: str) -> Any:
    """An attribute of the version's catalogue as JSON has it; None where it is unknown."""
    if name not in catalogue.attributes:
        return None
    value = catalogue.attributes[name].iloc[index]
    if isinstance(value, list | tuple | np.ndarray):
        return [str(part) for part in value]
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
