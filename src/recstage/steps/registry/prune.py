"""Delete old versions: all but the last few of each algorithm, never Production or what a rollback needs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from recstage import registry, tracking
from recstage.config import read_yaml, resolve, root
from recstage.config.steps import PruneSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PruneResult:
    """Numbers of the versions that were (with `dry_run`: would be) deleted; why each of the others was kept. Runs and
    their artifacts stay."""

    name: str
    deleted: list[int]
    kept: dict[int, str]
    dry_run: bool


def settings_from(arguments: Sequence[str] = ()) -> PruneSettings:
    """Settings from conf/promotion.yaml and the command line."""
    promotion = read_yaml(root() / "conf" / "promotion.yaml")
    defaults = {"keep": promotion["keep"]} if "keep" in promotion else {}
    return resolve(PruneSettings, defaults, arguments, program="prune")


def run(settings: PruneSettings) -> PruneResult:
    """Raises `RegistryError` on an unknown registered model."""
    tracking.connect()
    pruned = registry.prune(settings.name, keep=settings.keep, dry_run=settings.dry_run)
    verb = "would delete" if settings.dry_run else "deleted"
    for version in pruned.deleted:
        log.info("%s %s", verb, version)
    return PruneResult(settings.name, [version.number for version in pruned.deleted], pruned.kept, settings.dry_run)
