"""The counts of a validation report, of any way of preparing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recstage.data.catalogue import Catalogue
from recstage.data.tables.values.columns import NO_COLUMNS, Columns, kinds_of
from recstage.data.validation import Findings


def summary(
    findings: Findings,
    notes: Sequence[str],
    catalogue: Catalogue,
    *,
    events: int,
    users: int,
    pairs: int,
    ties: float | None,
    parts: Mapping[str, int],
    left_out: Mapping[str, int],
    profiles: Columns = NO_COLUMNS,
    context: Columns = NO_COLUMNS,
) -> dict[str, Any]:
    """`ties`: share of events that another of the same user has the same time as, None of unordered data; `parts`: rows
    of training, validation and test."""
    return {
        "rows": findings.rows,
        "kept": findings.kept,
        "dropped": findings.dropped,
        "first_dropped": {reason: list(rows) for reason, rows in findings.first.items()},
        "notes": list(notes),
        "events": events,
        "ordered": ties is not None,
        "ties": None if ties is None else round(ties, 4),
        "pairs": pairs,
        "users": users,
        "items": len(catalogue.items),
        "items_described": int(sum(map(bool, catalogue.documents))),
        "attributes": catalogue.attribute_kinds,
        "user_attributes": kinds_of(profiles),
        "context": kinds_of(context),
        **parts,
        "left_out": dict(left_out),
    }
