"""A checkout that was moved or copied: its database still says where artifacts were before, and MLflow believes it.

`refuse_old_place` keeps a run from writing there, `misplaced` counts what points there, `mend` corrects it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from recstage.config import root
from recstage.errors import StoreError
from recstage.tracking.store import store_uri

LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns of MLflow's database that hold the places of artifacts."""
ARTIFACTS = "mlruns"


@dataclass(frozen=True)
class Misplaced:
    """A folder in which this checkout was before, and how many places of the database point into it."""

    old: Path
    places: int


def refuse_old_place(location: str) -> None:
    """Raises `StoreError` where artifacts would go to the folder that this checkout was moved or copied from."""
    old = _old_root(location)
    if old is None or not _is_ours() or not _was_left(old):
        return
    raise StoreError(
        f"artifacts of {store_uri()}",
        rule=f"they would go to {old}, where this checkout was before it was moved or copied",
        fix="Correct the places in the database: recstage doctor --fix",
    )


def misplaced() -> list[Misplaced]:
    """Folders that this checkout was moved or copied from; none where the store is a server, or another database."""
    if not _is_ours():
        return []
    counts: dict[Path, int] = {}
    with _database() as connection:
        for _, _, location in _locations(connection):
            old = _old_root(location)
            if old is not None and _was_left(old):
                counts[old] = counts.get(old, 0) + 1
    return [Misplaced(old, number) for old, number in counts.items()]


def mend(found: list[Misplaced]) -> Path:
    """Let the database say where the artifacts are now. Returns the copy of the database as it was before."""
    database = root() / "mlflow.db"
    kept = database.with_name(f"mlflow.db.before-{datetime.now():%Y%m%d-%H%M%S}")
    shutil.copy2(database, kept)
    moved = {one.old for one in found}
    with _database() as connection, connection.begin():
        for table, column, location in list(_locations(connection)):
            old = _old_root(location)
            if old in moved:
                new = location.replace(str(old), str(root()), 1)
                connection.execute(
                    text(f"UPDATE {table} SET {column} = :new WHERE {column} = :old"), {"new": new, "old": location}
                )
    return kept


def _locations(connection: Connection) -> Iterator[tuple[str, str, str]]:
    for table, column in LOCATIONS:
        query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"
        if table == "experiments":  # Default, unless it is used: MLflow makes it in whatever folder is current
            query += " AND (experiment_id <> 0 OR EXISTS (SELECT 1 FROM runs WHERE runs.experiment_id = 0))"
        for (location,) in connection.execute(text(query)):
            yield table, column, location


def _database() -> Connection:
    return create_engine(store_uri(), poolclass=NullPool).connect()


def _is_ours() -> bool:
    """Whether the store is the database inside the repository, which moves along with it."""
    uri = store_uri()
    return uri.startswith("sqlite:///") and Path(uri.removeprefix("sqlite:///")).resolve() == root() / "mlflow.db"


def _old_root(location: str) -> Path | None:
    """The checkout that a place of artifacts lies in; None where that is this one, or it lies in none."""
    path = unquote(urlsplit(location).path) if location.startswith("file:") else location
    before, found, _ = path.partition(f"/{ARTIFACTS}/")
    if not found or not before.startswith("/") or Path(before).resolve() == root():
        return None
    return Path(before)


def _was_left(old: Path) -> bool:
    """Whether a checkout is gone from there, or stands there with a database of its own."""
    return not (old / ARTIFACTS).exists() or (old / "mlflow.db").is_file()
