"""Sources of raw data: one module a class of source, each with `read(config)` and `files(config)`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recstage.config import EventsSource, MovieLensSource, ServiceSource, SourceConfig
from recstage.config.schemas import ItemsSource
from recstage.data.files import download, object_copies, object_store
from recstage.data.schema import RawData
from recstage.data.sources import events, json_layout, movielens, ncf, service, synthetic
from recstage.data.tables import database, opening
from recstage.errors import DataError

PATHS = ("path", "items_path", "users_path", "test_path", "validation_path")
SNAPSHOTS = "snapshots"
VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Source:
    """What a class of source can do."""

    read: Callable[[Any], RawData]
    files: Callable[[Any], list[Path]]


SOURCES = {
    "events": Source(events.read, events.files),
    "json": Source(json_layout.read, json_layout.files),
    "movielens": Source(movielens.read, movielens.files),
    "ncf": Source(ncf.read, ncf.files),
    "service": Source(service.read, service.files),
    "synthetic": Source(synthetic.read, synthetic.files),
}


def read(config: SourceConfig) -> RawData:
    """The raw tables of a located source (see `located`)."""
    return SOURCES[config.kind].read(config)


def files(config: SourceConfig) -> list[Path]:
    """The files that decide what `read` gives; none where the configuration alone does."""
    return SOURCES[config.kind].files(config)


def located(config: SourceConfig, downloads: Path) -> SourceConfig:
    """The same source with real paths: `${NAME}` replaced from the environment, a named MovieLens release downloaded
    where it has no path, or one whose variable is unset, and what a database or an object store holds now as files.
    Raises `DataError` on an unset variable and no release, on a further file that is not there, and on a password in a
    URL that is logged."""
    if isinstance(config, ServiceSource):
        return service.pinned(config, downloads.parent / SNAPSHOTS)
    paths = {name: getattr(config, name) for name in PATHS if getattr(config, name, None)}
    unset = {name: missing for name, path in paths.items() if (missing := _unset(path))}
    found: dict[str, Any] = {
        name: VARIABLE.sub(lambda m: os.environ[m[1]], path) for name, path in paths.items() if name not in unset
    }
    if isinstance(config, MovieLensSource) and "path" not in found and config.release is not None:
        found["path"] = str(download.release(config.release, downloads))
        unset.pop("path", None)
    if unset:
        name, variable = next(iter(unset.items()))
        raise DataError(
            f"source.{name} = {paths[name]}",
            rule=f"the environment variable {variable} is not set",
            fix="Set it to the folder that holds the data, or give a path instead of a name",
        )
    for name, path in found.items():
        if database.is_url(path):
            found[name] = str(_from_database(config, name, paths[name], path, downloads))
        elif object_store.is_url(path) and isinstance(config, ItemsSource):
            found[name] = str(object_copies.copied(path, downloads, config.s3_timeout))
        elif name != "path":
            opening.refuse_missing(path, f"source.{name} = {paths[name]}")
    return config.model_copy(update=found)


def _from_database(config: SourceConfig, name: str, given: str, url: str, downloads: Path) -> Path:
    if not isinstance(config, EventsSource) and name == "path":
        raise DataError(f"source.{name}", rule=f"a {config.kind} source is read from files", fix="Give kind: events")
    if database.has_password(given):
        raise DataError(
            f"source.{name} with a password",
            rule="a run's configuration is logged, and the password with it",
            fix="Put the URL into an environment variable and give ${NAME}, or the password into PGPASSWORD or .pgpass",
        )
    of_events = name == "path" and isinstance(config, EventsSource)
    table, query = (config.table, config.query) if of_events else (None, None)  # type: ignore[union-attr]
    return database.snapshot(
        url, downloads, table=table, query=query, kind="items" if name in ("items_path", "users_path") else "events"
    )


def _unset(path: str) -> str | None:
    return next((name for name in VARIABLE.findall(path) if not os.environ.get(name)), None)
