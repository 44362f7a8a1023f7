"""Doubts about columns, dates and weights, and how they are settled: by the user at a terminal, else by the guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from shlex import quote
from typing import Any

from recstage.data.schema import EVENT_COLUMNS, ITEM, USER
from recstage.data.tables.table import TableFile
from recstage.errors import DataError
from recstage.steps.onboarding.facts.columns import Meanings, is_matrix, meanings_of
from recstage.steps.onboarding.facts.contents import Contents
from recstage.steps.onboarding.facts.form import Form
from recstage.steps.onboarding.facts.profile import Profile
from recstage.steps.onboarding.other_shapes import lists_refused, matrix_refused, refuse_lists
from recstage.steps.onboarding.proposal import Weight
from recstage.steps.onboarding.questions import Questions

MORE_ROWS = 200_000
IN_WORDS = {USER: "users", ITEM: "items", "timestamp": "times", "interaction_type": "event types", "value": "values"}


def columns_of(
    files: Sequence[TableFile], contents: Contents, given: Mapping[str, str], questions: Questions
) -> tuple[Meanings, Contents]:
    """What the columns mean, asked for where only the values tell. Raises `DataError` where there is no column of users
    or items, and on a matrix of users and items."""
    file = files[0]
    if not any(one.rows for one in files):
        raise DataError(file.where, rule="holds no rows", fix="Give a file with rows")
    if not given and is_matrix(file, contents):
        raise matrix_refused(file)
    found = meanings_of(file, contents, given)
    if not {USER, ITEM} <= {ours for ours, why in found.why.items() if why != "by its values"}:
        contents = _of_more_rows(file) or contents  # what only values tell needs more of them
        found = meanings_of(file, contents, given)
    refuse_lists(file, found, contents, given)
    for ours in EVENT_COLUMNS:
        if ours not in found.columns or found.why.get(ours) != "by its values":
            continue
        elsewhere = {theirs for one, theirs in found.columns.items() if one not in (USER, ITEM)}
        others = [name for name in found.unsure.get(ours, ()) if name not in elsewhere and name != found.columns[ours]]
        also = f" It could be {' or '.join(others)}." if others else ""
        name = questions.choose(
            f"{found.columns[ours]} is taken as {ours} ({IN_WORDS[ours]}), by its values.{also} Which is it?",
            found.columns[ours],
            file.names,
        )
        found = found.told(ours, name) if questions.can_ask else found
    for ours in (USER, ITEM):
        if ours not in found.columns:
            found = _asked_for(ours, file, found, contents, questions)
    return found, contents


def _of_more_rows(file: TableFile) -> Contents | None:
    frame = file.read(coded=file.names).frame.head(MORE_ROWS)
    return Contents(file, frame.astype(object)) if len(frame) else None


def _asked_for(ours: str, file: TableFile, found: Meanings, contents: Contents, questions: Questions) -> Meanings:
    free = [name for name in file.names if name not in found.columns.values()]
    lists = [name for name in free if contents.are_lists(name)]
    if ours == ITEM and lists:
        raise lists_refused(file, lists[0], contents)
    if not questions.can_ask or not free:
        raise DataError(
            f"{file.where}: columns {', '.join(file.names)}",
            rule=f"none is known to hold {ours}, by its name or its values",
            fix=f"Say which: --columns.{ours} {quote(free[0]) if free else 'COLUMN'}",
        )
    return found.told(
        ours, questions.choose(f"Which column holds {ours} ({IN_WORDS[ours]})? {', '.join(free)}", "", free)
    )


def time_of(form: Form, source: Mapping[str, Any], questions: Questions) -> dict[str, Any]:
    """The source with the order of day and month, where the dates do not tell."""
    if not form.ambiguous_dates or source.get("time", "auto") != "auto":
        return dict(source)
    why = f"The rows are in order of time if the {form.in_order} is" if form.in_order else "No date tells"
    question = f"In dates as {form.first_time}, is the month first? {why} (--time day-first or month-first)"
    month = questions.confirm(question, form.in_order != "day")
    return {**source, "time": "month-first" if month else "day-first"}


def weights_asked(weights: Mapping[str, Weight], profile: Profile, questions: Questions) -> dict[str, Weight]:
    """The weights, asked for where only how often a type comes tells."""
    found = dict(weights)
    for kind, weight in weights.items():
        if weight.known or isinstance(weight.rule, dict):
            continue
        rule = questions.number(
            f"What is an event '{kind}' ({profile.types[kind]:,} of them) worth, from 0 to 1?", weight.rule, _fits
        )
        if rule != weight.rule:
            found[kind] = replace(weight, rule=rule, why="as told", known=True)
    return found


def _fits(weight: float) -> bool:
    return 0 <= weight <= 1
