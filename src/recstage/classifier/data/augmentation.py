"""Augmentation of small sets: changed copies of training texts until there are so many.

Of each copy a tenth of the words is left out and two neighbours change places (the deletion and swap of "EDA", Wei and
Zou 2019; no synonyms, for those need a language). Texts of rare classes are copied more often. Training data only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEFT_OUT = 0.1
LEAST_WORDS = 4


def augmented(
    texts: Sequence[str], truth: NDArray[np.bool_], target_size: int, seed: int
) -> tuple[list[str], NDArray[np.int64]]:
    """`target_size` texts, the given ones first, and the place of the text that each is made from, int64[n].

    Nothing is added where there are as many already.
    """
    origin = np.arange(len(texts), dtype=np.int64)
    missing = target_size - len(texts)
    if missing <= 0 or not len(texts):
        return list(texts), origin
    random = np.random.default_rng(seed)
    chosen = random.choice(len(texts), size=missing, p=_weights(truth))
    return [*texts, *(_changed(texts[i], random) for i in chosen)], np.concatenate([origin, chosen.astype(np.int64)])


def _weights(truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    frequency = np.maximum(truth.sum(axis=0), 1)
    rarest = np.where(truth, frequency, len(truth)).min(axis=1, initial=len(truth))
    weight = 1 / np.sqrt(rarest)
    return weight / weight.sum()


def _changed(text: str, random: np.random.Generator) -> str:
    words = text.split()
    if len(words) < LEAST_WORDS:
        return text
    kept = [word for word, drawn in zip(words, random.random(len(words)), strict=True) if drawn >= LEFT_OUT] or words
    if len(kept) > 1:
        at = int(random.integers(len(kept) - 1))
        kept[at], kept[at + 1] = kept[at + 1], kept[at]
    return " ".join(kept)
