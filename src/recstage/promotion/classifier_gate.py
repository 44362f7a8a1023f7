"""The gate of the item classifier: a challenger and Production on the challenger's own test texts, here and now.

Texts that Production was trained on are left out of the comparison: what it learnt by heart is no evidence. The primary
metric is mean average precision, by a paired bootstrap over texts; macro F1, calibration and latency are guardrails.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from recstage.classifier import measures, storage
from recstage.classifier.model import Classifier
from recstage.config import PromotionConfig
from recstage.errors import RecstageError
from recstage.evaluation.significance import Paired, interval_of
from recstage.promotion import gate
from recstage.promotion.gate import Check, Verdict
from recstage.registry.mlflow_client import Version
from recstage.registry.versions import fetch
from recstage.tracking import classifiers

METRIC = "mean_average_precision"
ALGORITHM_PREFIX = "classifier-"
RESAMPLES = 500
LEAST_TEXTS = 30
LATENCY_TEXTS = 40
LOSS_OF_F1 = 0.03
"""Of macro F1, absolute, that a gain in average precision may cost."""


def is_classifier(version: Version) -> bool:
    """Whether a version is one of the item classifier, by its tag."""
    return version.algorithm.startswith(ALGORITHM_PREFIX)


def judge(challenger: Version, champion: Version | None, config: PromotionConfig) -> Verdict:
    """The verdict; want of evidence is a refusal with its reason. Raises `BundleError` or `RegistryError` where the
    challenger's bundle cannot be loaded."""
    _, ours = storage.load(fetch(challenger))
    try:
        rows = classifiers.test_texts_of(challenger.run_id)
    except RecstageError as error:
        return gate.refuse("evidence", f"there is no evidence to compare: {error.given}: {error.rule}")
    if champion is None:
        texts, codes = rows["text"].tolist(), rows["codes"].tolist()
        return _verdict(_alone(ours, texts, _truth(codes, ours)), ours, texts, config)
    if not is_classifier(champion):
        return gate.refuse("data", f"Production, {champion}, is no classifier")
    their_manifest, theirs = storage.load(fetch(champion))
    known = set(their_manifest.trained_on)
    kept = rows[~rows["text"].map(storage.digest_of).isin(known)]
    if len(kept) < LEAST_TEXTS:
        words = f"{len(kept)} of {len(rows)} test texts are new to Production, {LEAST_TEXTS} are needed"
        return gate.refuse("texts", words)
    shared = [label for label in ours.labels if label in theirs.labels]
    if len(shared) < 2:
        return gate.refuse("classes", f"it has {len(shared)} classes in common with Production, 2 are needed")
    lost = [label for label in theirs.labels if label not in ours.labels]
    texts, codes = kept["text"].tolist(), kept["codes"].tolist()
    checks, paired = _compared(ours, theirs, shared, texts, codes, config, str(champion.number))
    if lost:
        checks.append(Check("classes", "noted", f"classes that Production has and it lacks: {', '.join(lost)}"))
    return _verdict(checks, ours, texts, config, f"version {champion.number} ({champion.algorithm})", paired)


def _verdict(
    checks: list[Check],
    ours: Classifier,
    texts: list[str],
    config: PromotionConfig,
    against: str = "",
    paired: Paired | None = None,
) -> Verdict:
    checks.append(_latency(ours, texts, config))
    return Verdict(all(check.outcome != "failed" for check in checks), tuple(checks), against, paired)


def _alone(ours: Classifier, texts: list[str], truth: NDArray[np.bool_]) -> list[Check]:
    """The first Production: it must order texts better than by chance, whose average precision is a class's share."""
    probabilities = ours.probabilities(texts)
    value = float(np.nanmean(measures.average_precisions(truth, probabilities)))
    chance = float(truth.mean(axis=0)[truth.any(axis=0)].mean()) if truth.any() else 1.0
    good = value > 1.2 * chance
    words = f"{METRIC} {value:.4f} against {chance:.4f} by chance over {len(texts)} texts"
    return [Check(METRIC, "passed" if good else "failed", words), _calibration(truth, probabilities, None)]


def _compared(
    ours: Classifier,
    theirs: Classifier,
    shared: list[str],
    texts: list[str],
    codes: list[list[str]],
    config: PromotionConfig,
    number: str,
) -> tuple[list[Check], Paired]:
    truth = np.array([[label in set(row) for label in shared] for row in codes], bool)
    mine, before = (_columns(one, shared, texts) for one in (ours, theirs))
    paired = paired_precision(truth, mine[0], before[0], confidence=1 - config.alpha)
    a, b = (np.nanmean(measures.average_precisions(truth, one[0])) for one in (mine, before))
    if config.require_gain:
        good = paired.difference > 0 and paired.p_value < config.alpha
        words = "a significant gain" if good else f"no significant gain (p < {config.alpha:g} is asked for)"
    else:
        good = paired.low >= -config.margin
        words = f"{'not' if good else 'may be'} worse by more than {config.margin:g}"
    figures = f"{METRIC} {a:.4f} against {b:.4f} of version {number}: {gate.in_words(paired)} over {len(texts)} texts"
    checks = [Check(METRIC, "passed" if good else "failed", f"{figures}, {words}")]
    f1, f1_before = (measures.summary(truth, *one)["macro_f1"] for one in (mine, before))
    kept = f1 >= f1_before - LOSS_OF_F1
    words = f"macro F1 {f1:.4f} against {f1_before:.4f}, at most {LOSS_OF_F1:g} may be lost"
    checks.append(Check("macro-f1", "passed" if kept else "failed", words))
    checks.append(_calibration(truth, mine[0], before[0]))
    return checks, paired


def _columns(one: Classifier, shared: list[str], texts: list[str]) -> tuple[NDArray, NDArray]:
    """Probabilities and predictions of some classes, in their order."""
    places = [one.labels.index(label) for label in shared]
    probabilities = one.probabilities(texts)
    return probabilities[:, places], one.predicted(probabilities)[:, places]


def paired_precision(
    truth: NDArray[np.bool_], ours: NDArray, theirs: NDArray, *, confidence: float, seed: int = 0
) -> Paired:
    """The difference in mean average precision of two classifiers on the same texts, by resampling texts. The p-value
    is that of `paired_bootstrap`."""
    random, n = np.random.default_rng(seed), len(truth)

    def difference(weight: NDArray[np.float64]) -> float:
        gain = measures.average_precisions(truth, ours, weight) - measures.average_precisions(truth, theirs, weight)
        return float(np.nanmean(gain))

    observed = difference(np.ones(n))
    drawn = [difference(row) for row in _multiplicities(n, random)]
    beyond = int((np.abs(np.array(drawn) - observed) >= abs(observed) - 1e-12).sum())
    low, high = interval_of(np.array(drawn), confidence)
    return Paired(observed, low, high, (1 + beyond) / (1 + RESAMPLES))


def _multiplicities(n: int, random: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    for _ in range(RESAMPLES):
        yield np.bincount(random.integers(0, n, n), minlength=n).astype(np.float64)


def _calibration(truth: NDArray[np.bool_], ours: NDArray, theirs: NDArray | None) -> Check:
    most = 0.1
    error = measures.calibration_error(truth, ours)
    before = "" if theirs is None else f" against {measures.calibration_error(truth, theirs):.4f}"
    good = error <= most
    return Check("calibration", "passed" if good else "failed", f"calibration error {error:.4f}{before}, most {most:g}")


def _latency(ours: Classifier, texts: list[str], config: PromotionConfig) -> Check:
    limit, taken = config.guardrails.latency_p95_ms, []
    if not config.guardrails.latency_requests:
        return Check("latency", "not judged", "latency was not measured")
    for text in texts[:LATENCY_TEXTS]:
        best = float("inf")
        for _ in range(2):
            started = time.perf_counter()
            ours.classify([text])
            best = min(best, 1000 * (time.perf_counter() - started))
        taken.append(best)
    found = float(np.percentile(taken, 95))
    good = found <= limit
    words = f"p95 of one text {found:.1f} ms, {'within' if good else 'over'} {limit:g} ms"
    return Check("latency", "passed" if good else "failed", words)


def _truth(codes: list[list[str]], ours: Classifier) -> NDArray[np.bool_]:
    return np.array([[label in set(row) for label in ours.labels] for row in codes], bool)
