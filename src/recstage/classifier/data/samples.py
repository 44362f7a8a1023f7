"""Labelled texts: what a classifier is trained on, however they came, and what was wrong with them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recstage.errors import ConfigError, DataError, TooLittleData, valid_names

LONGEST_TEXT = 100_000
"""Characters of a text; a catalogue's texts are far shorter, and a megabyte is no description."""
SHOWN = 3


@dataclass(frozen=True)
class Sample:
    """A text and its codes; `confidence` in (0, 1] weighs it in training. `place`: where it stood, for messages."""

    text: str
    codes: tuple[str, ...]
    confidence: float = 1.0
    place: str = ""


@dataclass(frozen=True)
class Bad:
    """A sample that cannot be used, and why."""

    place: str
    reason: str


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """`truth` bool[n, classes] in order of `labels`; `weight` float64[n]. `dropped`: samples left out, by reason."""

    name: str
    texts: tuple[str, ...]
    truth: NDArray[np.bool_]
    weight: NDArray[np.float64]
    labels: tuple[str, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)
    rare: Mapping[str, int] = field(default_factory=dict)
    """Codes of too few samples to be a class, with their samples."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def fingerprint(self) -> str:
        """Of texts, classes and weights, in their order."""
        digest = hashlib.sha256("\0".join((*self.labels, "", *self.texts)).encode("utf-8", "replace"))
        digest.update(np.packbits(self.truth).tobytes() + self.weight.tobytes())
        return digest.hexdigest()[:16]

    def take(self, rows: NDArray[np.int64]) -> LabelledTexts:
        """Some of the samples."""
        texts = tuple(self.texts[int(i)] for i in rows)
        return LabelledTexts(self.name, texts, self.truth[rows], self.weight[rows], self.labels)


def labelled(
    name: str,
    given: Iterable[Sample | Bad],
    *,
    classes: Sequence[str] = (),
    min_samples: int,
    strict: bool,
    taxonomy: Sequence[str] = (),
) -> LabelledTexts:
    """The samples that can be used, with the codes that become classes.

    Samples with the same text become one with the codes of all; codes outside `taxonomy`, where there is one, make a
    sample bad. Raises `DataError` where `strict` and a sample is bad, where none is left, or where fewer than two codes
    have `min_samples`; `ConfigError` on a class that no sample has.
    """
    bad: list[Bad] = []
    merged: dict[str, tuple[set[str], float]] = {}
    repeated = 0
    for sample in given:
        wrong = sample if isinstance(sample, Bad) else _wrong(sample, taxonomy)
        if wrong is not None:
            bad.append(wrong)
            continue
        assert isinstance(sample, Sample)
        codes, confidence = merged.get(sample.text, (set(), 0.0))
        repeated += sample.text in merged
        merged[sample.text] = codes | set(sample.codes), max(confidence, sample.confidence)
    if bad and strict:
        shown = "; ".join(f"{one.place}: {one.reason}" for one in bad[:SHOWN])
        counted = f"{len(bad)} bad sample{'s' * (len(bad) > 1)}"
        raise DataError(f"{name}: {counted}", rule=shown, fix="Correct them, or leave out strict")
    if not merged:
        why = f": {bad[0].place}: {bad[0].reason}" if bad else ""
        raise DataError(name, rule=f"it has no usable sample{why}", fix="Give texts with taxonomy codes")
    counts = Counter(code for codes, _ in merged.values() for code in codes)
    labels = _labels(name, counts, classes, min_samples)
    texts = tuple(merged)
    truth = np.array([[label in merged[text][0] for label in labels] for text in texts], bool)
    weight = np.array([merged[text][1] for text in texts])
    dropped = Counter(one.reason.partition(" (")[0] for one in bad)
    if repeated:
        dropped["the same text again: merged"] = repeated
    rare = {code: n for code, n in sorted(counts.items()) if code not in labels}
    return LabelledTexts(name, texts, truth, weight, labels, dict(dropped), rare)


def _wrong(sample: Sample, taxonomy: Sequence[str]) -> Bad | None:
    if not sample.text.strip():
        return Bad(sample.place, "its text is empty")
    if len(sample.text) > LONGEST_TEXT:
        return Bad(sample.place, f"its text is longer than {LONGEST_TEXT:,} characters ({len(sample.text):,})")
    if not sample.codes:
        return Bad(sample.place, "it has no codes")
    unknown = sorted(set(sample.codes) - set(taxonomy)) if taxonomy else []
    if unknown:
        return Bad(sample.place, f"it has codes that metadata.taxonomy does not list ({', '.join(unknown[:SHOWN])})")
    return None


def _labels(name: str, counts: Counter[str], classes: Sequence[str], min_samples: int) -> tuple[str, ...]:
    unknown = [code for code in classes if code not in counts]
    if unknown:
        raise ConfigError(
            f"classes: {unknown[0]}", rule=f"no sample of {name} has this code", fix=valid_names(unknown[0], counts)
        )
    found = tuple(sorted(code for code, n in counts.items() if n >= min_samples and (not classes or code in classes)))
    if len(found) < 2:
        most = ", ".join(f"{code} {n}" for code, n in counts.most_common(SHOWN))
        raise TooLittleData(
            name,
            rule=f"a classifier needs two codes of at least {min_samples} samples, and {len(found)} has so many "
            f"(most: {most})",
            fix="Label more texts, or lower min_samples",
        )
    return found
