"""Guardrails beside the metric: what lists are like, how large the model is, what it promises, what users did with it.

Pure: from figures to checks. A bound against Production is judged where both were measured alike; an absolute bound
(null by default) also where nothing is Production.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from recstage.config import GuardrailConfig
from recstage.evaluation.significance import Paired
from recstage.promotion.behaviour import Behaviour
from recstage.promotion.gate import Check, Outcome, in_words
from recstage.promotion.measures import ListMeasures

GINI, COVERAGE, INDEX_RECALL = "gini_at_10", "coverage_at_10", "index_recall"
VERDICT, SUMMARY, REPORT = "experiment.verdict", "experiment.summary", "experiment.report"
"""Tags of a version that an experiment on live users writes."""
BETTER = "better"
VERDICTS = (BETTER, "not-better", "undecided", "invalid")


@dataclass(frozen=True)
class StageGain:
    """The metric of a second stage less that of its best first stage, on the same users."""

    first_stage: str
    metric: str
    paired: Paired


@dataclass(frozen=True)
class Measured:
    """What was measured of one version beside its metrics; None where it was not."""

    metrics: Mapping[str, float]
    lists: ListMeasures | None = None
    bundle_bytes: int | None = None
    calibration: float | None = None
    stage_gain: StageGain | None = None
    behaviours: tuple[Behaviour, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


def checks(ours: Measured, theirs: Measured | None, limits: GuardrailConfig, require: str) -> list[Check]:
    """Every further question of the gate."""
    found = [
        *_metric_bounds(ours, theirs, limits),
        *_list_bounds(ours, theirs, limits),
        *_size(ours, limits),
        *_calibration(ours, limits),
        *_stage(ours, limits),
        *(_behaviour(one) for one in ours.behaviours),
    ]
    if require == "ab":
        found.append(experiment(ours.tags))
    return found


def _metric_bounds(ours: Measured, theirs: Measured | None, limits: GuardrailConfig) -> Iterator[Check]:
    coverage, gini = ours.metrics.get(COVERAGE), ours.metrics.get(GINI)
    found = ours.metrics.get(INDEX_RECALL)
    if found is not None:
        yield _bound("index", found, limits.index_recall, at_least=True, words="recall@100 of the index")
    if coverage is not None and limits.coverage_least is not None:
        yield _bound("coverage (absolute)", coverage, limits.coverage_least, at_least=True, words=COVERAGE)
    if gini is None:
        return
    if limits.gini_most is not None:
        yield _bound("Gini (absolute)", gini, limits.gini_most, at_least=False, words=GINI)
    before = None if theirs is None else theirs.metrics.get(GINI)
    if before is not None:
        most = before + limits.gini_increase
        yield _bound("Gini", gini, most, at_least=False, words=f"{GINI} (Production {before:.4f})")


def _list_bounds(ours: Measured, theirs: Measured | None, limits: GuardrailConfig) -> Iterator[Check]:
    if ours.lists is None:
        return
    share, diversity = ours.lists.popularity_share, ours.lists.diversity
    words = "places for the most popular hundredth"
    if limits.popularity_most is not None:
        yield _bound("popularity share (absolute)", share, limits.popularity_most, at_least=False, words=words)
    if limits.diversity_least is not None and math.isfinite(diversity):
        name = "diversity (absolute)"
        yield _bound(name, diversity, limits.diversity_least, at_least=True, words="diversity of lists")
    if theirs is None or theirs.lists is None:
        return
    before = theirs.lists
    most = before.popularity_share + limits.popularity_increase
    said = f"{words} (Production {before.popularity_share:.4f})"
    yield _bound("popularity share", share, most, at_least=False, words=said)
    if math.isfinite(diversity) and math.isfinite(before.diversity):
        said = f"diversity of lists (Production {before.diversity:.4f})"
        yield _bound("diversity", diversity, limits.diversity_ratio * before.diversity, at_least=True, words=said)


def _size(ours: Measured, limits: GuardrailConfig) -> Iterator[Check]:
    if ours.bundle_bytes is not None:
        size = ours.bundle_bytes / 1e6
        yield _bound("bundle size", size, limits.bundle_mb, at_least=False, words="megabytes of the bundle")


def _calibration(ours: Measured, limits: GuardrailConfig) -> Iterator[Check]:
    if ours.calibration is not None:
        words = "expected calibration error"
        yield _bound("calibration", ours.calibration, limits.calibration_error, at_least=False, words=words)


def _stage(ours: Measured, limits: GuardrailConfig) -> Iterator[Check]:
    gain = ours.stage_gain
    if gain is None:
        return
    outcome: Outcome = "failed"
    words = "no gain"
    if gain.paired.difference > 0:
        sure = gain.paired.p_value < limits.stage_alpha
        outcome, words = ("passed", "a significant gain") if sure else ("noted", "a gain that chance may explain")
    message = f"{gain.metric} over its first stage {gain.first_stage}: {in_words(gain.paired)}, {words}"
    yield Check("second stage", outcome, message)


def _behaviour(one: Behaviour) -> Check:
    outcome: Outcome = "not judged" if one.kept is None else "passed" if one.kept else "failed"
    return Check(one.name, outcome, one.message)


def experiment(tags: Mapping[str, str]) -> Check:
    """The evidence of an experiment on live users, from the tags that its report wrote onto the version."""
    verdict, summary = tags.get(VERDICT), " ".join(tags.get(SUMMARY, "").split())
    if verdict is None:
        message = "no experiment was read for this version: stage it, give it a share, run ab-report"
        return Check("experiment", "failed", message)
    if verdict not in VERDICTS:
        return Check("experiment", "failed", f"the tag {VERDICT} is '{verdict}', none of {', '.join(VERDICTS)}")
    said = f"the experiment says {verdict}" + (f": {summary}" if summary else "")
    return Check("experiment", "passed" if verdict == BETTER else "failed", said)


def _bound(name: str, value: float, bound: float, *, at_least: bool, words: str) -> Check:
    good = value >= bound if at_least else value <= bound
    relation = "at least" if at_least else "at most"
    passed = "" if good else "not "
    return Check(name, "passed" if good else "failed", f"{words} {value:.4f}, {passed}{relation} {bound:.4f}")
