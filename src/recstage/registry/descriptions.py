"""What the MLflow UI says on the pages of a registered model and of its versions: Markdown, kept current.

Our part ends with a mark, and has another one at the end of its first line: tables of the UI show the beginning. What a
user writes before or after it stays; a version's page ends with what its run said of it when it was trained.
Everything is read from tags, so that a refresh reads the registry once and writes only what has changed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from recstage import markdown
from recstage.errors import RecstageError
from recstage.registry import audit_log, mlflow_client
from recstage.registry.audit_log import Change
from recstage.registry.mlflow_client import ARCHIVED, RegisteredModelState, Version
from recstage.tracking import RANKED_BY_TAG

BEGIN, END = "<!-- recstage -->", "<!-- /recstage -->"
LONGEST = 5000
CHANGES_SHOWN = 15
FIGURES = {
    "ndcg_at_10": "NDCG@10",
    "hit_rate_at_10": "HR@10",
    "recall_at_20": "Recall@20",
    "sampled_ndcg_at_10": "NDCG@10, sampled negatives",
    "coverage_at_10": "coverage@10",
    "mean_average_precision": "mean average precision",
    "macro_f1": "macro F1",
    "latency_p95_ms": "p95 of one list, ms",
}
OUTCOMES = {"passed": "passed", "forced": "failed, and promoted all the same", "refused": "refused it"}

log = logging.getLogger(__name__)


def refresh(name: str) -> None:
    """Write the descriptions anew where they have changed. What goes wrong is logged: a description is worth no
    failure."""
    try:
        state = mlflow_client.read(name)
        production = _production(state)
        changes = audit_log.read_from(state.tags)
        _write_model(state, of_model(state, production, changes))
        for version in state.versions.values():
            _write_version(version, of_version(version, production, changes))
    except RecstageError as error:
        log.warning("the descriptions of %s were not written: %s", name, error)


def begin(version: Version, said: str) -> None:
    """The first description of a new version: our part, then what its run said of it."""
    _write_version(version, of_version(version, None, ()), said)


# -- the registered model ---------------------------------------------------------------------------------------------


def of_model(state: RegisteredModelState, production: Version | None, changes: Sequence[Change]) -> str:
    """Which version is served and how that came about, the newest change first."""
    if production is None:
        lines = [f"**Nothing is Production.** `recstage promote --name {state.name}` makes the best version so."]
    else:
        since = _since(production, changes)
        lines = [f"**Production: version {production.number}, {_what(production)}**{since}. {_headline(production)}"]
    lines += ["", *_table_of(changes, state)]
    lines += [
        f"**Promote:** `recstage promote VERSION --name {state.name}` (through the gate), or give a version the alias "
        f"`production` on this page. **Roll back:** `recstage rollback --name {state.name}`. The service follows "
        "within two seconds. The blue button *Promote model* of a version's page does something else: it copies the "
        "version to another registered model.",
    ]
    return "\n".join(lines)


def _table_of(changes: Sequence[Change], state: RegisteredModelState) -> list[str]:
    if not changes:
        return []
    rows = [_row(change, state) for change in reversed(changes[-CHANGES_SHOWN:])]
    older = len(changes) - len(rows)
    found = [
        "**History**",
        "",
        markdown.spaced_table(("when (UTC)", "Production", "NDCG@10", "how", "by", "why"), rows),
    ]
    return [*found, f"{older} older changes: `recstage history`.", ""] if older else found


def _row(change: Change, state: RegisteredModelState) -> tuple[str, ...]:
    version = None if change.version is None else state.versions.get(change.version)
    what = "nothing" if change.version is None else f"{change.version}"
    what += f" ({version.algorithm})" if version is not None else "" if change.version is None else " (deleted)"
    figure = "" if version is None else _figure(version, "ndcg_at_10")
    return f"{change.time:%Y-%m-%d %H:%M}", what, figure, change.how, change.by, change.reason[:160]


# -- a version --------------------------------------------------------------------------------------------------------


def of_version(version: Version, production: Version | None, changes: Sequence[Change]) -> str:
    """What a version is, its place, its figures beside Production's, and the gate's verdict in words."""
    rival = None if production is None or production.number == version.number else production
    lines = [f"{_what(version)} · {_place(version, production, changes)}", "", *_figures(version, rival)]
    lines += _verdict(version)
    if rival is None and production is not None:
        lines += [f"**Roll back:** `recstage rollback --name {version.name}`.", ""]
    else:
        lines += [
            f"**Promote:** `recstage promote {version.number} --name {version.name}`, or the alias `production` on "
            f"this version. **Back again:** `recstage rollback --name {version.name}`.",
            "",
        ]
    return "\n".join(lines)


def _what(version: Version) -> str:
    data, by = version.tags.get("data"), version.tags.get(RANKED_BY_TAG)
    algorithm = f"{version.algorithm} ({by})" if by else version.algorithm
    return f"{algorithm} on {data}" if data else algorithm


def _place(version: Version, production: Version | None, changes: Sequence[Change]) -> str:
    if production is not None and production.number == version.number:
        return f"Production{_since(version, changes)}"
    past = [change for change in changes if change.version == version.number]
    if past:
        return f"was Production from {past[-1].time:%Y-%m-%d %H:%M} UTC on, no longer is"
    return "archived" if version.stage == ARCHIVED else "never was Production"


def _since(version: Version, changes: Sequence[Change]) -> str:
    mine = [change for change in changes if change.version == version.number]
    if not mine:
        return ""
    last = mine[-1]
    why = f": {last.reason}" if last.reason else ""
    return f" since {last.time:%Y-%m-%d %H:%M} UTC ({last.how} by {last.by}{why})"


def _figures(version: Version, rival: Version | None) -> list[str]:
    names = [name for name in FIGURES if name in version.tags]
    if not names:
        return []
    same = rival is not None and rival.group == version.group
    header = ["", "this version"]
    if rival is not None and same:
        header.append(f"Production: {rival.number} ({rival.algorithm})")
    rows = []
    for name in names:
        cells = [FIGURES[name], _figure(version, name)]
        if rival is not None and same:
            cells.append(_figure(rival, name))
        rows.append(cells)
    found = [markdown.spaced_table(header, rows)]
    if rival is not None and not same:
        found += [f"Production, {rival}, was tested on other rows: their figures do not compare.", ""]
    return found


def _figure(version: Version, name: str) -> str:
    if name not in version.tags:
        return ""
    value, low, high = (version.tags.get(f"{name}{side}") for side in ("", "_low", "_high"))
    text = _written(value)
    return f"{text} [{_written(low)}, {_written(high)}]" if low and high else text


def _written(text: str | None) -> str:
    try:
        return f"{float(text or ''):.4g}"
    except ValueError:
        return text or ""


def _headline(version: Version) -> str:
    value = _figure(version, "ndcg_at_10")
    return f"NDCG@10 {value}." if value else ""


def _verdict(version: Version) -> list[str]:
    outcome = version.tags.get("gate_verdict")
    if not outcome:
        return ["**Gate:** not asked yet.", ""]
    when = version.tags.get("gate_at", "")[:16].replace("T", " ")
    lines = [f"**Gate** ({when} UTC): {OUTCOMES.get(outcome, outcome)}.", ""]
    lines += [f"- {check['outcome']}: {check['message']}" for check in _checks(version)]
    return [*lines, ""]


def _checks(version: Version) -> list[dict[str, Any]]:
    try:
        found = json.loads(version.tags.get("gate_evidence", ""))
    except ValueError:
        return []
    checks = found.get("checks", []) if isinstance(found, dict) else []
    # records of version 0.1 said `says` where they now say `message`
    return [{"message": check.get("says", ""), "outcome": "", **check} for check in checks if isinstance(check, dict)]


# -- writing ----------------------------------------------------------------------------------------------------------


def merged(before: str, ours: str) -> str:
    """`before` with our part in place of the old one, or first where there was none; shortened at its end."""
    begin, end = before.find(BEGIN), before.find(END)
    first, _, rest = ours.strip().partition("\n")
    block = f"{first} {BEGIN}\n{rest}\n\n{END}"
    if 0 <= begin < end:
        text = before[: before.rfind("\n", 0, begin) + 1] + block + before[end + len(END) :]
    else:
        text = f"{block}\n\n{before}" if before.strip() else block
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"


def _write_model(state: RegisteredModelState, ours: str) -> None:
    text = merged(state.description, ours)
    if text != state.description:
        mlflow_client.describe_model(state.name, text)


def _write_version(version: Version, ours: str, said: str = "") -> None:
    text = merged(version.description or said, ours)
    if text != version.description:
        mlflow_client.describe_version(version.name, version.number, text)


def _production(state: RegisteredModelState) -> Version | None:
    staged = sorted(state.staged)
    number = state.alias if state.alias in staged else next(iter(staged), None)
    return None if number is None else state.versions.get(number)
