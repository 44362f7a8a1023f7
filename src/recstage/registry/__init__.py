"""The model registry: versions, Production, and who made it so. The only room that knows stages and aliases."""

from recstage.registry.audit_log import Change, How, author, history, predecessor, production_at, trail
from recstage.registry.mlflow_client import Version
from recstage.registry.production import Overtaken, Resolution, move, production, reconcile, resolve
from recstage.registry.pruning import Pruned, prune
from recstage.registry.versions import fetch, figures, register, version_of, versions

__all__ = [
    "Change",
    "How",
    "Overtaken",
    "Pruned",
    "Resolution",
    "Version",
    "author",
    "fetch",
    "figures",
    "history",
    "move",
    "predecessor",
    "production",
    "production_at",
    "prune",
    "reconcile",
    "register",
    "resolve",
    "trail",
    "version_of",
    "versions",
]
