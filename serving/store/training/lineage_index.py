"""Fills the index of `serving.store.training.lineage` from the MLflow registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import URL

from recstage import bundle, registry
from recstage.errors import RecstageError, RegistryError, StoreError
from serving.store.db.reader import Reader
from serving.store.db.writer import Writer
from serving.store.training.lineage import RecordTraining, Registered, recorded


def index(url: URL, names: Sequence[str]) -> dict[str, Any]:
    """Record the versions of these registered models that are not recorded yet.

    Returns `registered` (all versions), `added`, and `unread` (those whose bundle cannot be read, with the reason).
    Raises `StoreError` where the registry or the database is unavailable.
    """
    reader, writer = Reader(url), Writer(url, busy_timeout=10.0)
    registered: list[Registered] = []
    added: list[Registered] = []
    unread: dict[str, str] = {}
    try:
        known = recorded(reader)
        for version in _versions(names):
            one = (version.name, str(version.number))
            registered.append(one)
            if one in known:
                continue
            try:
                user_ids = bundle.user_ids_of(registry.fetch(version)).tolist()
            except StoreError:
                raise
            except (RecstageError, OSError, ValueError, KeyError) as error:
                unread[f"{version.name} version {version.number}"] = str(error)
                continue
            writer.submit(RecordTraining(one, user_ids)).result()
            added.append(one)
    finally:
        writer.close()
        reader.close()
    return {"registered": registered, "added": added, "unread": unread}


def _versions(names: Sequence[str]) -> list[registry.Version]:
    found: list[registry.Version] = []
    for name in names:
        try:
            found += registry.versions(name)
        except RegistryError:
            continue  # nothing was ever registered under this name
    return found
