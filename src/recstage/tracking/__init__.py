"""MLflow runs: the only package that logs.

`connect` makes notebooks, steps, the command line, the UI and the service agree on one tracking store; `run` opens a
run that always ends as FINISHED, FAILED or KILLED; the `log_*` functions write what every run of recstage carries.
"""

from recstage.tracking.environment import configure
from recstage.tracking.lineage import (
    SNAPSHOT_TAG,
    UNTIL_TAG,
    RunFacts,
    digests_of,
    download,
    facts_of,
    log_late,
    log_snapshot,
    restore_run,
    runs_on,
    runs_with_snapshot,
)
from recstage.tracking.logging import (
    MODEL_ARTIFACT,
    PER_USER,
    dataset_tags,
    log_bundle,
    log_config,
    log_dataset,
    log_evaluation,
    log_figures,
    log_libraries,
    log_metrics,
    log_model,
    log_table,
    log_text,
    per_user_of,
    prepare_to_log,
)
from recstage.tracking.moved import Misplaced, mend, misplaced
from recstage.tracking.runs import run
from recstage.tracking.store import (
    EXPERIMENT,
    connect,
    database_identity,
    experiment,
    last_runs,
    outside_environment,
    shown_uri,
    store_uri,
    translate_store_errors,
)

__all__ = [
    "EXPERIMENT",
    "MODEL_ARTIFACT",
    "PER_USER",
    "SNAPSHOT_TAG",
    "UNTIL_TAG",
    "Misplaced",
    "RunFacts",
    "configure",
    "connect",
    "database_identity",
    "dataset_tags",
    "digests_of",
    "download",
    "experiment",
    "facts_of",
    "last_runs",
    "log_bundle",
    "log_config",
    "log_dataset",
    "log_evaluation",
    "log_figures",
    "log_late",
    "log_libraries",
    "log_metrics",
    "log_model",
    "log_snapshot",
    "log_table",
    "log_text",
    "mend",
    "misplaced",
    "outside_environment",
    "per_user_of",
    "prepare_to_log",
    "restore_run",
    "run",
    "runs_on",
    "runs_with_snapshot",
    "shown_uri",
    "store_uri",
    "translate_store_errors",
]
