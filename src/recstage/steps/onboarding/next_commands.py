"""The four commands from a data set to a list of recommendations."""

from __future__ import annotations

import os
import shlex
from urllib.parse import quote

from recstage.config import root
from recstage.config.steps import DEFAULT_NAME
from recstage.data.schema import USER, RawData
from recstage.errors import RecstageError


def next_commands(name: str, model: str, raw: RawData) -> list[str]:
    """Train, promote, serve, ask. Where other data has Production already, under a registered model of its own."""
    own = ["--name", name] if _is_taken_by_other_data(name) else []
    commands = [
        ["recstage", "train", model, "--data", name, *own],
        ["recstage", "promote", *own],
        ["recstage", "serve", *own],
    ]
    url = f"http://127.0.0.1:8000/api/recommendations?user_id={quote(_typical_user(raw), safe='')}&limit=5"
    return [*map(shlex.join, commands), f"curl '{url}'"]


def _typical_user(raw: RawData) -> str:
    """The first user of the file with at least as many events as most have."""
    counts = raw.events[USER].value_counts()
    counts = counts[counts > 0]
    enough = set(counts.index[counts >= counts.median()])
    return str(next(user for user in raw.events[USER] if user in enough))


def _is_taken_by_other_data(name: str) -> bool:
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (root() / "mlflow.db").is_file():
        return False
    from recstage import registry, tracking  # MLflow takes seconds to import, and a first file needs none of it

    try:
        tracking.connect()
        return registry.production(DEFAULT_NAME).group[0] != name
    except RecstageError:
        return False
