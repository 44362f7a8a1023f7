"""Stage a version as Production, through the gate."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from recstage import bundle, registry, tracking
from recstage.config import PromotionConfig, read_yaml, resolve, root
from recstage.config.steps import BEST, PromoteSettings
from recstage.errors import GateRefused, RecstageError, RegistryError
from recstage.experiments.guard_limits import BREACH_TAG
from recstage.promotion import assessment, classifier_gate, evidence, gate, gate_report, guardrails
from recstage.promotion.gate import Verdict
from recstage.registry import Overtaken, Version, mlflow_client

ATTEMPTS = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromoteResult:
    """`version` is Production now. `gate`: passed, forced, or unchanged where it was Production already; `checks`: what
    the gate found, a line each."""

    name: str
    version: int
    previous: int | None
    gate: str
    checks: list[str]
    metrics: dict[str, float]


def settings_from(arguments: Sequence[str] = ()) -> PromoteSettings:
    """Settings from conf/promotion.yaml and the command line."""
    defaults = {"promotion": read_yaml(root() / "conf" / "promotion.yaml")}
    return resolve(PromoteSettings, defaults, arguments, program="promote")


def run(settings: PromoteSettings) -> PromoteResult:
    """Judge and promote. Raises `GateRefused` with the gate's reasons, which the version then carries as tags,
    `RegistryError` on a version that does not exist, and `BundleError` on one whose model cannot be served: that is no
    matter of opinion, and `force` does not help."""
    tracking.connect()
    for attempt in range(ATTEMPTS):
        try:
            with tracking.translate_store_errors(tracking.store_uri()):
                return _attempt(settings)
        except Overtaken as overtaken:  # judged against a Production that is none any more: judge again
            if attempt == ATTEMPTS - 1:
                raise
            log.info("%s: %s, judging again", overtaken.given, overtaken.rule)
    raise AssertionError("unreachable")


def _attempt(settings: PromoteSettings) -> PromoteResult:
    resolution = registry.reconcile(settings.name)
    champion, config = resolution.version, settings.promotion
    if settings.require:
        config = config.model_copy(update={"require": settings.require})
    challenger = choose(settings.name, settings.version, config.metric)
    previous = None if champion is None else champion.number
    if previous == challenger.number and not resolution.conflict:
        log.info("%s is Production already: nothing was changed", challenger)
        return PromoteResult(settings.name, challenger.number, previous, "unchanged", [], registry.figures(challenger))
    text_model = classifier_gate.is_classifier(challenger)
    foreign = "" if champion is None or text_model else other_data(challenger, champion, config.guardrails.common_share)
    if foreign and not settings.new_data:
        write_down(challenger, gate.refuse("data", foreign), "refused")
        raise GateRefused(
            str(challenger),
            rule=f"the promotion gate refused it: {foreign}",
            fix="Keep data sets apart by name (train and promote with --name "
            f"{challenger.tags.get('data', 'NAME')}), or "
            "replace Production with --new_data true",
        )
    judged = classifier_gate.judge if text_model else judge
    verdict = with_watch(challenger, judged(challenger, None if foreign else champion, config))
    outcome = "passed" if verdict.passed else "forced" if settings.force else "refused"
    if outcome != "refused" and not text_model:  # the classifier's gate has loaded and verified it
        bundle.verify_answers(bundle.load(registry.fetch(challenger)))
    write_down(challenger, verdict, outcome)
    log.info("gate: %s, against %s", challenger, verdict.against or "nothing")
    for check in verdict.checks:
        if outcome != "refused" or check.outcome != "failed":  # the refusal itself gives the reasons
            log.info("  %s: %s", check.outcome, check.message)
    if outcome == "refused":
        raise GateRefused(
            str(challenger),
            rule=f"the promotion gate refused it: {'; '.join(verdict.reasons)}",
            fix="Improve it, or promote it with --force true and a --reason",
        )
    reason = settings.reason if outcome == "passed" else f"{settings.reason} [forced past the gate]".strip()
    registry.set_production(
        settings.name,
        challenger.number,
        how="promote",
        by=settings.by or registry.author(),
        reason=reason,
        expected=previous,
    )
    registry.reconcile_staging(settings.name)  # what was waiting there is Production now
    checks = [f"{check.outcome}: {check.message}" for check in verdict.checks]
    return PromoteResult(settings.name, challenger.number, previous, outcome, checks, registry.figures(challenger))


def with_watch(challenger: Version, verdict: Verdict) -> Verdict:
    """The verdict, refused where the watcher took this version out of Production before."""
    breach = challenger.tags.get(BREACH_TAG, "")
    if not breach:
        return verdict
    check = gate.Check("watch", "failed", f"the watcher rolled it back: {breach}")
    return replace(verdict, passed=False, checks=(*verdict.checks, check))


def other_data(challenger: Version, champion: Version, least: float) -> str:
    """In words, how little the challenger's data has in common with Production's; empty where it is enough, where both
    were tested on the same rows, or where a bundle does not tell."""
    if challenger.group == champion.group:
        return ""
    try:
        users, items = evidence.common_share(challenger, champion)
    except RecstageError:
        return ""  # what is wrong with a bundle is told where it is needed
    if min(users, items) >= least:
        return ""
    ours, theirs = (one.tags.get("data", "unknown") for one in (challenger, champion))
    return (
        f"it was trained on other data ({ours}) than Production, {champion} ({theirs}): {users:.0%} of the users and "
        f"{items:.0%} of the items are in common, {least:.0%} of each are needed"
    )


def choose(name: str, version: str, metric: str) -> Version:
    """A version by number, or the best by `metric` of those tested on the same rows as the newest."""
    if version != BEST:
        try:
            return registry.version_of(name, version)
        except RegistryError as error:
            if version.isdecimal():
                raise
            fix = f"{error.fix}, or {BEST} for the best"
            raise RegistryError(error.given, rule=error.rule, fix=fix) from error
    all_versions = registry.versions(name)
    if not all_versions:
        raise RegistryError(
            f"registered model '{name}'", rule="it has no versions to promote", fix="Train with register"
        )
    newest = all_versions[0]
    metric = classifier_gate.METRIC if classifier_gate.is_classifier(newest) else metric
    measured = []
    for candidate in all_versions:
        value = evidence.metric_of(candidate, metric) if candidate.group == newest.group else None
        if value is not None:
            measured.append((value, candidate.number, candidate))
    if not measured:
        raise RegistryError(
            f"the versions of {name} on {newest.tags.get('data')}",
            rule=f"none has logged {metric}",
            fix="Name a version, or another promotion.metric",
        )
    return max(measured)[2]


def judge(challenger: Version, champion: Version | None, config: PromotionConfig) -> Verdict:
    """The gate's verdict; want of evidence is a refusal with its reason. Raises `BundleError` or `RegistryError` where
    the challenger's bundle cannot be loaded."""
    try:
        ours = evidence.of_version(challenger)
        theirs = None if champion is None else _on_the_rows_of(challenger, champion, config)
        baseline = evidence.popularity_like(challenger) if champion is None else None
    except RecstageError as error:
        return gate.refuse("evidence", f"there is no evidence to compare: {error.given}: {error.rule}")
    users = ours.per_user["user_id"].astype(str).tolist()
    mine, others = evidence.latencies(challenger, champion, users, config.guardrails)
    ours = replace(ours, latency=mine)
    theirs = None if theirs is None else replace(theirs, latency=others)
    verdict = gate.judge(ours, theirs, config, baseline=baseline)
    measured, before = assessment.assess(challenger, champion, ours, theirs, config)
    return gate.extended(verdict, guardrails.checks(measured, before, config.guardrails, config.require))


def _on_the_rows_of(challenger: Version, champion: Version, config: PromotionConfig) -> gate.Evidence:
    if champion.group == challenger.group:
        return evidence.of_version(champion)
    log.info("%s was tested on other rows than %s: measuring it again", champion, challenger)
    return evidence.remeasured(champion, challenger, least=config.guardrails.segment_users)


def write_down(version: Version, verdict: Verdict, outcome: str) -> None:
    """The verdict on the version itself: as tags, one a check, and as a page of its run."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    evidence_text = json.dumps(verdict.as_dict())
    tags = {
        "gate_verdict": outcome,
        "gate_reasons": "; ".join(verdict.reasons),
        "gate_evidence": evidence_text
        if len(evidence_text) <= mlflow_client.LONGEST_TAG
        else json.dumps(verdict.summary),
        "gate_at": at,
    }
    page = gate_report.page(version, verdict, outcome, at)
    if tracking.log_late(version.run_id, page, gate_report.PAGE):
        tags["gate_report"] = f"runs:/{version.run_id}/{gate_report.PAGE}"
    mlflow_client.tag_version(version.name, version.number, {**gate_report.tags(verdict), **tags})
    registry.describe(version.name)
