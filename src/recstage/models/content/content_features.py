"""Sparse features of an item: TF-IDF of its words or a sentence embedding, and its categories, each column named.

Fitted once to the catalogue and stored as arrays, so that new items are described without retraining.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recstage.data.catalogue import Catalogue
from recstage.errors import ConfigError
from recstage.models.neighborhood.weighting import unit

RARE = 2
"""Words in fewer items are left out: they make no two items similar."""
COMMON_SHARE, COMMON = 0.1, 100
"""Words in more items than this share (and this number) are left out: they distinguish least and cost most."""


@dataclass(frozen=True, eq=False)
class Description:
    """Fitted columns: `words` and `categories`, with their inverse document frequencies `word_idf`, `category_idf`.

    `category_share` in [0, 1] is the weight of categories in the similarity of two items. If `encoder` names a
    sentence-transformers model, its `width` dimensions replace the words.
    """

    words: tuple[str, ...]
    word_idf: NDArray[np.float32]
    categories: tuple[str, ...]
    category_idf: NDArray[np.float32]
    category_share: float
    encoder: str = ""
    width: int = 0

    @classmethod
    def learn(cls, catalogue: Catalogue, *, category_share: float, max_words: int, encoder: str = "") -> Description:
        """Fit to the items of a catalogue. Raises `ConfigError` if the library of the encoder is missing."""
        n = len(catalogue.items)
        named = catalogue.category_matrix
        category_idf = _idf(np.bincount(named.indices, minlength=named.shape[1]), n)
        categories = tuple(catalogue.category_names)
        if encoder:
            width = _encoded(["any text"], encoder).shape[1]
            return cls((), np.empty(0, np.float32), categories, category_idf, category_share, encoder, width)
        words, frequency = _vocabulary(_texts(catalogue), max_words)
        return cls(words, _idf(frequency, n), categories, category_idf, category_share)

    def of(self, catalogue: Catalogue) -> sparse.csr_matrix:
        """A row of length 1 for each item of any catalogue: float32[n_items, columns].

        Items without known words and categories get a row of zeros.
        """
        text, named = self._text(_texts(catalogue)), self.of_categories(catalogue.categories)
        both = sparse.hstack([text * np.float32(np.sqrt(1 - self.category_share)), named], format="csr")
        return unit(sparse.csr_matrix(both, dtype=np.float32))

    def of_categories(self, categories: Sequence[Sequence[str]]) -> sparse.csr_matrix:
        """The columns of the categories alone, as in `of` before its rows are scaled to length 1."""
        column = {name: i for i, name in enumerate(self.categories)}
        known = [[column[name] for name in dict.fromkeys(names) if name in column] for names in categories]
        indptr = np.cumsum([0, *map(len, known)])
        indices = np.array([i for row in known for i in row], np.int32)
        rows = sparse.csr_matrix(
            (self.category_idf[indices], indices, indptr), shape=(len(known), len(self.categories))
        )
        return unit(rows) * np.float32(np.sqrt(self.category_share))

    def from_preferences(self, categories: Sequence[Sequence[str]]) -> sparse.csr_matrix:
        """Rows of length 1 for users who declare to like these categories: float32[n, columns]."""
        named = self.of_categories(categories)
        wide = (named.data, named.indices + (self.columns - named.shape[1]), named.indptr)
        return unit(sparse.csr_matrix(wide, shape=(named.shape[0], self.columns)))

    @property
    def columns(self) -> int:
        """Number of columns."""
        return (self.width or len(self.words)) + len(self.categories)

    def name(self, column: int) -> str:
        """Name of a column: a word, a category, or "meaning" for a dimension of the encoder."""
        if self.width and column < self.width:
            return "meaning"
        names = (*self.words, *self.categories)
        return names[column - self.width]

    def state(self) -> dict[str, NDArray]:
        return {
            "words": _to_bytes(self.words),
            "word_rarity": self.word_idf,
            "categories": _to_bytes(self.categories),
            "category_rarity": self.category_idf,
            "category_share": np.array(self.category_share),
            "encoder": _to_bytes((self.encoder,)),
            "width": np.array(self.width),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray]) -> Description:
        return cls(
            _from_bytes(state["words"]),
            state["word_rarity"],
            _from_bytes(state["categories"]),
            state["category_rarity"],
            float(state["category_share"]),
            "".join(_from_bytes(state["encoder"])),
            int(state["width"]),
        )

    def _text(self, texts: Sequence[str]) -> sparse.csr_matrix:
        if self.encoder:
            rows = _encoded(texts, self.encoder)
            rows[[not text for text in texts]] = 0
            return unit(sparse.csr_matrix(rows))
        if not self.words:
            return sparse.csr_matrix(np.empty((len(texts), 0), np.float32))
        counts = _counts(texts, self.words)
        counts.data = (1 + np.log(counts.data)) * self.word_idf[counts.indices]
        return unit(counts)


def _texts(catalogue: Catalogue) -> list[str]:
    return [f"{title} {text}".strip() for title, text in zip(catalogue.titles, catalogue.texts, strict=True)]


def _idf(frequency: NDArray, n: int) -> NDArray[np.float32]:
    return (np.log((n + 1) / (frequency + 1)) + 1).astype(np.float32)


def _vocabulary(texts: Sequence[str], most: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The `most` frequent words that are neither rare nor common, and the number of texts that hold each."""
    from sklearn.feature_extraction.text import CountVectorizer

    if not any(texts):
        return (), np.empty(0, np.int64)
    counter = CountVectorizer(binary=True)
    frequency = np.asarray(counter.fit_transform(texts).sum(axis=0)).ravel()
    selective = np.flatnonzero((frequency >= RARE) & (frequency <= max(COMMON, COMMON_SHARE * len(texts))))
    kept = np.sort(selective[np.argsort(-frequency[selective], kind="stable")[:most]])
    return tuple(counter.get_feature_names_out()[kept].tolist()), frequency[kept]


def _counts(texts: Sequence[str], words: Sequence[str]) -> sparse.csr_matrix:
    from sklearn.feature_extraction.text import CountVectorizer

    return sparse.csr_matrix(CountVectorizer(vocabulary=words, dtype=np.float32).transform(texts))


def _encoded(texts: Sequence[str], encoder: str) -> NDArray[np.float32]:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ConfigError(
            f"encoder '{encoder}'",
            rule="sentence embeddings need the package sentence-transformers",
            fix="Install it (pip install 'recstage[sentences]'), or leave encoder empty for TF-IDF",
        ) from error
    vectors = SentenceTransformer(encoder, device="cpu").encode(list(texts), convert_to_numpy=True)
    return np.array(vectors, np.float32)


def _to_bytes(names: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer("\n".join(names).encode(), np.uint8).copy()


def _from_bytes(names: NDArray[np.uint8]) -> tuple[str, ...]:
    text = names.tobytes().decode()
    return tuple(text.split("\n")) if text else ()
