"""Which versions and runs were trained on a user: by the ids in bundles, and by keyed digests where no bundle is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from recstage import bundle, registry, tracking
from recstage.config import ServiceSource, resolve
from recstage.config.steps import TrainedOnSettings
from recstage.data.snapshots.connection import connected, digests
from recstage.data.snapshots.id_digests import KeyedDigests
from recstage.errors import RecstageError
from recstage.registry import Version, mlflow_client


@dataclass(frozen=True)
class TrainedOnResult:
    """`answer` is one sentence; `versions` as NAME/NUMBER (STAGE), `runs` that are no version, `snapshots` by digest.
    `complete` where every version and every run with a snapshot could be asked; if not, `unread` says which could not,
    and why."""

    user: str
    answer: str = ""
    versions: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    complete: bool = True
    unread: list[str] = field(default_factory=list)


def settings_from(arguments: Sequence[str] = ()) -> TrainedOnSettings:
    """Settings from the command line."""
    return resolve(TrainedOnSettings, {}, arguments, program="trained-on")


def run(settings: TrainedOnSettings) -> TrainedOnResult:
    """Raises `StoreError` where the registry is away. A user that no version knows is no mistake: the user may never
    have been there."""
    tracking.connect()
    result = TrainedOnResult(settings.user)
    keyed, why = _keyed()
    known: set[str] = set()
    asked = 0
    for name in mlflow_client.names():
        for version in sorted(registry.versions(name), key=lambda one: one.number):
            known.add(version.run_id)
            asked += 1
            holds = _holds(version, settings.user, keyed)
            if holds is None:
                result.unread.append(f"{name}/{version.number}: neither its bundle nor digests can be read")
            elif holds:
                result.versions.append(f"{name}/{version.number} ({version.stage})")
    with_snapshot = tracking.runs_with_snapshot()
    if keyed is None and any(one.run_id not in known for one in with_snapshot):
        result.unread.append(f"runs that are no version: {why}")
    for one in with_snapshot if keyed is not None else ():
        packed = tracking.digests_of(one.run_id)
        if keyed is None or packed is None or not keyed.contained(settings.user, packed):
            continue
        if one.run_id not in known:
            result.runs.append(one.run_id)
        digest = one.tags[tracking.SNAPSHOT_TAG]
        if digest not in result.snapshots:
            result.snapshots.append(digest)
    return replace(result, answer=_answer(result, asked), complete=not result.unread)


def _answer(found: TrainedOnResult, asked: int) -> str:
    """What was found, of `asked` registered versions, in one sentence."""
    versions = f"{len(found.versions) or 'none'} of {asked} registered version{'s' * (asked != 1)}"
    runs = f"{len(found.runs) or 'no'} other run{'s' * (len(found.runs) != 1)}"
    unsure = ", as far as they can be read" if found.unread else ""
    return f"user '{found.user}' is in {versions} and {runs}{unsure}"


def _holds(version: Version, user: str, keyed: KeyedDigests | None) -> bool | None:
    """Whether a version was trained on a user; None where nothing says so."""
    try:
        return user in set(bundle.user_ids_of(registry.fetch(version)).tolist())
    except RecstageError:
        packed = tracking.digests_of(version.run_id) if keyed is not None else None
        return None if packed is None or keyed is None else keyed.contained(user, packed)


def _keyed() -> tuple[KeyedDigests | None, str]:
    """Digests under the key of the service's database; None and the reason where it cannot be read."""
    try:
        with connected(ServiceSource()) as connection:
            found = digests(connection)
    except RecstageError as error:
        return None, f"{error.given}: {error.rule}"
    return found, "the service's database has no key"
