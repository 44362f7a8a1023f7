"""Small data sets for which it is known what ranks well."""

from __future__ import annotations

import numpy as np

from recstage.data.interactions import IdMap, Interactions

CLOCK = 1_600_000_000
HOUR = 3600


def interactions(
    user: np.ndarray,
    item: np.ndarray,
    n_items: int,
    *,
    weight: np.ndarray | None = None,
    time: np.ndarray | None = None,
) -> Interactions:
    """Rows over users 0, 1, ... and items 0, 1, ..., the first of equal pairs kept; time is the place in a history."""
    n_users = int(user.max()) + 1
    _, first = np.unique(user * n_items + item, return_index=True)
    kept = np.sort(first)
    place = np.arange(len(user)) if time is None else time
    return Interactions.from_arrays(
        IdMap(np.array([f"u{i}" for i in range(n_users)], dtype=object)),
        IdMap(np.array([f"i{i}" for i in range(n_items)], dtype=object)),
        user[kept],
        item[kept],
        None if weight is None else weight[kept],
        place[kept],
    )


def chains(
    n_users: int = 150, n_items: int = 40, length: int = 14, seed: int = 0, *, clock: bool = False
) -> Interactions:
    """All users walk around one ring of items from a random place, one step in five at random.

    The next item depends on the last one alone, and all items are equally popular.
    """
    random = np.random.default_rng(seed)
    item = np.empty((n_users, length), np.int64)
    item[:, 0] = random.integers(0, n_items, n_users)
    for step in range(1, length):
        wandering = random.random(n_users) < 0.2
        item[:, step] = np.where(wandering, random.integers(0, n_items, n_users), (item[:, step - 1] + 1) % n_items)
    user = np.repeat(np.arange(n_users), length)
    place = np.tile(np.arange(length), n_users)
    start = np.repeat(random.integers(0, 24 * 10, n_users), length)
    time = CLOCK + HOUR * (start + place * 48) if clock else place
    return interactions(user, item.ravel(), n_items, time=time)


def disappointing(n_users: int = 200, n_items: int = 60, length: int = 12, seed: int = 0) -> Interactions:
    """Items below 30 are seen five times as often as the others, and dismissed four times out of five: liked alike."""
    random = np.random.default_rng(seed)
    chance = np.where(np.arange(n_items) < 30, 5.0, 1.0)
    rows = [random.choice(n_items, length, replace=False, p=chance / chance.sum()) for _ in range(n_users)]
    item, user = np.concatenate(rows), np.repeat(np.arange(n_users), length)
    weight = np.where((item < 30) & (random.random(len(item)) < 0.8), 0.0, 1.0).astype(np.float32)
    return interactions(user, item, n_items, weight=weight, time=np.tile(np.arange(length), n_users))


def without_last(rows: Interactions) -> tuple[Interactions, Interactions]:
    """The rows without each user's last, and the last rows."""
    last = np.zeros(len(rows), bool)
    last[rows.indptr[1:][rows.lengths > 0] - 1] = True
    return rows.select(~last), rows.select(last)
