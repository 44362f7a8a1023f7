"""Texts of two to four topics whose categories their words decide."""

from __future__ import annotations

import numpy as np

from recstage.classifier.data.samples import LabelledTexts, Sample, labelled

WORDS = {
    "Crime": ["detective", "murder", "police", "evidence", "suspect", "alibi"],
    "Romance": ["love", "wedding", "kiss", "heart", "letter", "dance"],
    "Space": ["rocket", "planet", "orbit", "alien", "starship", "gravity"],
}
FILLER = [
    "the",
    "a",
    "of",
    "quiet",
    "long",
    "town",
    "story",
    "year",
    "house",
    "man",
    "woman",
    "road",
    "river",
    "small",
    "old",
]


def samples(n: int = 240, seed: int = 0) -> list[Sample]:
    """Texts of one or two topics, three words of each among filler."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(n):
        codes = tuple(random.choice(sorted(WORDS), size=1 + int(random.random() < 0.3), replace=False).tolist())
        words = [word for code in codes for word in random.choice(WORDS[code], 3).tolist()]
        words += random.choice(FILLER, 10).tolist()
        random.shuffle(words)
        found.append(Sample(" ".join(words), codes, 1.0, f"line {number + 1}"))
    return found


def small_texts(n: int = 240, seed: int = 0) -> LabelledTexts:
    """The same as data for training."""
    return labelled("topics", samples(n, seed), min_samples=5, strict=True)
