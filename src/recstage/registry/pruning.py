"""Deleting old versions without ever touching what Production needs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from recstage.registry import audit_log, mlflow_client
from recstage.registry.mlflow_client import ARCHIVED, NONE, RegisteredModelState, Version
from recstage.registry.production import reconcile


@dataclass(frozen=True)
class Pruned:
    """What was deleted (or would be), and what was kept and why: numbers of versions, oldest first."""

    deleted: tuple[Version, ...]
    kept: dict[int, str]


def prune(name: str = "recommender", *, keep: int = 3, dry_run: bool = False) -> Pruned:
    """Delete all but the last `keep` versions of each algorithm. Kept besides: Production, the version a rollback would
    go to, the one that was Production before, whatever an alias names, and whatever is staged. Runs and their artifacts
    stay: a pruned version can be registered again."""
    reconcile(name)
    with mlflow_client.lock(name):
        model_state = mlflow_client.read(name)
        kept = _kept(model_state, keep)
        doomed = tuple(version for number, version in model_state.versions.items() if number not in kept)
        for version in () if dry_run else doomed:
            mlflow_client.delete(name, version.number)
    reconcile(name)
    return Pruned(doomed, dict(sorted(kept.items())))


def _kept(model_state: RegisteredModelState, keep: int) -> dict[int, str]:
    kept: dict[int, str] = {}
    by_algorithm: dict[str, list[int]] = defaultdict(list)
    for number, version in model_state.versions.items():
        by_algorithm[version.algorithm].append(number)
    for algorithm, numbers in by_algorithm.items():
        kept |= dict.fromkeys(sorted(numbers)[-keep:], f"among the last {keep} of {algorithm}")
    past = audit_log.read_from(model_state.tags)
    for alias, number in model_state.aliases.items():
        kept[number] = f"alias {alias}"
    for number, version in model_state.versions.items():
        if version.stage not in (NONE, ARCHIVED):
            kept[number] = f"stage {version.stage}"
    if past:
        current = past[-1].version
        before = {
            "a rollback goes to it": audit_log.predecessor(past, current, model_state.versions),
            "Production before this one": past[-1].previous,
            "Production": current,
        }
        kept |= {number: why for why, number in before.items() if number is not None and number in model_state.versions}
    return kept
