"""What is wrong with the address of a tracking store, told at once and in one line."""

from __future__ import annotations

import os
import socket
import urllib.request
from functools import cache
from urllib.parse import urlsplit

from recstage.errors import StoreError

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SERVERS = ("http", "https", "databricks", "databricks-uc", "uc")
FILES = ("", "file")
SECONDS = 5
"""How long a database or server may take to answer the first time."""


def check_uri(uri: str) -> None:
    """Raises `StoreError` on an address that no tracking store of recstage can have."""
    scheme = uri.split(":", 1)[0].split("+")[0].lower() if ":" in uri or uri.startswith("databricks") else ""
    if scheme in (*DATABASES, *SERVERS):
        return
    if scheme in FILES:
        if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() == "true":
            return
        raise StoreError(
            f"MLFLOW_TRACKING_URI = {uri}",
            rule="runs and versions are kept in a database or by a server; MLflow has given folders of files up",
            fix="Set it to sqlite:////a/path/mlflow.db, postgresql://... or http://..., or unset it (then it is "
            "mlflow.db in the repository); mlflow migrate-filestore takes the runs of a folder along",
        )
    raise StoreError(
        f"MLFLOW_TRACKING_URI = {uri}",
        rule=f"'{scheme}' is no kind of tracking store",
        fix=f"Begin it with one of {', '.join((*DATABASES, *SERVERS))}",
    )


@cache
def reachable(uri: str) -> None:
    """Look once in each process whether a database or server answers at all. Raises `StoreError` after `SECONDS`."""
    scheme = uri.split(":", 1)[0].split("+")[0].lower()
    if scheme in ("postgresql", "mysql"):
        _database(uri)
    elif scheme in ("http", "https") and scheme not in urllib.request.getproxies():
        parts = urlsplit(uri)
        _listens(uri, parts.hostname or "", parts.port or (443 if scheme == "https" else 80))


def without_password(uri: str) -> str:
    """An address as it may be shown."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return uri.replace(f":{parts.password}@", ":***@", 1)


def _database(uri: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        with create_engine(uri, connect_args={"connect_timeout": SECONDS}, poolclass=NullPool).connect():
            return
    except ModuleNotFoundError as error:
        raise StoreError(
            without_password(uri), rule=f"the driver {error.name} is not installed", fix=f"pip install {error.name}"
        ) from error
    except SQLAlchemyError as error:
        words = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise StoreError(
            without_password(uri),
            rule=f"the database cannot be reached ({words[0][:200] if words else type(error).__name__})",
            fix="Start it, or correct MLFLOW_TRACKING_URI",
        ) from error


def _listens(uri: str, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError as error:
        raise StoreError(
            without_password(uri),
            rule=f"the MLflow server does not answer ({error.strerror or error})",
            fix="Start it, or correct MLFLOW_TRACKING_URI",
        ) from error
