"""Batch job: store the Production version's best items for all users it was trained on."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sqlalchemy.engine import URL
from tqdm import tqdm

from recstage import batch, bundle, registry
from recstage.errors import ConfigError
from recstage.models.base import Recommender
from serving.store.db.reader import Reader
from serving.store.db.writer import Writer
from serving.store.repositories.events import now_ms
from serving.store.repositories.precomputed import DeleteStaleLists, PutLists, UserList
from serving.store.training.chosen_users import UserChoice

USERS_PER_BATCH = 200
ALL_USERS = UserChoice()


def precompute(
    url: URL, name: str, *, limit: int, hours: float, users: UserChoice = ALL_USERS, backend: str = "local"
) -> dict[str, Any]:
    """Store a list of `limit` items, valid for `hours`, for each user the Production version of `name` knows.

    Lists of other versions of this model and expired ones are deleted, lists of other models never; users who opted out
    get none. `backend` ray, in a `cluster.session`: lists are made on its cores and stored from here. Raises
    `ConfigError` where the version ranks users for items (nothing is changed then), `NoProduction`, `BundleError`,
    `StoreError`.
    """
    version = registry.production(name)
    folder = registry.fetch(version)
    model = bundle.load(folder).model
    if model.reverse:
        raise ConfigError(
            f"name={name}",
            rule=f"version {version.number} ranks users for items, and lists are stored of items for users",
            fix="Name a model that ranks items, or leave the name out",
        )
    expires_at = now_ms() + int(hours * 3_600_000)
    reader = Reader(url)
    try:
        user_ids = users.among(model.train_, reader)
    finally:
        reader.close()
    writer = Writer(url, busy_timeout=10.0)
    stored = 0
    try:
        starts = tqdm(range(0, len(user_ids), USERS_PER_BATCH), desc="precompute", disable=None, delay=2)
        asked = (user_ids[start : start + USERS_PER_BATCH] for start in starts)
        for some in batch.each_by(backend, folder)(partial(precompute_lists, limit=limit), model, asked):
            stored += writer.submit(PutLists(name, str(version.number), some, expires_at)).result()
        removed = writer.submit(DeleteStaleLists(name, keep=str(version.number))).result()
    finally:
        writer.close()
    found = {"name": name, "model_version": str(version.number), "users": len(user_ids)}
    return {**found, "lists": stored, "removed_rows": removed}


def precompute_lists(model: Recommender, user_ids: np.ndarray, limit: int) -> list[UserList]:
    """The lists of some users, from what the model learnt of them in training."""
    ranking = model.rank(model.known(user_ids), limit)
    lists = []
    for user_id, items, scores, method in zip(user_ids, ranking.items, ranking.scores, ranking.methods, strict=True):
        kept = items >= 0
        lists.append(
            UserList(str(user_id), model.items.id_of(items[kept]).tolist(), scores[kept].tolist(), str(method))
        )
    return lists
