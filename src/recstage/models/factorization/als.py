"""Implicit-feedback matrix factorisation by alternating least squares.

The model of Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), solved by the
conjugate-gradient steps of the `implicit` library; the regularisation may grow with the interactions of a user or item,
as in Rendle, Krichene, Zhang and Koren, "Revisiting the Performance of iALS on Item Recommendation Benchmarks" (2021).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from threadpoolctl import threadpool_limits

from recstage.data.interactions import IdMap, Interactions, Users
from recstage.models import base
from recstage.models.content.vector_map import from_content
from recstage.models.explanation import by_history
from recstage.models.factorization.fixed_side import FixedSide
from recstage.models.growth import Growth, carried_over
from recstage.models.recent_items import recent
from recstage.models.vectors.dot_product import DotProduct, DotProductParams
from recstage.models.vectors.targets import Targets

log = logging.getLogger(__name__)

SPREAD = 1.5
SWEEPS = 2
"""Times that an update solves users and items: the second takes in what new users and new items say of each other."""
LOSS_PAIRS = 20_000
"""Interactions that the reported loss is measured on, evenly chosen."""
"""Rows whose total confidences differ by at most this factor share one regularisation.

The compiled solver takes a single regularisation: it is then called once for each group of rows.
"""


class ALSParams(DotProductParams):
    """Hyperparameters of `ALS`."""

    factors: int = Field(128, ge=1, le=2048, description="length of the vectors")
    regularization: float = Field(40.0, gt=0, description="weight of the squared length of the vectors")
    alpha: float = Field(3.0, gt=0, description="confidence in an interaction of weight w is 1 + alpha * w")
    iterations: int = Field(15, ge=1, description="alternations between users and items")
    length_discount: float = Field(
        0.0,
        ge=0,
        le=1,
        description="scores are divided by the length of the item's vector to this power: demotes popular items",
    )
    recency_decay: float = Field(
        0.0, ge=0, description="the weight of a user's n-th last choice is divided by n**recency_decay"
    )
    frequency_scaling: float = Field(
        0.0,
        ge=0,
        le=1,
        description="regularization grows with a row's total confidence to this power; 0: equal for all",
    )


class ALS(DotProduct):
    """Users and items as vectors whose dot product is the preference."""

    name = "als"
    Params = ALSParams
    folds_in = True
    warm_starts = True
    fits_on_spark = True
    minimum_positives = 2

    user_factors_: NDArray[np.float32]
    item_factors_: NDArray[np.float32]

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        extra = self._extra(train.all_users)
        fit = self._on_spark if fitting.backend == "spark" else self._here
        self._set(*fit(extra, train, fitting), float(extra.sum(dtype=np.float64)))
        self._build_index()

    def _on_spark(
        self, extra: sparse.csr_matrix, train: Interactions, fitting: base.Fitting
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        from recstage.models.factorization.spark_als import factors_by_spark

        params, began = self.params, perf_counter()
        if params.frequency_scaling != 1:
            log.info(
                "%s on Spark: a row is regularised by its number of interactions, not by its confidence", self.name
            )
        found = factors_by_spark(extra, params.factors, params.regularization, params.iterations, fitting.seed)
        loss = _SquaredError.of(extra, None, None)(*found)
        fitting.report(params.iterations, {"loss": loss, "seconds": perf_counter() - began})
        return found

    def _here(
        self, extra: sparse.csr_matrix, train: Interactions, fitting: base.Fitting
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        import implicit.cpu.als  # imported by a fit only: the service does not load it

        params = self.params
        transposed = extra.T.tocsr()
        by_user = _Groups.of(extra, params.regularization, params.frequency_scaling)
        by_item = _Groups.of(transposed, params.regularization, params.frequency_scaling)
        users_of = by_user.prepare(extra, by_item.order)
        items_of = by_item.prepare(transposed, by_user.order)
        random = np.random.default_rng(fitting.seed)
        users = _small(random, train.n_users, params.factors)
        items = _small(random, train.n_items, params.factors)
        if fitting.start is not None:
            old = fitting.start
            _copy_known(users, _ordered(train.users, by_user.order), old.user_factors_, old.train_.users)
            _copy_known(items, _ordered(train.items, by_item.order), old.item_factors_, old.train_.items)
        error = _SquaredError.of(extra, by_user.order, by_item.order)
        threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
        with threadpool_limits(1, "blas"):  # the solver has its own threads
            solve = implicit.cpu.als.AlternatingLeastSquares(params.factors, num_threads=threads).solver
            for iteration in range(1, params.iterations + 1):
                began = perf_counter()
                for rows, regularization, confidence in users_of:
                    solve(confidence, users[rows], items, regularization, num_threads=threads)
                for rows, regularization, confidence in items_of:
                    solve(confidence, items[rows], users, regularization, num_threads=threads)
                seconds = perf_counter() - began
                fitting.report(iteration, {"loss": error(users, items), "seconds": seconds})
        return by_user.restore(users), by_item.restore(items)

    def _update(self, before: Self, fitting: base.Fitting) -> None:
        """Vectors of new users and items (with `fitting.refresh` also of those whose rows changed) are the exact
        solutions of their normal equations, the other side fixed, first users, then items, `SWEEPS` times; new items
        without events get theirs from their content."""
        train = self.train_
        growth = Growth.between(before.train_, train)
        extra = self._extra(train.all_users)
        by_item = extra.T.tocsr()
        added = float(extra.sum(dtype=np.float64))
        users = carried_over(before.user_factors_, growth.old_user)
        items = carried_over(before.item_factors_, growth.old_item)
        chosen = np.diff(by_item.indptr) > 0
        rows = np.flatnonzero(growth.changed_user if fitting.refresh else growth.old_user < 0)
        columns = np.flatnonzero(chosen & (growth.changed_item if fitting.refresh else growth.old_item < 0))
        row_mean = train.n_items + added / max(1, train.n_users)
        column_mean = train.n_users + added / max(1, train.n_items)
        with threadpool_limits(1, "blas"):
            for _ in range(SWEEPS):
                users[rows] = self._side(items, row_mean).solve(extra[rows])
                items[columns] = self._side(users, column_mean).solve(by_item[columns])
        unheard = ~chosen & (growth.old_item < 0)
        self._set(users, from_content(items, ~unheard, fitting.catalogue, fitting.seed), added)
        self._build_index()

    def item_vectors(self) -> NDArray[np.float32]:
        return self.item_factors_

    def explain(self, users: Users, item: int) -> base.Explanation:
        """The contribution of each item of the history."""
        known, added = self.contributions(users, item)
        return by_history(self.name, self.train_, self.catalogue_, item, known, added)

    def contributions(self, users: Users, item: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Items of the one user's history, and the contribution of each to the score of `item`: int32[h], float32[h].

        Hu, Koren and Volinsky, section 5.
        """
        extra = self._extra(users)
        left, _ = self._item_side.equations(extra.indices, extra.data)
        item_similarity = self.item_factors_[extra.indices] @ np.linalg.solve(left, self.targets_.of(np.array(item)))
        return extra.indices, item_similarity * (1 + extra.data)

    # -- users and items unknown to training --------------------------------------------------------------------------

    def user_vectors(self, users: Users) -> NDArray[np.float32]:
        """Vectors of users, float32[n, factors]: trained, or solved from the history for unknown users (index -1)."""
        vectors = self.user_factors_[users.index]
        if len(users) == 1 and users.index[0] >= 0:
            return vectors
        unknown = np.flatnonzero(users.index < 0)
        if len(unknown):
            vectors[unknown] = self._item_side.solve(
                self._extra(users if len(unknown) == len(users) else users.take(unknown))
            )
        return vectors

    def fold_in_items(self, likes: sparse.csr_matrix) -> NDArray[np.float32]:
        """Vectors of new items from the weights of the trained users who liked them (csr[n, n_users]).

        Returns float32[n, factors]; dot products with `user_vectors` are scores (if `length_discount` is 0).
        """
        return self._user_side.solve((likes * np.float32(self.params.alpha)).tocsr())

    # -- saving -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, NDArray]:
        factors = {"user_factors": self.user_factors_, "item_factors": self.item_factors_}
        return {**factors, "added": np.array(self._added), **self.index_state()}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        if "added" in state:
            added = float(state["added"])
        else:  # saved before it was kept
            added = float(self._extra(self.train_.all_users).sum(dtype=np.float64))
        self._set(state["user_factors"], state["item_factors"], added)
        self._load_index(state)

    def _set(self, user_factors: NDArray[np.float32], item_factors: NDArray[np.float32], added: float) -> None:
        """`added`: the total confidence of all interactions, beyond 1 for each pair."""
        self.user_factors_, self.item_factors_, self._added = user_factors, item_factors, added
        self.targets_ = Targets(item_factors, _length_scale(item_factors, self.params.length_discount))
        n_users, n_items = self.train_.n_users, self.train_.n_items
        self._item_side = self._side(item_factors, n_items + added / max(1, n_users))
        self._user_side = self._side(user_factors, n_users + added / max(1, n_items))

    def _side(self, factors: NDArray[np.float32], mean_confidence: float) -> FixedSide:
        return FixedSide(factors, self.params.regularization, self.params.frequency_scaling, mean_confidence)

    def _extra(self, users: Users) -> sparse.csr_matrix:
        """Confidence of interactions, beyond 1: float32[n, n_items]."""
        return recent(users, self.params.recency_decay) * np.float32(self.params.alpha)


def _length_scale(factors: NDArray[np.float32], discount: float) -> NDArray[np.float32] | None:
    """What each item's scores are multiplied by: its vector's length to the power of minus `discount`; None: 1."""
    if discount == 0:
        return None
    return np.maximum(np.linalg.norm(factors, axis=1), np.float32(1e-12)) ** np.float32(-discount)


# -- training: rows sorted by total confidence, in groups of one regularisation ----------------------------------------


@dataclass(frozen=True)
class _Groups:
    """`order` sorts rows by total confidence, highest first; each group is a slice of it and its regularization.

    Without an order (None) the rows are one group.
    """

    order: NDArray[np.int64] | None
    groups: list[tuple[slice, float]]

    @classmethod
    def of(cls, extra: sparse.csr_matrix, regularization: float, exponent: float) -> _Groups:
        """Rows regularised by (total confidence / mean)**exponent; one group if that is nearly 1 for all."""
        rows = extra.shape[0]
        confidence = _confidence(extra)
        if exponent == 0 or confidence.max() <= SPREAD * confidence.min():
            return cls(None, [(slice(0, rows), regularization)])
        order = np.argsort(-confidence, kind="stable")
        steps = np.log(confidence[order[0]] / confidence[order]) // np.log(SPREAD)
        edges = np.concatenate([[0], 1 + np.flatnonzero(np.diff(steps)), [rows]])
        share = (confidence[order] / confidence.mean()) ** exponent
        bounds = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        return cls(order, [(slice(a, b), regularization * float(share[a:b].mean())) for a, b in bounds])

    def prepare(
        self, extra: sparse.csr_matrix, columns: NDArray[np.int64] | None
    ) -> list[tuple[slice, float, sparse.csr_matrix]]:
        """Each group with its confidences: rows in this order, columns in the order of the other side."""
        confidence = extra.copy() if self.order is None else extra[self.order]
        if columns is not None:
            confidence.indices = np.argsort(columns).astype(confidence.indices.dtype)[confidence.indices]
            confidence.has_sorted_indices = False
        confidence.data += 1
        return [(rows, regularization, confidence[rows]) for rows, regularization in self.groups]

    def restore(self, factors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows in their original order."""
        if self.order is None:
            return factors
        out = np.empty_like(factors)
        out[self.order] = factors
        return out


@dataclass(frozen=True)
class _SquaredError:
    """The mean over all pairs of confidence times squared error, what the iterations make smaller (with the penalty).

    All pairs count as if they were not chosen, by the factors' Gram matrices; the chosen ones are then corrected by at
    most `LOSS_PAIRS` of them (`row`, `column`, `extra` confidence), each of which stands for `share` interactions.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    extra: NDArray[np.float32]
    share: float

    @classmethod
    def of(
        cls, extra: sparse.csr_matrix, rows: NDArray[np.int64] | None, columns: NDArray[np.int64] | None
    ) -> _SquaredError:
        """`rows` and `columns`: the orders of the factors."""
        entries = np.unique(np.linspace(0, max(0, extra.nnz - 1), min(extra.nnz, LOSS_PAIRS)).astype(np.int64))
        row = np.searchsorted(extra.indptr, entries, side="right") - 1
        column = extra.indices[entries].astype(np.int64)
        row = row if rows is None else np.argsort(rows)[row]
        column = column if columns is None else np.argsort(columns)[column]
        return cls(row, column, extra.data[entries], extra.nnz / max(1, len(entries)))

    def __call__(self, users: NDArray[np.float32], items: NDArray[np.float32]) -> float:
        score = np.einsum("ij,ij->i", users[self.row], items[self.column], dtype=np.float64)
        everything = float(((users.T @ users).astype(np.float64) * (items.T @ items)).sum())
        chosen = float(((1 + self.extra) * (1 - score) ** 2 - score**2).sum())
        return (everything + self.share * chosen) / (len(users) * len(items))


def _confidence(extra: sparse.csr_matrix) -> NDArray[np.float64]:
    """Total confidence of each row: 1 for every column, plus that of its interactions."""
    return extra.shape[1] + np.asarray(extra.sum(axis=1), np.float64).ravel()


def _ordered(ids: IdMap, order: NDArray[np.int64] | None) -> NDArray[np.object_]:
    return ids.ids if order is None else ids.ids[order]


def _copy_known(
    vectors: NDArray[np.float32], ids: NDArray[np.object_], old: NDArray[np.float32], old_ids: IdMap
) -> None:
    """Let the rows whose ids an older model knew begin where it ended, unless its vectors have another length."""
    if old.shape[1] != vectors.shape[1]:
        return
    place = old_ids.index_of(ids)
    vectors[place >= 0] = old[place[place >= 0]]


def _small(random: np.random.Generator, rows: int, factors: int) -> NDArray[np.float32]:
    return random.random((rows, factors), dtype=np.float32) * np.float32(0.01)
