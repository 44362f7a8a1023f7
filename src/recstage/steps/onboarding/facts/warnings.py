"""What looks wrong with a data set: robots, users with one item, rows that cannot be used, an order that is none."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from recstage.data.schema import TIME, USER, RawData
from recstage.steps.onboarding.facts.profile import Join, Profile
from recstage.steps.onboarding.facts.wording import counted, of_all

BOT_TIMES, BOT_ABOVE, BOT_EVENTS, BOT_SHARE = 20, 8, 100, 0.1
"""Of the median, of the 95th percentile; at least so many events, or such a share of all."""
SHOWN = 3
SINCE_1990, FEW_EARLY = 630_000_000, 0.2
MANY_SINGLE = 0.2
FEW_DESCRIBED = 1.0
FEW_USERS = 30
"""Metrics are means over users: of fewer, chance moves them more than one model differs from another."""


def warnings_of(profile: Profile, raw: RawData, tests: bool) -> Iterator[str]:
    """Sentences, what matters most first. `tests`: whether test rows come in a file of their own."""
    for reason, count in profile.dropped.items():
        first = "; ".join(profile.first_dropped.get(reason, ()))
        yield f"{of_all(count, profile.rows, 'row')} cannot be used: {reason} ({first})"
    if profile.join is not None:
        yield from _of_join(profile.join, profile.items)
    if not profile.ordered and not tests:
        yield "nothing says what came first (no times, or all the same): the split is drawn at random"
    yield from _of_times(profile, raw.events[TIME])
    yield from _of_users(profile, raw.events[USER])
    negative = sum(one.negative for one in profile.values.values())
    if negative:
        yield f"{of_all(negative, profile.kept, 'value')} below zero: returns or votes against, taken as not liked"
    for name, values in profile.values.items():
        if values.least == values.greatest and values.filled > 1:
            yield f"the values of '{name}' are constant ({values.least:g}): they say nothing"


def _of_join(join: Join, items: int) -> Iterator[str]:
    if join.described < items:
        hint = f"; {join.hint}" if join.hint else ""
        theirs = f"; the file has {', '.join(join.first_in_file)}" if join.described * 2 < items else ""
        yield (
            f"the items file describes {of_all(join.described, items, 'item')} with events; "
            f"not {', '.join(join.unjoined)}{theirs}{hint}"
        )


def _of_times(profile: Profile, times: pd.Series) -> Iterator[str]:
    early = int((times < SINCE_1990).sum()) if profile.is_clock else 0
    if 0 < early < FEW_EARLY * len(times):
        at = f"{profile.first:%Y-%m-%d}"
        yield f"{of_all(early, len(times), 'time')} lie before 1990, the first on {at}: does that stand for no time?"


def _of_users(profile: Profile, users: pd.Series) -> Iterator[str]:
    counts = users.value_counts()
    counts = counts[counts > 0]  # of categories, those without an event are counted too
    typical = max(float(counts.median()), 1.0)
    usual_most = float(counts.quantile(0.95))
    far_above = (counts > BOT_TIMES * typical) & (counts > BOT_ABOVE * usual_most) & (counts >= BOT_EVENTS)
    a_large_part = (counts > BOT_SHARE * counts.sum()) & (counts > 10 * typical) & (counts >= 5 * BOT_EVENTS)
    heavy = counts[far_above | a_large_part]
    if len(heavy):
        named = ", ".join(f"{user} ({count:,})" for user, count in heavy.head(SHOWN).items())
        have = "has" if len(heavy) == 1 else "have"
        yield (
            f"{counted(len(heavy), 'user')} {have} far more events than the median of {typical:,.0f}: {named}. "
            "Robots or shared accounts? Leave them out if so"
        )
    if profile.users < FEW_USERS:
        yield (
            f"{counted(profile.users, 'user')} only: models cannot be told apart on so few, chance moves their metrics "
            "more. Give some hundred users to compare models"
        )
    if profile.one_item and profile.one_item > MANY_SINGLE * profile.users:
        have = "has" if profile.one_item == 1 else "have"
        yield (
            f"{of_all(profile.one_item, profile.users, 'user')} {have} events with one item only: nothing of them can "
            "be tested, and little learnt"
        )
