"""Whether the database has the schema that this code needs: checked at each start, therefore without Alembic."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, MetaData, String, Table, select

from serving.store.db.connection import display_url
from serving.store.db.errors import SchemaMismatch
from serving.store.db.reader import Query, Reader

VERSIONS = Path(__file__).parent / "migrations" / "versions"
_ALEMBIC = Table("alembic_version", MetaData(), Column("version_num", String(32)))
_REVISION = Query("revision", select(_ALEMBIC.c.version_num))


def newest() -> str:
    """The revision that this code needs: the files of the migrations begin with their numbers."""
    return max(path.stem for path in VERSIONS.glob("[0-9]*.py")).split("_")[0]


def found_in(reader: Reader) -> str | None:
    """The revision of the database, None where it has no tables of the service. Raises `StoreError`."""
    try:
        row = reader.row(_REVISION)
    except SchemaMismatch:
        return None
    return None if row is None else str(row[0])


def check(reader: Reader) -> None:
    """Raise `SchemaMismatch` unless the database has the newest revision. Raises `StoreError`."""
    found = found_in(reader)
    if found == newest():
        return
    if found is not None and found > newest():
        raise SchemaMismatch(
            f"{display_url(reader.url)} at revision {found}",
            rule=f"it is newer than this code, which needs revision {newest()}",
            fix="Run the newer code, or restore a backup of the older revision",
        )
    raise SchemaMismatch(
        f"{display_url(reader.url)} at revision {found or 'none'}",
        rule=f"this code needs revision {newest()}",
        fix="Run python -m serving.store upgrade",
    )
