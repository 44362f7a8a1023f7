"""Data that hardly is any: each model of conf/model serves it with finite scores, or refuses it in one line."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from recstage.config import model_config_of, names_in
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions
from recstage.errors import RecstageError
from recstage.models import build
from tests.models.test_contract import SMALL

pytestmark = pytest.mark.slow
FAR = 250_000_000_000  # the year 9892


def ids(prefix: str, n: int) -> IdMap:
    return IdMap(np.array([f"{prefix}{i}" for i in range(n)], dtype=object))


@cache
def rows_of(case: str) -> Interactions:
    """A few users and items; of one user or item, with equal histories, or with times that are yet to come."""
    n_users, n_items, liked = {"one user": (1, 30, 12), "one item": (40, 1, 1)}.get(case, (40, 12, 6))
    users = np.repeat(np.arange(n_users), liked)
    items = np.tile(np.arange(liked), n_users)
    if case == "times in the future":
        items = (items + users) % n_items
    times = FAR + np.arange(len(users)) if case == "times in the future" else np.arange(len(users))
    return Interactions.from_arrays(ids("u", n_users), ids("i", n_items), users, items, timestamp=times)


@pytest.mark.parametrize("case", ["one user", "one item", "equal histories", "times in the future"])
@pytest.mark.parametrize("name", names_in("model"))
def test_degenerate_data_is_served_or_refused_in_one_line(name: str, case: str) -> None:
    rows = rows_of(case)
    model = build(model_config_of(name), **SMALL.get(name, {}))
    refused: RecstageError | None = None
    try:
        model.fit(rows, seed=1, catalogue=Catalogue.empty(rows.items))
    except RecstageError as error:
        refused = error
    if refused is not None:
        assert len(str(refused).splitlines()) == 1
        assert refused.fix
        return
    lists = model.recommend_batch([str(one) for one in rows.users.ids[:3]], 5)
    for one in lists:
        assert np.isfinite(one.scores).all()
        assert len(set(one.item_ids)) == len(one.item_ids)
    assert np.isfinite(model.score(rows.all_users.take(np.flatnonzero(model.can_score(rows.all_users))))).all()
