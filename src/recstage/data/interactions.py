"""Interactions as arrays: ids become indices here, once, and all other modules use indices.

One row per (user, item) pair, sorted by user and, within a user, by time. A pair's weight is how strong the signal
is; a weight of zero or less is a dismissal: the item counts as seen and never as liked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recstage.data.tables.values.columns import NO_COLUMNS, Columns, no_columns, stacked, taken
from recstage.errors import DataError

FEW_IDS = 32
"""Up to so many ids are looked up one after the other: looking them up together costs some 40 us, each alone one."""


class IdMap:
    """External ids (text) to internal indices (0, 1, ...) and back."""

    @classmethod
    def of_size(cls, n: int) -> IdMap:
        """A map of which only the number of ids matters: they are never looked up."""
        return _Unnamed(n)

    def __init__(self, ids: ArrayLike) -> None:
        self.ids: NDArray[np.object_] = np.asarray(ids, dtype=object)
        self.ids.flags.writeable = False
        self._index = pd.Index(self.ids, dtype=object)  # left to infer, pandas makes text that is slower to look up
        if not self._index.is_unique:
            twice = self._index[self._index.duplicated()][0]
            raise DataError(f"id '{twice}' twice", rule="ids are unique", fix="Remove the duplicate")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, external: str) -> bool:
        return external in self._index

    def index_of(self, externals: ArrayLike) -> NDArray[np.int32]:
        """Indices of external ids, -1 where an id is unknown."""
        wanted = np.asarray(externals, dtype=object)
        if wanted.ndim == 1 and len(wanted) <= FEW_IDS:
            return np.fromiter(map(self.find, wanted), np.int32, len(wanted))
        found = self._index.get_indexer(pd.Index(wanted.ravel(), dtype=object))
        return found.astype(np.int32).reshape(wanted.shape)

    def find(self, external: str) -> int:
        """`index_of` for a single id, without the cost of arrays."""
        try:
            return cast(int, self._index.get_loc(external))
        except KeyError:
            return -1

    def id_of(self, indices: ArrayLike) -> NDArray[np.object_]:
        """External ids of internal indices."""
        return self.ids[np.asarray(indices)]


class _Unnamed(IdMap):
    def __init__(self, n: int) -> None:
        self._n = n

    def __len__(self) -> int:
        return self._n


@dataclass(frozen=True, eq=False)
class Users:
    """A batch of users as a model sees them: who they are and what they have done so far, oldest first.

    `index` is the row in training, or -1 for users unknown to the model. The history of the i-th user is
    `items[indptr[i]:indptr[i + 1]]`, with `weights` and `timestamps` of the same length.
    """

    index: NDArray[np.int32]
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    n_items: int
    ordered: bool = True
    """Whether histories are in an order of time; false: any order of their items says as much as another."""
    given: Columns = field(default_factory=no_columns)
    """What a request says of each user, by `profile.NAME` and `context.NAME`."""
    profile_index: NDArray[np.int32] | None = None
    """The row in training whose profile is the user's, where `index` is -1 because the history has grown."""
    stored_matrix: sparse.csr_matrix | None = None
    """`matrix` where it lies ready, mapped from disk."""

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Number of known items of each user."""
        return np.diff(self.indptr)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """For every entry of the histories, the row (position in this batch) it belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def seen(self) -> sparse.csr_matrix:
        """One where a user knows an item, dismissed ones included: bool[n, n_items]."""
        return self._csr(np.ones(len(self.items), dtype=bool))

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """Positive weights only: float32[n, n_items], canonical (indices sorted)."""
        if self.stored_matrix is not None:
            return self.stored_matrix
        matrix = self._csr(np.maximum(self.weights, 0))
        matrix.eliminate_zeros()
        return matrix

    def _csr(self, values: np.ndarray) -> sparse.csr_matrix:
        shape = (len(self), self.n_items)
        matrix = sparse.csr_matrix(
            (values, self.items.astype(np.int32), self.indptr.astype(np.int32)), shape=shape, copy=True
        )
        matrix.sort_indices()
        return matrix

    def take(self, rows: ArrayLike) -> Users:
        """The same users in another order, or fewer of them."""
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        lengths = self.lengths[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        entries = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        return Users(
            self.index[rows],
            indptr,
            self.items[entries],
            self.weights[entries],
            self.timestamps[entries],
            self.n_items,
            self.ordered,
            taken(self.given, rows),
            None if self.profile_index is None else self.profile_index[rows],
        )

    @property
    def profile_rows(self) -> NDArray[np.int32]:
        """The row in training whose profile is each user's, -1: none."""
        return self.index if self.profile_index is None else self.profile_index

    @classmethod
    def concatenated(cls, batches: Sequence[Users]) -> Users:
        """The users of several batches (at least one) over the same items, in their order."""
        lengths = np.concatenate([one.lengths for one in batches])
        return cls(
            np.concatenate([one.index for one in batches]),
            np.concatenate([[0], np.cumsum(lengths)]),
            np.concatenate([one.items for one in batches]),
            np.concatenate([one.weights for one in batches]),
            np.concatenate([one.timestamps for one in batches]),
            batches[0].n_items,
            all(one.ordered for one in batches),
            stacked([(one.given, len(one)) for one in batches]),
            np.concatenate([one.profile_rows for one in batches]),
        )

    @classmethod
    def unknown(
        cls, n_items: int, items: ArrayLike = (), weights: ArrayLike | None = None, timestamps: ArrayLike | None = None
    ) -> Users:
        """One user who is not in training, with what they have done since (nothing by default), oldest first."""
        known = np.asarray(items, dtype=np.int32)
        return cls(
            np.array([-1], dtype=np.int32),
            np.array([0, len(known)], dtype=np.int64),
            known,
            np.ones(len(known), np.float32) if weights is None else np.asarray(weights, np.float32),
            np.arange(len(known), dtype=np.int64) if timestamps is None else np.asarray(timestamps, np.int64),
            n_items,
        )


@dataclass(frozen=True, eq=False)
class Interactions:
    """An immutable set of (user, item) pairs over fixed id maps.

    Arrays are aligned, sorted by (`user_index`, `timestamp`), one row a pair: `user_index` int32[n], `item_index`
    int32[n], `weight` float32[n] (<= 0: dismissed), `timestamp` int64[n] (seconds since 1970, or a rank in time).
    `ordered` is false where nothing says what a user did first: then the place of a row among the user's others means
    nothing, and neither do recency and sequence. `profiles` are attributes, one value a user of the id map; `context`
    is what each row's event said of its moment (device, page, ...), one value a row.
    """

    users: IdMap
    items: IdMap
    user_index: NDArray[np.int32]
    item_index: NDArray[np.int32]
    weight: NDArray[np.float32]
    timestamp: NDArray[np.int64]
    ordered: bool = True
    profiles: Columns = field(default_factory=no_columns)
    context: Columns = field(default_factory=no_columns)
    stored_matrix: sparse.csr_matrix | None = None
    """`matrix` where it lies ready, mapped from disk; its arrays are not to be written to."""

    def __post_init__(self) -> None:
        for values in (self.user_index, self.item_index, self.weight, self.timestamp):
            values.flags.writeable = False

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, *, users: IdMap | None = None, items: IdMap | None = None, ordered: bool = True
    ) -> Interactions:
        """From columns user_id, item_id and optionally weight, timestamp: one row a pair. Ids are sorted, so that
        equal data gives equal indices whatever the order of its rows. Raises `DataError` on a pair given twice."""
        user_id, item_id = frame["user_id"].astype(str), frame["item_id"].astype(str)
        users = users or IdMap(np.sort(user_id.unique().astype(object)))
        items = items or IdMap(np.sort(item_id.unique().astype(object)))
        n = len(frame)
        weight = frame["weight"].to_numpy(np.float32) if "weight" in frame else np.ones(n, np.float32)
        timestamp = frame["timestamp"].to_numpy(np.int64) if "timestamp" in frame else np.zeros(n, np.int64)
        user, item = users.index_of(user_id), items.index_of(item_id)
        return cls.from_arrays(users, items, user, item, weight, timestamp, ordered=ordered)

    @classmethod
    def from_arrays(
        cls,
        users: IdMap,
        items: IdMap,
        user_index: ArrayLike,
        item_index: ArrayLike,
        weight: ArrayLike | None = None,
        timestamp: ArrayLike | None = None,
        *,
        ordered: bool = True,
        profiles: Columns = NO_COLUMNS,
        context: Columns = NO_COLUMNS,
    ) -> Interactions:
        """From indices; sorts by user and time (stable). Raises `DataError` on unknown ids and on pairs given twice."""
        user, item = np.array(user_index, np.int32), np.array(item_index, np.int32)
        if len(user) and (min(user.min(), item.min()) < 0 or user.max() >= len(users) or item.max() >= len(items)):
            raise DataError(
                "an id outside the id maps", rule="every row's ids are known", fix="Build the maps from all rows"
            )
        weight = np.ones(len(user), np.float32) if weight is None else np.array(weight, np.float32)
        timestamp = np.zeros(len(user), np.int64) if timestamp is None else np.array(timestamp, np.int64)
        pair = np.sort(user.astype(np.int64) * len(items) + item)
        if (pair[1:] == pair[:-1]).any():
            raise DataError("a (user, item) pair twice", rule="one row a pair", fix="Aggregate repeats first")
        return cls.of_pairs(
            users, items, user, item, weight, timestamp, ordered=ordered, profiles=profiles, context=context
        )

    @classmethod
    def of_pairs(
        cls,
        users: IdMap,
        items: IdMap,
        user: NDArray[np.int32],
        item: NDArray[np.int32],
        weight: NDArray[np.float32],
        timestamp: NDArray[np.int64],
        *,
        ordered: bool,
        profiles: Columns = NO_COLUMNS,
        context: Columns = NO_COLUMNS,
    ) -> Interactions:
        """As `from_arrays` of pairs that are known to be different and inside the id maps; rows that come in order, or
        in several runs of it, are not sorted again."""
        order = _order(user, timestamp)
        if order is None:
            return cls(users, items, user, item, weight, timestamp, ordered, profiles, context)
        columns = (user[order], item[order], weight[order], timestamp[order])
        return cls(users, items, *columns, ordered, profiles, taken(context, order))

    @classmethod
    def stored(
        cls,
        users: IdMap,
        items: IdMap,
        user_index: NDArray[np.int32],
        item_index: NDArray[np.int32],
        weight: NDArray[np.float32],
        timestamp: NDArray[np.int64],
        *,
        ordered: bool,
        profiles: Columns,
        indptr: NDArray[np.int64],
        matrix: sparse.csr_matrix | None,
    ) -> Interactions:
        """Rows that lie ready in order, with what is counted from them: nothing is sorted, checked or copied."""
        columns = (user_index, item_index, weight, timestamp)
        rows = cls(users, items, *columns, ordered, profiles, stored_matrix=matrix)
        rows.__dict__["indptr"] = indptr  # as `cached_property` keeps it
        return rows

    def __len__(self) -> int:
        return len(self.user_index)

    @property
    def n_users(self) -> int:
        return len(self.users)

    @property
    def n_items(self) -> int:
        return len(self.items)

    @cached_property
    def indptr(self) -> NDArray[np.int64]:
        """Offsets of each user's rows: int64[n_users + 1]."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.user_index, minlength=self.n_users))])

    @cached_property
    def all_users(self) -> Users:
        """Every user of the id map with these rows as history."""
        index = np.arange(self.n_users, dtype=np.int32)
        columns = (self.item_index, self.weight, self.timestamp)
        return Users(index, self.indptr, *columns, self.n_items, self.ordered, stored_matrix=self.stored_matrix)

    def of(self, user_index: ArrayLike) -> Users:
        """The given users with these rows as history."""
        return self.all_users.take(np.asarray(user_index, dtype=np.int64))

    @property
    def matrix(self) -> sparse.csr_matrix:
        """Positive weights: float32[n_users, n_items], canonical."""
        return self.all_users.matrix

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each user."""
        return np.diff(self.indptr)

    @cached_property
    def item_counts(self) -> NDArray[np.int64]:
        """Positive rows of each item: int64[n_items]."""
        return np.bincount(self.item_index[self.weight > 0], minlength=self.n_items)

    def select(self, mask: ArrayLike) -> Interactions:
        """The rows where `mask` holds, over the same id maps."""
        keep = np.asarray(mask)
        return Interactions(
            self.users,
            self.items,
            self.user_index[keep],
            self.item_index[keep],
            self.weight[keep],
            self.timestamp[keep],
            self.ordered,
            self.profiles,
            taken(self.context, keep),
        )

    def shuffled(self, seed: int) -> Interactions:
        """Each user's rows in an order drawn at random; only for rows that say nothing of what came first."""
        drawn = np.random.default_rng(seed).random(len(self))
        return self.select(np.lexsort((drawn, self.user_index)))

    def union(self, other: Interactions) -> Interactions:
        """The rows of both (they must share id maps and no pair)."""
        return Interactions.of_pairs(
            self.users,
            self.items,
            np.concatenate([self.user_index, other.user_index]),
            np.concatenate([self.item_index, other.item_index]),
            np.concatenate([self.weight, other.weight]),
            np.concatenate([self.timestamp, other.timestamp]),
            ordered=self.ordered and other.ordered,
            profiles=self.profiles,
            context=stacked([(self.context, len(self)), (other.context, len(other))]),
        )

    def transposed(self) -> Interactions:
        """The same rows with users and items in each other's place."""
        return Interactions.from_arrays(
            self.items,
            self.users,
            self.item_index,
            self.user_index,
            self.weight,
            self.timestamp,
            ordered=self.ordered,
        )

    def to_frame(self) -> pd.DataFrame:
        """Columns user_id, item_id, weight, timestamp."""
        return pd.DataFrame(
            {
                "user_id": self.users.id_of(self.user_index),
                "item_id": self.items.id_of(self.item_index),
                "weight": self.weight,
                "timestamp": self.timestamp,
            }
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over ids and rows, first 16 hexadecimal digits: equal data, equal fingerprint."""
        digest = hashlib.sha256()
        for ids in (self.users.ids, self.items.ids):
            digest.update("\x00".join(ids.tolist()).encode())
            digest.update(b"\x01")
        for values in (self.user_index, self.item_index, self.weight, self.timestamp):
            digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()[:16]


def _order(user: NDArray[np.int32], timestamp: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """What sorts rows by user and time (stable); None where they are sorted. Runs of users are merged before times are
    looked at, since the parts of a split mostly follow each other in every user."""
    if _is_sorted(user, timestamp):
        return None
    order = np.argsort(user, kind="stable")
    return order if _is_sorted(user[order], timestamp[order]) else np.lexsort((timestamp, user))


def _is_sorted(user: NDArray[np.int32], timestamp: NDArray[np.int64]) -> bool:
    later = timestamp[1:] >= timestamp[:-1]
    return bool(((user[1:] > user[:-1]) | ((user[1:] == user[:-1]) & later)).all())
