"""The items of a loaded model and further ones that it does not know, together, for lists that are of no model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions
from serving.rules.engine import CataloguedModel


@dataclass(frozen=True, eq=False)
class AllItems:
    """A `CataloguedModel`: the items of the model have their own indices, the further ones those after them."""

    key: str
    catalogue: Catalogue
    train: Interactions
    compiled_rules: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, served: CataloguedModel | None, further: Collection[str]) -> AllItems:
        """The items of a loaded model (None: there is none), and those of `further` that it does not know.

        Of the latter only what was posted of them is known.
        """
        if served is None:
            train = Interactions.from_frame(pd.DataFrame(columns=["user_id", "item_id", "timestamp"]))
            known = Catalogue.empty(IdMap(np.array([], dtype=object)))
        else:
            train, known = served.train, served.catalogue
        more = sorted(one for one in set(further) if known.items.find(one) < 0)
        n = len(known.items) + len(more)
        empty = np.array([""] * len(more), dtype=object)
        catalogue = Catalogue(
            IdMap(np.concatenate([known.items.ids, np.array(more, dtype=object)])),
            np.concatenate([known.titles, empty]),
            np.concatenate([known.texts, empty]),
            [*known.categories, *([()] * len(more))],
            np.concatenate([known.available, np.ones(len(more), bool)]),
            known.attributes.reindex(range(n)) if len(known.attributes.columns) else pd.DataFrame(index=range(n)),
        )
        return cls("all" if served is None else f"{served.key}/all", catalogue, train)
