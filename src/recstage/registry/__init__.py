"""The model registry: versions, Production, and who made it so. The only package that knows stages and aliases."""

from recstage.registry.audit_log import Change, How, author, history, predecessor, production_at, trail
from recstage.registry.descriptions import refresh as describe
from recstage.registry.mlflow_client import Version, exists, tag_version
from recstage.registry.production import Overtaken, Resolution, production, reconcile, resolve, set_production
from recstage.registry.pruning import Pruned, prune
from recstage.registry.staging import (
    StagingResolution,
    reconcile_staging,
    resolve_staging,
    set_staging,
    staging,
    unset_staging,
)
from recstage.registry.versions import UPDATED_FROM, fetch, figures, load_logged, register, version_of, versions

__all__ = [
    "UPDATED_FROM",
    "Change",
    "How",
    "Overtaken",
    "Pruned",
    "Resolution",
    "StagingResolution",
    "Version",
    "author",
    "describe",
    "exists",
    "fetch",
    "figures",
    "history",
    "load_logged",
    "predecessor",
    "production",
    "production_at",
    "prune",
    "reconcile",
    "reconcile_staging",
    "register",
    "resolve",
    "resolve_staging",
    "set_production",
    "set_staging",
    "staging",
    "tag_version",
    "trail",
    "unset_staging",
    "version_of",
    "versions",
]
