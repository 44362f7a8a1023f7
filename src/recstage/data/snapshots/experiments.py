"""The lists of an experiment or of a version, and what came of them, read from the service's database.

An outcome is feedback on the list, or an interaction that names the list's request id; each (list, item, outcome)
counts once. Feedback on a list that retention deleted belongs to no version any more and is not read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Connection, TextClause, text

NEVER = -(2**62)
FOREVER = 2**62
LIST_COLUMNS = [
    *("request_id", "user_id", "version", "method", "experiment", "arm", "chance", "shown_at", "milliseconds"),
    *("items", "teams"),
]
OUTCOME_COLUMNS = ["request_id", "item_id", "outcome", "value", "occurred_at"]
_LISTS = (
    "SELECT request_id, user_id, model_version, method, experiment, arm, chance, shown_at, milliseconds, items, teams"
    " FROM recommendation_impressions WHERE shown_at >= :since AND shown_at < :until"
)
_OUTCOMES = (
    "SELECT f.request_id, f.item_id, f.outcome, f.value, f.occurred_at FROM recommendation_feedback f"
    " JOIN recommendation_impressions i ON i.request_id = f.request_id"
    " WHERE i.shown_at >= :since AND i.shown_at < :until"
)
_INTERACTIONS = (
    "SELECT x.request_id, x.item_id, x.interaction_type, x.value, x.occurred_at FROM user_interactions x"
    " JOIN recommendation_impressions i ON i.request_id = x.request_id"
    " WHERE i.shown_at >= :since AND i.shown_at < :until"
)


def lists_of(
    connection: Connection,
    *,
    experiment: str | None = None,
    version: str | None = None,
    since: int = NEVER,
    until: int = FOREVER,
    items: bool = False,
) -> pd.DataFrame:
    """Lists shown from `since` until before `until` (milliseconds since 1970), of one experiment or version where one
    is named. `items`: with item_ids, propensities and teams of each list; else `n_items` alone."""
    statement, parameters = _narrowed(_LISTS, "", experiment, version, since, until)
    frame = pd.DataFrame(connection.execute(statement, parameters).fetchall(), columns=LIST_COLUMNS)
    shown = [_parsed(one) or [] for one in frame.pop("items")]
    teams = [_parsed(one) for one in frame.pop("teams")]
    frame["n_items"] = [len(one) for one in shown]
    if items:
        frame["item_ids"] = [[item for item, _, _ in one] for one in shown]
        frame["propensities"] = [[chance for _, _, chance in one] for one in shown]
        frame["teams"] = teams
    return frame.astype({"chance": "float64", "milliseconds": "float64"})


def outcomes_of(
    connection: Connection,
    *,
    experiment: str | None = None,
    version: str | None = None,
    since: int = NEVER,
    until: int = FOREVER,
) -> pd.DataFrame:
    """What came of the lists that `lists_of` gives."""
    rows: list[Sequence[Any]] = []
    for query in (_OUTCOMES, _INTERACTIONS):
        statement, parameters = _narrowed(query, "i.", experiment, version, since, until)
        rows += connection.execute(statement, parameters).fetchall()
    frame = pd.DataFrame(rows, columns=OUTCOME_COLUMNS).astype({"value": "float64"})
    return frame.drop_duplicates(["request_id", "item_id", "outcome"], ignore_index=True)


def experiments_of(connection: Connection) -> list[str]:
    """Experiments with lists in the database, the newest first."""
    query = (
        "SELECT experiment FROM recommendation_impressions WHERE experiment IS NOT NULL"
        " GROUP BY experiment ORDER BY max(shown_at) DESC"
    )
    return [name for (name,) in connection.execute(text(query))]


def _narrowed(
    query: str, prefix: str, experiment: str | None, version: str | None, since: int, until: int
) -> tuple[TextClause, dict[str, Any]]:
    parameters: dict[str, Any] = {"since": since, "until": until}
    if experiment is not None:
        query, parameters["experiment"] = f"{query} AND {prefix}experiment = :experiment", experiment
    if version is not None:
        query, parameters["version"] = f"{query} AND {prefix}model_version = :version", version
    return text(query), parameters


def _parsed(value: Any) -> Any:
    """JSON as SQLite (text) or PostgreSQL (parsed) returns it."""
    return json.loads(value) if isinstance(value, str) else value
