"""Implicit-feedback matrix factorisation by alternating least squares.

The model of Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008), solved by the
conjugate-gradient steps of the `implicit` library; the regularisation may grow with what is known of a user or item, as
in Rendle, Krichene, Zhang and Koren, "Revisiting the Performance of iALS on Item Recommendation Benchmarks" (2021).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from recstage.data.interactions import Interactions, Users
from recstage.models import base

GROUPS = 24
"""Rows of like confidence share one regularisation, so that a compiled solver with a single one can be used."""
SOLVED_AT_ONCE = 256
"""Users folded in together: bounds the memory of their normal equations."""


class ALSParams(base.ModelParams):
    """Hyperparameters of `ALS`."""

    factors: int = Field(128, ge=1, le=2048, description="length of the vectors")
    regularization: float = Field(40.0, ge=0, description="weight of the squared length of the vectors")
    alpha: float = Field(3.0, gt=0, description="confidence in an interaction of weight w is 1 + alpha * w")
    iterations: int = Field(15, ge=1, description="alternations between users and items")
    frequency_scaling: float = Field(
        0.0,
        ge=0,
        le=1,
        description="exponent by which regularization grows with a row's total confidence; 0: alike for all",
    )


class ALS(base.Recommender):
    """Users and items as vectors whose dot product is the preference."""

    name = "als"
    Params = ALSParams
    folds_in = True
    minimum_positives = 2

    user_factors_: NDArray[np.float32]
    item_factors_: NDArray[np.float32]

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        import implicit.cpu.als  # serving never trains, and shall not load it

        params = self.params
        extra = train.matrix * np.float32(params.alpha)
        by_user = _Groups.of(extra, params.regularization, params.frequency_scaling)
        by_item = _Groups.of(extra.T.tocsr(), params.regularization, params.frequency_scaling)
        users_of = by_user.prepare(extra, by_item.order)
        items_of = by_item.prepare(extra.T.tocsr(), by_user.order)
        random = np.random.default_rng(fitting.seed)
        users = _small(random, train.n_users, params.factors)
        items = _small(random, train.n_items, params.factors)
        threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
        with threadpool_limits(1, "blas"):  # the solver brings its own threads
            solve = implicit.cpu.als.AlternatingLeastSquares(params.factors, num_threads=threads).solver
            for iteration in tqdm(range(1, params.iterations + 1), desc="ALS", disable=None, leave=False):
                began = perf_counter()
                for rows, regularization, confidence in users_of:
                    solve(confidence, users[rows], items, regularization, num_threads=threads)
                for rows, regularization, confidence in items_of:
                    solve(confidence, items[rows], users, regularization, num_threads=threads)
                fitting.report(iteration, {"seconds": perf_counter() - began})
        self._set(by_user.restore(users), by_item.restore(items))

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        vectors = self.user_vectors(users)
        if items is None or items.ndim == 1:
            chosen = self.item_factors_ if items is None else self.item_factors_[items]
            return vectors @ chosen.T
        return np.matmul(self.item_factors_[items], vectors[:, :, None])[:, :, 0]

    def item_vectors(self) -> NDArray[np.float32]:
        return self.item_factors_

    # -- people and items that training never met ---------------------------------------------------------------------

    def user_vectors(self, users: Users) -> NDArray[np.float32]:
        """Trained vectors of known users; those of strangers (index -1) from their histories: float32[n, factors]."""
        vectors = self.user_factors_[users.index]
        strange = np.flatnonzero(users.index < 0)
        if len(strange):
            history = users.matrix if len(strange) == len(users) else users.take(strange).matrix
            vectors[strange] = self._fold_in(history, self.item_factors_, self._item_gram, self._mean_user_confidence)
        return vectors

    def fold_in_items(self, likes: sparse.csr_matrix) -> NDArray[np.float32]:
        """Vectors of new items from the weights of the trained users who liked them: csr[n, n_users] to
        float32[n, factors]. Their dot products with `user_factors_` are scores."""
        gram = self.user_factors_.T @ self.user_factors_
        return self._fold_in(likes, self.user_factors_, gram, self._mean_item_confidence)

    def _fold_in(
        self, likes: sparse.csr_matrix, factors: NDArray[np.float32], gram: NDArray[np.float32], mean_confidence: float
    ) -> NDArray[np.float32]:
        """One exact least-squares step for the rows of `likes`, the other side fixed."""
        params, width = self.params, factors.shape[1]
        extra = (likes * np.float32(params.alpha)).tocsr()
        scale = (_confidence(extra) / mean_confidence) ** params.frequency_scaling
        out = np.zeros((likes.shape[0], width), np.float32)
        for start in range(0, len(out), SOLVED_AT_ONCE):
            rows = range(start, min(len(out), start + SOLVED_AT_ONCE))
            left = np.repeat(gram[None], len(rows), axis=0)
            right = np.zeros((len(rows), width), np.float32)
            for at, row in enumerate(rows):
                entries = slice(extra.indptr[row], extra.indptr[row + 1])
                known, weight = factors[extra.indices[entries]], extra.data[entries]
                left[at] += (known.T * weight) @ known
                right[at] = (weight + 1) @ known
            diagonal = np.arange(width)
            # the floor keeps the system solvable without regularisation, and is below float32's noise otherwise
            floor = 1e-6 * max(float(gram.diagonal().max()), 1e-6)
            left[:, diagonal, diagonal] += (params.regularization * scale[start : rows.stop, None] + floor).astype("f4")
            out[start : rows.stop] = np.linalg.solve(left, right[:, :, None])[:, :, 0]
        return out

    # -- saving -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, NDArray]:
        return {"user_factors": self.user_factors_, "item_factors": self.item_factors_}

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        self._set(state["user_factors"], state["item_factors"])

    def _set(self, user_factors: NDArray[np.float32], item_factors: NDArray[np.float32]) -> None:
        self.user_factors_, self.item_factors_ = user_factors, item_factors
        self._item_gram = item_factors.T @ item_factors
        total = self.params.alpha * float(np.maximum(self.train_.weight, 0).sum())
        self._mean_user_confidence = self.train_.n_items + total / self.train_.n_users
        self._mean_item_confidence = self.train_.n_users + total / self.train_.n_items


# -- training: rows sorted by what is known of them, in groups of one regularisation ----------------------------------


@dataclass(frozen=True)
class _Groups:
    """`order` sorts rows by total confidence; each group is a slice of that order and its regularization."""

    order: NDArray[np.int64]
    groups: list[tuple[slice, float]]

    @classmethod
    def of(cls, extra: sparse.csr_matrix, regularization: float, exponent: float) -> _Groups:
        """Rows regularised by (total confidence / mean)**exponent; one group where the exponent is 0."""
        rows = extra.shape[0]
        if exponent == 0:
            return cls(np.arange(rows), [(slice(0, rows), regularization)])
        confidence = _confidence(extra)
        order = np.argsort(confidence, kind="stable")
        level = np.log(confidence[order])
        edges = np.searchsorted(level, np.linspace(level[0], level[-1], GROUPS + 1)[1:-1])
        edges = np.unique(np.concatenate([[0], edges, [rows]]))
        share = (confidence[order] / confidence.mean()) ** exponent
        bounds = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        return cls(order, [(slice(a, b), regularization * float(share[a:b].mean())) for a, b in bounds])

    def prepare(
        self, extra: sparse.csr_matrix, columns: NDArray[np.int64]
    ) -> list[tuple[slice, float, sparse.csr_matrix]]:
        """Each group with its confidences, both sides in sorted order."""
        confidence = extra[self.order][:, columns].tocsr()
        confidence.sort_indices()
        confidence.data += 1
        return [(rows, regularization, confidence[rows]) for rows, regularization in self.groups]

    def restore(self, factors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows in their original order."""
        out = np.empty_like(factors)
        out[self.order] = factors
        return out


def _confidence(extra: sparse.csr_matrix) -> NDArray[np.float64]:
    """Total confidence of each row: 1 for every column, and what interactions add."""
    return extra.shape[1] + np.asarray(extra.sum(axis=1), np.float64).ravel()


def _small(random: np.random.Generator, rows: int, factors: int) -> NDArray[np.float32]:
    return random.random((rows, factors), dtype=np.float32) * np.float32(0.01)
