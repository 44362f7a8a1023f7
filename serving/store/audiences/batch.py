"""Batch job: store the users for popular items, by the Production version of the reverse model."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import URL
from tqdm import tqdm

from recstage import batch, bundle, registry
from recstage.data.interactions import Interactions
from recstage.errors import ConfigError
from serving.store.audiences.stored import AudienceList, DeleteStaleAudiences, PutAudiences
from serving.store.db.writer import Writer
from serving.store.repositories.events import now_ms
from serving.store.training.batch_recommendations import precompute_lists

ITEMS_PER_BATCH = 200


def precompute_audiences(
    url: URL, name: str, *, top: int, min_likes: int, limit: int, hours: float, backend: str = "local"
) -> dict[str, Any]:
    """Store `limit` users, valid for `hours`, for each of the `top` items that most users liked.

    Items that fewer than `min_likes` users liked are left out: the service ranks users for those by content. Audiences
    of other versions of this model and expired ones are deleted; lists of items for users are never touched. `backend`
    ray, in a `cluster.session`: they are made on its cores and stored from here. Raises `ConfigError` where the version
    does not rank users for items (nothing is changed then), `NoProduction`, `BundleError`, `StoreError`.
    """
    version = registry.production(name)
    folder = registry.fetch(version)
    model = bundle.load(folder).model
    if not model.reverse:
        raise ConfigError(
            f"reverse_model_name={name}",
            rule=f"version {version.number} ranks items for users, and audiences are users for an item",
            fix="Name a model that ranks users, such as one trained with recstage train reverse-als",
        )
    item_ids = popular_items(model.train_, top, min_likes)
    expires_at = now_ms() + int(hours * 3_600_000)
    writer = Writer(url, busy_timeout=10.0)
    stored = 0
    try:
        starts = tqdm(range(0, len(item_ids), ITEMS_PER_BATCH), desc="audiences", disable=None, delay=2)
        asked = (item_ids[start : start + ITEMS_PER_BATCH] for start in starts)
        # the reverse model was trained with the roles exchanged: its users are items, its items are users
        for lists in batch.each_by(backend, folder)(partial(precompute_lists, limit=limit), model, asked):
            found = [AudienceList(one.user_id, one.item_ids, one.scores, one.method) for one in lists]
            stored += writer.submit(PutAudiences(name, str(version.number), found, expires_at)).result()
        removed = writer.submit(DeleteStaleAudiences(name, keep=str(version.number))).result()
    finally:
        writer.close()
    return {"name": name, "model_version": str(version.number), "audiences": stored, "removed_rows": removed}


def popular_items(train: Interactions, top: int, min_likes: int) -> NDArray[np.object_]:
    """Ids of the `top` items that most users liked, most first; `train` has the roles exchanged."""
    likes = np.bincount(train.user_index[train.weight > 0], minlength=train.n_users)
    most = np.argsort(-likes, kind="stable")[:top]
    return train.users.ids[most[likes[most] >= min_likes]]
