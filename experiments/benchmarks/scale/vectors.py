"""Item and user vectors to search: learned by ALS from made events, drawn around topics, and without any structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions
from recstage.models.factorization.als import ALS, ALSParams

FACTORS, SEEN = 64, 100
TOPICS_PER_ITEM = 1 / 500
USERS = 4000
EVENTS_PER_ITEM = 10
PARAMS = ALSParams(factors=FACTORS, regularization=1.0, alpha=20.0, iterations=4, index="exact")


def learned(n_items: int, seed: int) -> ALS:
    """ALS fitted to `EVENTS_PER_ITEM` events an item: users like three topics and, within one, items by Zipf's law; a
    fifth of what they choose is anything."""
    rng = np.random.default_rng(seed)
    n_users, topics = max(USERS, n_items // 10), _topics(n_items)
    n = EVENTS_PER_ITEM * n_items
    user = np.sort(rng.integers(0, n_users, n))
    liked = rng.integers(0, topics, (n_users, 3))
    topic = liked[user, rng.integers(0, 3, n)]
    place = np.minimum((n_items / topics) ** rng.random(n), n_items / topics - 1).astype(np.int64)  # Zipf's law
    item = np.where(rng.random(n) < 0.8, topic * (n_items // topics) + place, rng.integers(0, n_items, n))
    pairs = np.unique(user * n_items + item)
    rows = _rows(n_users, n_items, pairs // n_items, pairs % n_items)
    return ALS(PARAMS).fit(rows, seed=seed)


def around_topics(n_items: int, seed: int) -> ALS:
    """Vectors spread around topics, longer for popular items; a user lies between three topics."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((_topics(n_items), FACTORS), dtype=np.float32)
    items = centres[rng.integers(0, len(centres), n_items)]
    items += np.float32(0.6) * rng.standard_normal(items.shape, dtype=np.float32)
    items *= rng.lognormal(0, 0.5, (n_items, 1)).astype(np.float32)
    shares = rng.dirichlet((1.0, 0.5, 0.5), USERS).astype(np.float32)
    users = np.einsum("nt,ntd->nd", shares, centres[rng.integers(0, len(centres), (USERS, 3))])
    users += np.float32(0.3) * rng.standard_normal(users.shape, dtype=np.float32)
    return _with_factors(users, items, rng)


def gaussian(n_items: int, seed: int) -> ALS:
    """Independent normal numbers: nothing that an index could use."""
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((n_items, FACTORS), dtype=np.float32)
    return _with_factors(rng.standard_normal((USERS, FACTORS), dtype=np.float32), items, rng)


KINDS: Mapping[str, Callable[[int, int], ALS]] = {
    "learned by ALS": learned,
    "around topics": around_topics,
    "Gaussian": gaussian,
}


def _topics(n_items: int) -> int:
    return max(10, int(n_items * TOPICS_PER_ITEM))


def _with_factors(users: NDArray[np.float32], items: NDArray[np.float32], rng: np.random.Generator) -> ALS:
    """A model with these vectors, whose users have seen `SEEN` of their thousand best items."""
    seen = np.empty((len(users), SEEN), np.int64)
    for row, vector in enumerate(users):
        some = np.unique(rng.integers(0, len(items), 20_000))
        seen[row] = some[np.argsort(-(items[some] @ vector))[: 2 * SEEN : 2]]
    rows = _rows(len(users), len(items), np.repeat(np.arange(len(users)), SEEN), np.sort(seen, axis=1).ravel())
    state = {"user_factors": users, "item_factors": items, "added": np.array(0.0)}
    return ALS.restore(PARAMS, state, rows, Catalogue.empty(rows.items))


def _rows(n_users: int, n_items: int, user: NDArray[np.int64], item: NDArray[np.int64]) -> Interactions:
    users, items = (IdMap(np.arange(n).astype(str).astype(object)) for n in (n_users, n_items))
    return Interactions.from_arrays(users, items, user, item, np.ones(len(user), np.float32))
