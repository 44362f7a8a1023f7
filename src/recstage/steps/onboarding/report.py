"""What was found, for a reader: lines of the console, and the same as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from recstage.data.report.distributions import classes
from recstage.data.report.page import environment
from recstage.data.schema import ITEM, USER, RawData
from recstage.steps.onboarding.facts.profile import Profile, Values
from recstage.steps.onboarding.facts.wording import counted, of_all, percent
from recstage.steps.onboarding.result import InitResult

WIDTH = 24


def lines(result: InitResult, text: str) -> Iterator[str]:
    """All of it for the console."""
    yield from _rows(result.form.lines() if result.form is not None else ())
    yield ""
    yield f"  {'column':<{WIDTH}} {'means':<18} {'known':<20} first rows"
    for column in result.table:
        shown = " | ".join(value[:WIDTH] for value in column.examples)
        yield f"  {column.name[:WIDTH]:<{WIDTH}} {column.means or '-':<18} {column.why:<20} {shown}"
    yield ""
    yield from _rows(counts(result.profile))
    yield from _rows((f"values of {kind}", words(one)) for kind, one in result.profile.values.items())
    yield ""
    yield from (f"warning: {warning}" for warning in result.warnings)
    yield from (f"note: {note}" for note in result.notes)
    for one in result.decisions:
        yield f"{'answered' if one.asked else 'taken unasked'}: {one.question} {one.taken}"
    yield ""
    yield f"split {result.split}: {result.split_why}"
    yield "models worth trying:"
    yield from _rows(result.models.items())
    yield ""
    yield from text.splitlines()


def counts(profile: Profile) -> Iterator[tuple[str, str]]:
    """Counts in words, by name."""
    yield "rows", f"{profile.rows:,} read, {profile.kept:,} kept, {profile.rows - profile.kept:,} dropped"
    yield "events", f"{profile.kept:,} of {counted(profile.users, 'user')} with {counted(profile.items, 'item')}"
    yield (
        "density",
        f"{percent(profile.pairs, profile.users * profile.items)} of the pairs of user and item have an event",
    )
    if profile.first is not None and profile.last is not None:
        days = (profile.last - profile.first).days
        yield "time", f"{profile.first:%Y-%m-%d %H:%M} to {profile.last:%Y-%m-%d %H:%M} UTC ({counted(days, 'day')})"
    yield "order", _order(profile)
    if profile.sessions is not None and profile.events_a_session is not None:
        yield (
            "sessions",
            f"{profile.sessions:,} (ended by half an hour's pause), {profile.events_a_session:.1f} events each",
        )
    yield (
        "duplicates",
        f"{counted(profile.duplicates, 'equal row')} dropped; {counted(profile.repeats, 'repeat')} of a pair",
    )
    spread = profile.events_a_user
    yield (
        "events a user",
        f"median {spread['50%']:,.0f}, 5 % {spread['5%']:,.0f}, 95 % {spread['95%']:,.0f}, most {spread['100%']:,.0f}",
    )
    yield (
        "long tail",
        (
            f"the most frequent 1 % of the items have {profile.top_1:.1%} of events, 10 % have {profile.top_10:.1%}; "
            f"Gini {profile.gini:.2f}"
        ),
    )
    yield (
        "users",
        ", ".join(f"{number:,} {name} ({percent(number, profile.users)})" for name, number in profile.segments.items()),
    )
    yield "one event, one item", f"{counted(profile.one_event, 'user')}, {counted(profile.one_item, 'user')}"
    if profile.join is not None:
        described = of_all(profile.join.described, profile.items, "item")
        yield "items file", f"{counted(profile.join.in_file, 'item')}; describes {described} with events"
    yield (
        "types",
        ", ".join(f"{kind} {number:,} ({percent(number, profile.kept)})" for kind, number in profile.types.items()),
    )


def _order(profile: Profile) -> str:
    if not profile.ordered:
        return "none: nothing says what came first"
    kind = "times" if profile.is_clock else "ranks, no clock"
    return f"{kind}; {percent(profile.ties or 0, 1)} of the events share theirs with another of the same user"


def words(values: Values) -> str:
    """A scale or a range of values."""
    if values.step is not None:
        return f"{values.least:g} to {values.greatest:g}, {values.different} different, in steps of {values.step:g}"
    if values.different == 1:
        return f"always {values.least:g}"
    return f"{values.least:g} to {values.greatest:g}, median {values.middle:g}, 95 % below {values.high:g}"


def _rows(pairs: object) -> Iterator[str]:
    yield from (f"  {name:<{WIDTH}} {value}" for name, value in pairs)  # type: ignore[attr-defined]


def page(result: InitResult, raw: RawData, text: str) -> str:
    """The page; whatever it shows is escaped."""
    template = environment("recstage.steps.onboarding").get_template("first_look.html")
    return template.render(
        name=result.name,
        path=result.path,
        yaml=f"conf/data/{result.name}.yaml",
        warnings=result.warnings,
        notes=result.notes,
        form=list(result.form.lines()) if result.form is not None else [],
        table=result.table,
        profile=result.profile,
        counts=list(counts(result.profile)),
        weights=result.weights,
        values=[(kind, words(one)) for kind, one in result.profile.values.items()],
        per_user=_classes(raw, USER),
        per_item=_classes(raw, ITEM),
        split=result.split,
        split_why=result.split_why,
        models=result.models,
        decisions=result.decisions,
        text=text,
        next=result.next,
    )


def _classes(raw: RawData, column: str) -> Mapping[str, int]:
    counts = raw.events[column].value_counts().to_numpy(np.int64)
    return classes(counts[counts > 0])
