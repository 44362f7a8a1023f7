"""The conditions that make a service degraded, each with a name, a text and a remedy; docs/monitoring.md lists them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from serving.errors import without_paths


class Condition(Enum):
    """What can be wrong: (name, text, remedy). The name is a stable label of metrics and logs."""

    DATABASE_UNAVAILABLE = (
        "database-unavailable",
        "the database is unavailable; lists are made without live histories",
        "Start the database, or give the service access to its file; it connects again by itself",
    )
    WRITES_FAILING = (
        "writes-failing",
        "the last write to the database failed; events get 503 and impressions wait",
        "Free disk space, or end what locks the database; callers send refused events again",
    )
    REPLICA_UNUSED = (
        "replica-unused",
        "the read replica is not read; the primary answers in its place",
        "Start the replica, let it catch up, or correct read_database_url; it is looked at every second",
    )
    REVISION_DIFFERS = (
        "revision-differs",
        "the tables of the database were changed by another version of the code; this one goes on as far as it can",
        "Restart this process with the code that the database needs",
    )
    CLOCK_DIFFERS = (
        "clock-differs",
        "the clocks of this host and of the database differ; events, rules and expiry are dated by the host's",
        "Let both follow one time server (chrony, ntpd)",
    )
    REDIS_UNAVAILABLE = (
        "redis-unavailable",
        "Redis does not answer; lists are not cached, and each worker limits its callers by itself",
        "Start Redis, or correct redis_url; it is tried again every five seconds",
    )
    ERASURES_OPEN = (
        "erasures-open",
        "erased users are not searched for in all registered versions yet, or are still in the log of the database",
        "Make the registry readable, and end what reads the database for long; it is tried again every minute",
    )
    REGISTRY_UNAVAILABLE = (
        "registry-unavailable",
        "the registry cannot be read; the version that serves stays",
        "Start the MLflow server, or correct MLFLOW_TRACKING_URI",
    )
    REGISTRY_STALE = (
        "registry-stale",
        "polls of the registry hang or stopped; promotions since are not followed",
        "Look for a registry that does not respond; the log has the end of the sync process, if it ended",
    )
    MODEL_UNREGISTERED = (
        "model-unregistered",
        "the registered model is not in the registry any more; the version that serves stays",
        "Register and promote a version again, or correct MLFLOW_TRACKING_URI",
    )
    STAGE_ALIAS_CONFLICT = (
        "stage-alias-conflict",
        "stage and alias were moved to different versions; the version that serves stays",
        "Move both to one version in the MLflow UI, or promote one",
    )
    VERSION_UNFETCHABLE = (
        "version-unfetchable",
        "the staged version cannot be fetched or verified",
        "Train it again, or promote another version; POST /api/model/reload tries it at once",
    )
    VERSION_UNLOADABLE = (
        "version-unloadable",
        "the staged version cannot be served",
        "Train it again, or promote another version; POST /api/model/reload tries it at once",
    )
    MODEL_TIMEOUT = (
        "model-timeout",
        "a model did not answer in time; lists are made by popularity meanwhile",
        "Promote a faster version, add threads, or raise model_timeout_seconds",
    )
    BUNDLES_NOT_WRITABLE = (
        "bundles-not-writable",
        "the folder of bundles cannot be written",
        "Free disk space, or set bundle_dir to another folder",
    )
    NOTHING_STAGED = (
        "nothing-staged",
        "nothing is staged Production",
        "Promote a version: recstage promote",
    )
    VERSION_MISSING = (
        "version-missing",
        "the staged version is not on this machine",
        "Wait while it is fetched; if it stays so, another condition says why",
    )

    EXPERIMENT_REFUSED = (
        "experiment-refused",
        "the version in Staging is in no experiment; all users get Production",
        "Correct its tags: recstage experiment --share 0.5, or stage another version",
    )

    def __init__(self, label: str, text: str, remedy: str) -> None:
        self.label, self.text, self.remedy = label, text, remedy


@dataclass(frozen=True, slots=True)
class ActiveCondition:
    """A condition that holds now. `model`: the registered model that it is about; empty: the service as a whole."""

    condition: Condition
    model: str = ""
    detail: str = ""

    @property
    def sentence(self) -> str:
        """For callers: no path of this machine."""
        about = f"{self.model}: " if self.model else ""
        detail = f": {without_paths(self.detail)}" if self.detail else ""
        return f"{about}{self.condition.text}{detail}"
