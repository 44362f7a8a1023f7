"""Whether the database has the schema that this code works with: asked at each start, so without Alembic."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, MetaData, String, Table, select

from serving.store.db.connection import shown
from serving.store.db.errors import StoreOutOfStep
from serving.store.db.reader import Query, Reader

VERSIONS = Path(__file__).parent / "migrations" / "versions"
_ALEMBIC = Table("alembic_version", MetaData(), Column("version_num", String(32)))
_REVISION = Query("revision", select(_ALEMBIC.c.version_num))


def newest() -> str:
    """The revision that this code works with: the files of the migrations begin with their numbers."""
    return max(path.stem for path in VERSIONS.glob("[0-9]*.py")).split("_")[0]


def found_in(reader: Reader) -> str | None:
    """The revision of the database, None where it has none of our tables. Raises `StoreError` where it is away."""
    try:
        row = reader.row(_REVISION)
    except StoreOutOfStep:
        return None
    return None if row is None else str(row[0])


def check(reader: Reader) -> None:
    """Raise `StoreOutOfStep` unless the database has exactly that revision, another `StoreError` where it is away."""
    found = found_in(reader)
    if found == newest():
        return
    if found is not None and found > newest():
        raise StoreOutOfStep(
            f"{shown(reader.url)} at revision {found}",
            rule=f"it is newer than this code, which works with revision {newest()}",
            fix="Run the newer code, or restore a backup of the older revision",
        )
    raise StoreOutOfStep(
        f"{shown(reader.url)} at revision {found or 'none'}",
        rule=f"this code works with revision {newest()}",
        fix="Run python -m serving.store upgrade",
    )
