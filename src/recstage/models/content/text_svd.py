"""Dense features of an item: hashed TF-IDF of its text, reduced to a few dimensions by SVD, and its categories.

Fitted once to the catalogue and stored as arrays, so that new items get features from their texts without retraining.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from recstage.data.catalogue import Catalogue

HASHED_WORDS = 1 << 13
SMALLEST_SPREAD = 1e-6
SMALLEST_VALUE = 1e-4
"""Of a singular value beside the greatest one: what is below is rounding."""


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """A fitted extractor of features.

    `idf` float32[HASHED_WORDS]; `directions` float32[HASHED_WORDS, d]: the right singular vectors of the catalogue's
    texts; `scale` float32[d]: scales each dimension to unit variance, to 0 one that the texts do not span;
    `categories`: known names, one column each.
    """

    idf: NDArray[np.float32]
    directions: NDArray[np.float32]
    scale: NDArray[np.float32]
    categories: tuple[str, ...]

    @classmethod
    def learn(cls, catalogue: Catalogue, factors: int, seed: int) -> ItemFeatures | None:
        """Fit to the texts of a catalogue; None if it has neither texts nor categories."""
        from sklearn.utils.extmath import randomized_svd

        categories = tuple(catalogue.category_names)
        words = _hashed(catalogue.documents)
        if not words.nnz and not categories:
            return None
        used = np.bincount(words.indices, minlength=HASHED_WORDS)
        idf = np.where(used > 0, np.log((1 + len(catalogue.items)) / (1 + used)) + 1, 0).astype(np.float32)
        factors = min(factors, min(words.shape) - 1)
        matrix = _weighted(words, idf)
        with threadpool_limits(1, "blas"):  # the last bits of sums depend on how many threads share them
            _, values, rows = randomized_svd(matrix, factors, random_state=seed)
        directions = np.ascontiguousarray(rows.T, np.float32)
        spread = (matrix @ directions).std(axis=0)
        # rounding alone, which the unit variance would blow up in the texts of new items
        empty = (values <= SMALLEST_VALUE * values[:1]) | (spread < SMALLEST_SPREAD)
        scale = np.where(empty, 0, 1 / np.maximum(spread, SMALLEST_SPREAD)).astype(np.float32)
        return cls(idf, directions, scale, categories)

    @property
    def width(self) -> int:
        """Number of features."""
        return self.directions.shape[1] + len(self.categories)

    def of(self, catalogue: Catalogue) -> NDArray[np.float32]:
        """Features of each item of any catalogue: float32[n_items, width]; zeros without known words and categories."""
        text = _weighted(_hashed(catalogue.documents), self.idf) @ self.directions * self.scale
        column = {name: i for i, name in enumerate(self.categories)}
        named = np.zeros((len(catalogue.items), len(self.categories)), np.float32)
        for row, names in enumerate(catalogue.categories):
            known = [column[name] for name in names if name in column]
            named[row, known] = 1 / np.sqrt(max(1, len(known)))
        return np.concatenate([text, named], axis=1).astype(np.float32)

    def state(self) -> dict[str, NDArray]:
        names = "\n".join(self.categories).encode()
        return {
            "text_idf": self.idf,
            "text_directions": self.directions,
            "text_scale": self.scale,
            "text_categories": np.frombuffer(names, np.uint8).copy(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray]) -> ItemFeatures:
        names = state["text_categories"].tobytes().decode()
        categories = tuple(names.split("\n")) if names else ()
        return cls(state["text_idf"], state["text_directions"], state["text_scale"], categories)


def _hashed(documents: Sequence[str]) -> sparse.csr_matrix:
    """Counts of hashed words, logarithmic: float32[n, HASHED_WORDS]."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(n_features=HASHED_WORDS, alternate_sign=False, norm=None, dtype=np.float32)
    counts = vectorizer.transform(documents).tocsr()
    counts.data = 1 + np.log(counts.data)
    return counts


def _weighted(words: sparse.csr_matrix, idf: NDArray[np.float32]) -> sparse.csr_matrix:
    weighted = (words @ sparse.diags_array(idf)).tocsr()
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return sparse.diags_array((1 / np.maximum(norms, 1e-12)).astype(np.float32)) @ weighted
