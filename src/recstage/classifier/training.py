"""Trains one classifier: the test texts are set apart first; thresholds and calibration are learnt on texts that the
model they belong to did not see; then the linear model is fitted again on all but the test.

All that is not test is cut into stratified folds, and each text is scored by a model that did not see it: five linear
models, whose settings then fit one of all the texts, and `folds` networks, whose mean weights are the transformer. With
`folds` 1 there is one network, and the scores are those of the validation part that early stopping looks at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recstage.classifier import calibration
from recstage.classifier.data.augmentation import augmented
from recstage.classifier.data.samples import LabelledTexts
from recstage.classifier.data.stratification import random_parts, stratified_parts
from recstage.classifier.families import linear
from recstage.classifier.families.linear import LinearText
from recstage.classifier.model import Classifier
from recstage.config.classifier import ClassifierConfig, TextSplitConfig, TransformerParams
from recstage.errors import TooLittleData

if TYPE_CHECKING:
    from recstage.classifier.families.fine_tuning import FineTuned
    from recstage.classifier.families.frozen import FrozenPart

FOLDS = 5
LEAST_TEXTS = 20
Report = Callable[[int, Mapping[str, float]], None]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TextSplit:
    """Rows of each part, in the order of the texts."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    method: str = "stratified"

    @property
    def not_test(self) -> NDArray[np.int64]:
        return np.sort(np.concatenate([self.train, self.validation]))


def split(data: LabelledTexts, config: TextSplitConfig, seed: int) -> TextSplit:
    """The three parts, stratified by all classes or drawn by chance. Raises `TooLittleData` where texts are too few."""
    if len(data) < LEAST_TEXTS:
        raise TooLittleData(
            f"{data.name}: {len(data)} texts", rule=f"at least {LEAST_TEXTS} are needed", fix="Label more texts"
        )
    parted = stratified_parts if config.method == "stratified" else random_parts
    part = parted(data.truth, (config.test, 1 - config.test), seed)
    test, rest = np.flatnonzero(part == 0), np.flatnonzero(part == 1)
    inner = parted(data.truth[rest], (config.validation, 1 - config.validation), seed + 1)
    train, validation = rest[inner == 1], rest[inner == 0]
    empty = [data.labels[k] for k in np.flatnonzero(~data.truth[train].any(axis=0))]
    if empty:
        raise TooLittleData(
            f"{data.name}: class {empty[0]}",
            rule="no text of it is left to train on once validation and test have their shares",
            fix="Label more texts of it, or raise min_samples",
        )
    return TextSplit(train, validation, test, config.method)


@dataclass(frozen=True, eq=False)
class Trained:
    """A classifier, the epochs of its fine-tuning, and the seconds of each stage. `unrounded`: the same with float32
    weights, where those of `classifier` are rounded to eight bits."""

    classifier: Classifier
    unrounded: Classifier | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def train(
    data: LabelledTexts,
    parts: TextSplit,
    config: ClassifierConfig,
    *,
    seed: int,
    target_size: int = 0,
    checkpoints: Path | None = None,
    report: Report = lambda step, metrics: None,
    backend: str = "local",
) -> Trained:
    """Train on all but the test texts, which are not looked at. Encoders are fine-tuned on the `backend`, within a
    `cluster.session` where that is ray."""
    if config.family == "linear":
        return _linear(data, parts, config, seed, target_size)
    return _fine_tuned(data, parts, config, seed, target_size, checkpoints, report, backend)


def _linear(data: LabelledTexts, parts: TextSplit, config: ClassifierConfig, seed: int, target_size: int) -> Trained:
    started = time.perf_counter()
    rest = data.take(parts.not_test)
    scores = out_of_fold(rest, config, seed, target_size)
    model = fit_linear(rest, config, seed, target_size)
    made = _calibrated(config, rest.labels, model, scores, rest.truth)
    return Trained(made, seconds={"fit": time.perf_counter() - started})


def _fine_tuned(
    data: LabelledTexts,
    parts: TextSplit,
    config: ClassifierConfig,
    seed: int,
    target_size: int,
    checkpoints: Path | None,
    report: Report,
    backend: str,
) -> Trained:
    from recstage.classifier.families.encoder import require_extra

    require_extra()
    from recstage.classifier.families import ensemble, fine_tuning, transformer
    from recstage.classifier.families.frozen import FrozenPart

    started, params, rest = time.perf_counter(), config.transformer, data.take(parts.not_test)
    exact = params.model_copy(update={"export": "fp32"})
    networks, scores, known = [], np.full(rest.truth.shape, np.nan), FrozenPart()
    for number, (inside, outside) in enumerate(_rounds(rest, parts, params.folds, seed)):
        networks.append(
            _network(
                rest.take(inside),
                rest.take(outside),
                config,
                seed,
                target_size,
                checkpoints,
                _later(report, number * params.epochs),
                known,
                backend,
            )
        )
        scores[outside] = transformer.of(exact, networks[-1]).scores([rest.texts[int(i)] for i in outside])
    tuned = fine_tuning.averaged(networks)
    seconds = {"fine_tuning": time.perf_counter() - started}
    seen = np.isfinite(scores).all(axis=1)
    truth, mixed = rest.truth[seen], scores[seen]
    linear_model, share, scales = None, 1.0, (1.0, 1.0)
    if config.family == "ensemble":
        linear_model = fit_linear(rest, config, seed, target_size)
        others = out_of_fold(rest, config, seed, target_size)[seen]
        share, scales = ensemble.best_share(others, scores[seen], truth)
        mixed = ensemble.mixed(others, scores[seen], share, scales)

    def made(how: TransformerParams) -> Classifier:
        encoder = transformer.of(how, tuned)
        model = encoder if linear_model is None else ensemble.EnsembleText(linear_model, encoder, share, scales)
        return _calibrated(config, data.labels, model, mixed, truth)

    unrounded = made(exact) if params.export == "int8" else None
    found = Trained(made(params), unrounded, tuned.history, {**seconds, "fit": time.perf_counter() - started})
    for one in networks:
        one.forget()  # until here, an interrupted training goes on where it was
    return found


def _later(report: Report, epochs: int) -> Report:
    """Report to it as after so many epochs more."""
    return lambda step, metrics: report(epochs + step, metrics)


def _rounds(rest: LabelledTexts, parts: TextSplit, folds: int, seed: int) -> list[tuple[Rows, Rows]]:
    """For each network the rows of `rest` that it is trained on and those that it is stopped and calibrated by."""
    if folds == 1:
        return [(np.searchsorted(parts.not_test, parts.train), np.searchsorted(parts.not_test, parts.validation))]
    fold = stratified_parts(rest.truth, (1 / folds,) * folds, seed + 2)
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(folds)]


def _network(
    inside: LabelledTexts,
    outside: LabelledTexts,
    config: ClassifierConfig,
    seed: int,
    target_size: int,
    checkpoints: Path | None,
    report: Report,
    known: FrozenPart,
    backend: str,
) -> FineTuned:
    from recstage.classifier.families.fine_tuning import Examples
    from recstage.classifier.families.on_cluster import fine_tuned

    texts, truth, weight = enlarged(inside, target_size, seed)
    return fine_tuned(
        config.transformer,
        Examples(texts, truth, weight),
        Examples(outside.texts, outside.truth, outside.weight),
        backend=backend,
        positive_weight=positive_weights(truth, config.class_weights),
        seed=seed,
        checkpoints=checkpoints,
        report=report,
        known=known,
    )


def out_of_fold(data: LabelledTexts, config: ClassifierConfig, seed: int, target_size: int = 0) -> NDArray[np.float64]:
    """Scores of each text by a linear model that did not see it, float64[n, classes]."""
    fold = stratified_parts(data.truth, (1 / FOLDS,) * FOLDS, seed + 2)
    scores = np.zeros(data.truth.shape)
    for number in range(FOLDS):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if not len(outside):
            continue
        size = round(target_size * len(inside) / len(data))
        model = fit_linear(data.take(inside), config, seed, size)
        scores[outside] = model.scores([data.texts[int(i)] for i in outside])
    return scores


def fit_linear(data: LabelledTexts, config: ClassifierConfig, seed: int, target_size: int = 0) -> LinearText:
    """A linear model of all the texts, augmented to `target_size`."""
    texts, truth, weight = enlarged(data, target_size, seed)
    return linear.fit(texts, truth, config, positive_weights(truth, config.class_weights), weight)


def enlarged(
    data: LabelledTexts, target_size: int, seed: int
) -> tuple[list[str], NDArray[np.bool_], NDArray[np.float64]]:
    """Texts, truth and weights with the changed copies."""
    texts, origin = augmented(data.texts, data.truth, target_size, seed)
    return texts, data.truth[origin], data.weight[origin]


def positive_weights(truth: NDArray[np.bool_], power: float) -> NDArray[np.float64]:
    """(negatives / positives) to a power, float64[classes]; 1 where a class has none of either."""
    positives = truth.sum(axis=0)
    negatives = len(truth) - positives
    ratio = np.divide(negatives, positives, out=np.ones(len(positives)), where=(positives > 0) & (negatives > 0))
    return ratio**power


def _calibrated(
    config: ClassifierConfig,
    labels: tuple[str, ...],
    model: object,
    scores: NDArray[np.float64],
    truth: NDArray[np.bool_],
) -> Classifier:
    curve = calibration.fit(scores, truth, config)
    limits = calibration.thresholds(curve.probabilities(scores), truth)
    return Classifier(config, labels, model, curve, limits)  # type: ignore[arg-type]
