"""What an item's text and categories say of it, as a row of named numbers: TF-IDF words or a sentence embedding, and
categories.

Learnt once on the catalogue and nothing but arrays, so that an item that arrives after training is described as well.
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
"""Words in fewer items say nothing of likeness."""
COMMON_SHARE, COMMON = 0.1, 100
"""Words in more items than this share of them (and this number) say next to nothing of it, and cost the most."""


@dataclass(frozen=True, eq=False)
class Description:
    """`words` and `categories` name the columns, with `word_rarity` and `category_rarity` (float32, inverse document
    frequency) beside them; `category_share` in [0, 1] is the part that categories have in the likeness of two items.
    Where `encoder` names a sentence-transformers model, its `width` dimensions stand in place of words."""

    words: tuple[str, ...]
    word_rarity: NDArray[np.float32]
    categories: tuple[str, ...]
    category_rarity: NDArray[np.float32]
    category_share: float
    encoder: str = ""
    width: int = 0

    @classmethod
    def learn(cls, catalogue: Catalogue, *, category_share: float, max_words: int, encoder: str = "") -> Description:
        """From the items of a catalogue. Raises `ConfigError` where an encoder is asked for and its library missing."""
        n = len(catalogue.items)
        named = catalogue.category_matrix
        rarity = _rarity(np.bincount(named.indices, minlength=named.shape[1]), n)
        categories = tuple(catalogue.category_names)
        if encoder:
            width = _encoded(["how wide?"], encoder).shape[1]
            return cls((), np.empty(0, np.float32), categories, rarity, category_share, encoder, width)
        words, frequency = _vocabulary(_texts(catalogue), max_words)
        return cls(words, _rarity(frequency, n), categories, rarity, category_share)

    def of(self, catalogue: Catalogue) -> sparse.csr_matrix:
        """A row of length 1 for each item of any catalogue, of length 0 where nothing known is said of it:
        float32[n_items, columns]."""
        text, named = self._text(_texts(catalogue)), self.of_categories(catalogue.categories)
        both = sparse.hstack([text * np.float32(np.sqrt(1 - self.category_share)), named], format="csr")
        return unit(sparse.csr_matrix(both, dtype=np.float32))

    def of_categories(self, categories: Sequence[Sequence[str]]) -> sparse.csr_matrix:
        """The categories' columns alone, as they stand in `of` before it is brought to length 1."""
        column = {name: i for i, name in enumerate(self.categories)}
        known = [[column[name] for name in dict.fromkeys(names) if name in column] for names in categories]
        indptr = np.cumsum([0, *map(len, known)])
        indices = np.array([i for row in known for i in row], np.int32)
        rows = sparse.csr_matrix(
            (self.category_rarity[indices], indices, indptr), shape=(len(known), len(self.categories))
        )
        return unit(rows) * np.float32(np.sqrt(self.category_share))

    def from_preferences(self, categories: Sequence[Sequence[str]]) -> sparse.csr_matrix:
        """Rows of length 1 for people who say that they like these categories: float32[n, columns]."""
        named = self.of_categories(categories)
        wide = (named.data, named.indices + (self.columns - named.shape[1]), named.indptr)
        return unit(sparse.csr_matrix(wide, shape=(named.shape[0], self.columns)))

    @property
    def columns(self) -> int:
        return (self.width or len(self.words)) + len(self.categories)

    def name(self, column: int) -> str:
        """What a column stands for."""
        if self.width and column < self.width:
            return "meaning"
        names = (*self.words, *self.categories)
        return names[column - self.width]

    def state(self) -> dict[str, NDArray]:
        return {
            "words": _to_bytes(self.words),
            "word_rarity": self.word_rarity,
            "categories": _to_bytes(self.categories),
            "category_rarity": self.category_rarity,
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
        counts.data = (1 + np.log(counts.data)) * self.word_rarity[counts.indices]
        return unit(counts)


def _texts(catalogue: Catalogue) -> list[str]:
    return [f"{title} {text}".strip() for title, text in zip(catalogue.titles, catalogue.texts, strict=True)]


def _rarity(frequency: NDArray, n: int) -> NDArray[np.float32]:
    return (np.log((n + 1) / (frequency + 1)) + 1).astype(np.float32)


def _vocabulary(texts: Sequence[str], most: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The `most` commonest of the words that are neither rare nor common, and the number of texts each is in."""
    from sklearn.feature_extraction.text import CountVectorizer

    if not any(texts):
        return (), np.empty(0, np.int64)
    counter = CountVectorizer(binary=True)
    frequency = np.asarray(counter.fit_transform(texts).sum(axis=0)).ravel()
    telling = np.flatnonzero((frequency >= RARE) & (frequency <= max(COMMON, COMMON_SHARE * len(texts))))
    kept = np.sort(telling[np.argsort(-frequency[telling], kind="stable")[:most]])
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
