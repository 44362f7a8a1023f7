"""Features of content: similarity of the candidate's words to those of the items that the user liked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from recstage.models.features.candidates import Candidates
from recstage.models.features.group import Group, Past, stacked

DIMENSIONS = 32
WORDS = 20_000
LAST = 5


class ContentGroup(Group):
    """TF-IDF of title, text and categories, reduced by SVD (latent semantic analysis). NaN where there are no words."""

    name = "content"
    features = {
        "content_last": "cosine with the user's last like",
        "content_recent": "cosine with the mean of the last five likes",
        "content_best": "highest cosine with one of the last five likes",
        "content_profile": "cosine with the weighted mean of all likes",
        "content_dismissed": "cosine with the mean of the last dismissed items",
        "content_known": "length of the candidate's vector before scaling to one: how well common words describe it",
    }

    def learn(self, past: Past) -> None:
        documents = past.catalogue.documents
        n = len(documents)
        self.arrays = {"vectors": np.zeros((n, 0), np.float32), "length": np.full(n, np.nan, np.float32)}
        if sum(map(bool, documents)) < 2:
            return
        words = TfidfVectorizer(stop_words="english", sublinear_tf=True, max_features=WORDS, dtype=np.float32)
        try:
            matrix = words.fit_transform(documents)
        except ValueError:  # nothing but stop words
            return
        width = min(DIMENSIONS, min(matrix.shape) - 1)
        if width < 1:
            return
        with threadpool_limits(1, "blas"):  # the last bits of sums depend on how many threads share them
            vectors = TruncatedSVD(width, random_state=past.seed % 2**32).fit_transform(matrix)
        length = np.linalg.norm(vectors, axis=1)
        self.arrays = {
            "vectors": (vectors / np.maximum(length, 1e-9)[:, None]).astype(np.float32),
            "length": np.where(length > 0, length, np.nan).astype(np.float32),
        }

    def compute(self, candidates: Candidates) -> NDArray[np.float32]:
        vectors, length = self.arrays["vectors"], self.arrays["length"]
        if not vectors.shape[1]:
            return np.full((len(candidates), len(self.features)), np.nan, np.float32)
        own, row = vectors[candidates.item], candidates.row
        last = candidates.latest[:, :LAST]
        each = np.stack([_dot(own, _mean(vectors, last[:, place, None])[row]) for place in range(last.shape[1])])
        profile = _unit(candidates.users.matrix @ vectors)
        best = np.fmax.reduce(each, axis=0)
        recent, dismissed = _mean(vectors, last), _mean(vectors, candidates.dismissed)
        columns = [each[0], _dot(own, recent[row]), best, _dot(own, profile[row]), _dot(own, dismissed[row])]
        out = stacked([*columns, length[candidates.item]], len(candidates))
        out[np.isnan(length[candidates.item])] = np.nan
        return out


def _dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.einsum("pd,pd->p", a, b)


def _mean(vectors: NDArray[np.float32], items: NDArray[np.int32]) -> NDArray[np.float32]:
    """Direction of the mean vector of each row of items (-1: none): float32[n, d], NaN where a row has no item."""
    known = items >= 0
    return _unit((vectors[np.maximum(items, 0)] * known[:, :, None]).sum(axis=1))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(length > 0, vectors / length, np.nan).astype(np.float32)
