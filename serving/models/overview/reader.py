"""Reads the registry for the copy. Runs in the sync process, because it imports MLflow."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from recstage.errors import RecstageError
from recstage.registry import audit_log, mlflow_client
from recstage.registry.mlflow_client import Version
from recstage.registry.versions import KEY_FIGURES
from serving.models.overview.copy import ChangeRow, RegistryCopy, VersionRow, write_copy
from serving.models.repository import BundleRepository

log = logging.getLogger("serving.models.overview")
PAUSE_SECONDS = 10.0
MOST_CHANGES = 50
EXPERIMENT = "experiment."


class CopyWriter:
    """Keeps the copy of one registered model up to date."""

    def __init__(self, repository: BundleRepository, clock: Callable[[], float] = time.monotonic) -> None:
        self._repository, self._clock = repository, clock
        self._next = clock()

    def refresh(self, *, at_once: bool = False) -> None:
        """Write the copy, at most every ten seconds unless `at_once`. Never raises: an old copy is better than none,
        and what is wrong with the registry stands in its polls."""
        now = self._clock()
        if not at_once and now < self._next:
            return
        self._next = now + PAUSE_SECONDS
        try:
            write_copy(self._repository, read_registry(self._repository.name))
        except (RecstageError, OSError):
            log.debug("the registry is not copied", exc_info=True)
        except Exception:  # a library's own error
            log.warning("the registry cannot be copied", extra={"event": "copy-failed"}, exc_info=True)


def read_registry(name: str) -> RegistryCopy:
    """The registered model as it is now. Raises `RegistryError` where there is none, `StoreError`."""
    state = mlflow_client.read(name)
    changes = audit_log.read_from(state.tags)[-MOST_CHANGES:]
    return RegistryCopy(
        at=time.time(),
        versions=tuple(_row(version) for version in sorted(state.versions.values(), key=lambda one: -one.number)),
        changes=tuple(
            ChangeRow(_text(one.version), _text(one.previous), one.at, one.by, one.how, one.reason)
            for one in reversed(changes)
        ),
    )


def _row(version: Version) -> VersionRow:
    tags = version.tags
    return VersionRow(
        version=str(version.number),
        stage=version.stage,
        algorithm=version.algorithm,
        created_at=version.created_at,
        run_id=version.run_id,
        data=tags.get("data", ""),
        split=tags.get("split", ""),
        fingerprint=tags.get("fingerprint", ""),
        figures=_figures(tags),
        gate=tags.get("gate_verdict", ""),
        gate_at=tags.get("gate_at", ""),
        gate_reasons=tags.get("gate_reasons", ""),
        experiment={key: value for key, value in tags.items() if key.startswith(EXPERIMENT)},
    )


def _figures(tags: Mapping[str, str]) -> dict[str, float]:
    found = {}
    for key in KEY_FIGURES:
        try:
            found[key] = float(tags[key])
        except (KeyError, ValueError):
            continue
    return found


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
