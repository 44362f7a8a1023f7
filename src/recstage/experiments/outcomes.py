"""From shown lists and what came of them to sums by user: what every statistic of an experiment starts from.

A user counts for the arm that they saw first; lists of the other arm (the share was changed, a version was away) are
left out and counted. A user with more lists than a human makes is left out as a bot, whatever they clicked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PRODUCTION, CHALLENGER, INTERLEAVED = "production", "challenger", "interleaved"
ARMS = (PRODUCTION, CHALLENGER)
ENGAGED = ("click", "like", "save", "share", "implement")
GOOD_RATING, GOOD_RATING_FROM = "good rating", 4
METRICS: dict[str, tuple[str, ...]] = {
    "click_through": ("click",),
    "save": ("save",),
    "implement": ("implement",),
    "conversion": ("save", "implement"),
    "satisfaction": ("like", GOOD_RATING),
}
"""Share of lists with at least one of these outcomes; a good rating is of at least 4."""
VIEW_SECONDS = "view_seconds"
BOT_TIMES, BOT_LEAST = 20, 30
"""A user with so many times the median user's lists, and more than so many, is taken for a bot."""
LIST_COLUMNS = ("request_id", "user_id", "version", "arm", "chance", "shown_at")
OUTCOME_COLUMNS = ("request_id", "item_id", "outcome", "value")


@dataclass(frozen=True)
class UserSums:
    """`frame`: one row a user: user_id, arm, chance, segment, first_shown, lists, and a column of sums for each metric.
    `left_out`: what was not counted, by reason."""

    frame: pd.DataFrame
    left_out: dict[str, int]

    @property
    def metrics(self) -> list[str]:
        """The columns with sums."""
        return [*METRICS, VIEW_SECONDS]


def bots_among(lists: NDArray[np.float64], most_lists: int) -> NDArray[np.bool_]:
    """Which users are taken for bots: more than `most_lists` lists, or many times as many as the median user."""
    usual = float(np.median(lists)) if len(lists) else 0.0
    return (lists > most_lists) | ((lists > BOT_TIMES * usual) & (lists > BOT_LEAST))


def per_list(lists: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """The lists with a column for each metric: 1 where the outcome came of the list, and seconds of viewing.

    Outcomes of lists that are not among `lists` are ignored; each (list, item, outcome) counts once.
    """
    frame = lists.reset_index(drop=True).copy()
    once = outcomes.drop_duplicates(["request_id", "item_id", "outcome"])
    good = (once["outcome"] == "rate") & (once["value"] >= GOOD_RATING_FROM)
    outcome = once["outcome"].mask(good, GOOD_RATING)
    for name, kinds in METRICS.items():
        hit = once.loc[outcome.isin(kinds), "request_id"].unique()
        frame[name] = frame["request_id"].isin(hit).astype(np.float64)
    viewed = once[once["outcome"] == "view"].groupby("request_id")["value"].sum()
    frame[VIEW_SECONDS] = frame["request_id"].map(viewed).fillna(0.0).astype(np.float64)
    return frame


def by_user(
    lists: pd.DataFrame, outcomes: pd.DataFrame, *, most_lists: int = 1000, segments: pd.Series | None = None
) -> UserSums:
    """Sums by user of one experiment.

    Args:
        lists: columns request_id, user_id, version, arm, chance, shown_at (milliseconds).
        outcomes: columns request_id, item_id, outcome, value.
        most_lists: a user with more is left out as a bot.
        segments: segment of each user, indexed by user_id; `all` where it says nothing.
    """
    return summed(per_list(lists[lists["arm"].isin(ARMS)], outcomes), most_lists=most_lists, segments=segments)


def summed(frame: pd.DataFrame, *, most_lists: int = 1000, segments: pd.Series | None = None) -> UserSums:
    """The same from the result of `per_list`."""
    frame = frame.sort_values("shown_at", kind="stable")
    first = frame.drop_duplicates("user_id").set_index("user_id")
    own = frame["arm"].to_numpy() == frame["user_id"].map(first["arm"]).to_numpy()
    switched = int((~own).sum())
    frame = frame[own]
    grouped = frame.groupby("user_id", sort=True)
    sums = grouped[[*METRICS, VIEW_SECONDS]].sum()
    sums.insert(0, "lists", grouped.size())
    sums = sums.join(first[["arm", "chance", "shown_at"]].rename(columns={"shown_at": "first_shown"}))
    bots = bots_among(sums["lists"].to_numpy(), most_lists)
    left_out = {"lists of the other arm": switched, "users taken for bots": int(bots.sum())}
    sums = sums[~bots].reset_index()
    known = None if segments is None else sums["user_id"].map(segments)
    sums["segment"] = "all" if known is None else known.fillna("all")
    return UserSums(sums, {name: number for name, number in left_out.items() if number})
