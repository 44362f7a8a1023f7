"""A seeded world to practise on: users with tastes that drift, items in topics, sessions and events.

Items fall into small clusters, clusters into categories. A user likes a few clusters, mostly of one category, and their
taste changes over time. In a session they mostly stay in one of these clusters, and often continue with the item that
follows the last one in the cluster's own order, as in a series. Their other visits go to what is popular everywhere. So
neighbours and factors exist to be found, the recent past says more than the distant one, and order matters.

Everything is drawn in blocks of users, each from its own seed: memory is bounded by a block, whatever the total.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recstage.config import SyntheticSource

BLOCK_EVENTS = 500_000
START, SPAN = 1_704_067_200, 180 * 86_400  # half a year from the first of January 2024
ITEMS_A_CLUSTER = 20
CATEGORIES = 12
SLOTS = np.cumsum([0.45, 0.25, 0.18, 0.12])  # share of a user's visits that goes to each of their clusters
VISITS_A_SESSION = 6
GOES_ON = 0.35  # next visit of a session: the item that follows the last one
STAYS = 0.6  # else: the session's own cluster
WANDERS = 0.12  # visits to what is popular everywhere
DRIFT = 0.85  # chance, long after a user's taste has turned, that a visit follows the later ones
TURNING = 0.06  # how long the turn takes, as a share of the span
REVISITS = 0.08
OVERSAMPLED = 1.45  # visits drawn for each that is expected, since most repeats are thrown away
ALWAYS_THERE = 3  # the most popular items of a cluster, older than the log


class Kind(NamedTuple):
    """One interaction type: it happens where a visit's interest, uniform in [0, 1), falls in a range, which is
    another for items of the user's taste (`liked`) than for other ones (`other`)."""

    name: str
    liked: tuple[float, float]
    other: tuple[float, float]


PROFILES: dict[str, tuple[Kind, ...]] = {
    "feed": (
        Kind("view", (0.0, 1.0), (0.0, 1.0)),
        Kind("click", (0.0, 0.55), (0.0, 0.25)),
        Kind("like", (0.0, 0.2), (0.0, 0.04)),
        Kind("share", (0.0, 0.06), (0.0, 0.01)),
    ),
    "advice": (
        Kind("view", (0.0, 1.0), (0.0, 1.0)),
        Kind("click", (0.0, 0.55), (0.0, 0.25)),
        Kind("save", (0.0, 0.22), (0.0, 0.05)),
        Kind("implement", (0.0, 0.08), (0.0, 0.01)),
        Kind("rate", (0.05, 0.15), (0.02, 0.08)),
        Kind("share", (0.1, 0.16), (0.02, 0.03)),
        Kind("dismiss", (0.98, 1.0), (0.85, 1.0)),
    ),
}


@dataclass(frozen=True)
class Block:
    """Events of some users, in order of time: `user` and `item` numbers from 0, `time` in seconds, `kind` an index
    into the profile's types, `value` seconds of a view, stars of a rating, else NaN."""

    user: NDArray[np.int64]
    item: NDArray[np.int32]
    time: NDArray[np.int64]
    kind: NDArray[np.int8]
    value: NDArray[np.float32]


class World:
    """Everything that does not belong to one person: items, clusters, categories, and how active each person is."""

    def __init__(self, config: SyntheticSource) -> None:
        self.config = config
        self.kinds = PROFILES[config.profile]
        rng = np.random.default_rng([config.seed, 0])
        n = config.items
        self.n_clusters = max(1, round(n / ITEMS_A_CLUSTER))
        self.n_categories = min(CATEGORIES, self.n_clusters)
        # items by (cluster, popularity in it); `cluster_start[c]` is the first of cluster c
        self.item_at = rng.permutation(n).astype(np.int32)
        self.cluster_start = (np.arange(self.n_clusters + 1) * n) // self.n_clusters
        self.size = np.diff(self.cluster_start)
        self.cluster_at = np.repeat(np.arange(self.n_clusters, dtype=np.int32), self.size)
        self.rank_at = (np.arange(n) - self.cluster_start[self.cluster_at]).astype(np.int32)
        self.category_of = np.sort(np.arange(self.n_clusters) % self.n_categories)
        self.cluster_weight = rng.permutation((np.arange(self.n_clusters) + 3.0) ** -0.6)
        within = (self.rank_at + 2.0) ** -0.8
        total = np.add.reduceat(within, self.cluster_start[:-1])
        share = within / total[self.cluster_at]
        # ascending over all clusters: cluster + share of popularity up to the item
        self.in_cluster = (
            np.cumsum(share)
            - (np.cumsum(share)[self.cluster_start[:-1]] - share[self.cluster_start[:-1]])[self.cluster_at]
            + self.cluster_at
        )
        popularity = share * self.cluster_weight[self.cluster_at]
        self.everywhere = np.cumsum(popularity) / popularity.sum()
        # the order in which a cluster's items follow each other has nothing to do with their popularity
        shuffled = np.lexsort((rng.random(n), self.cluster_at))
        self.follows_at = shuffled.astype(np.int32)
        self.place_of = np.empty(n, np.int64)
        self.place_of[shuffled] = np.arange(n)
        late = (rng.random(n) < 0.3) & (self.rank_at >= ALWAYS_THERE)
        self.born = np.where(late, rng.random(n) * 0.9, 0.0)
        self.events_of = _activity(config.users, config.interactions, rng)

    def blocks(self, events: int = BLOCK_EVENTS) -> Iterator[Block]:
        """All events, about `events` at a time, user after user. Another size gives other events of the same
        world."""
        ends = np.cumsum(self.events_of)
        number, begin = 0, 0
        while begin < len(ends):
            done = ends[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(ends, done + events, side="right")))
            yield self._block(begin, self.events_of[begin:end], np.random.default_rng([self.config.seed, 1, number]))
            number, begin = number + 1, end

    def _block(self, first_user: int, wanted: NDArray[np.int64], rng: np.random.Generator) -> Block:
        emitted = sum(high - low for _, (low, high), _ in self.kinds)
        visits = np.ceil(wanted / emitted * OVERSAMPLED).astype(np.int64) + 2
        user = np.repeat(np.arange(len(wanted)), visits)
        session, moment, time = _sessions(user, len(wanted), rng)
        position, liked = self._visited(user, session, moment, len(wanted), rng)
        happened, interest = self._happened(liked, rng)
        kept = _chosen(user, position, session, happened.sum(axis=1), wanted, len(self.item_at), rng)
        visit, kind = np.nonzero(happened & kept[:, None])
        visit, kind, later = _exactly(user, visit, kind, wanted, rng)
        at = time[visit] + kind * 3 + later
        order = np.argsort(at, kind="stable")
        visit, kind, at = visit[order], kind[order], at[order]
        value = self._values(kind, liked[visit], interest[visit], rng)
        item = self.item_at[position[visit]]
        return Block(user[visit] + first_user, item, at.astype(np.int64), kind.astype(np.int8), value)

    def _visited(
        self, user: NDArray, session: NDArray, moment: NDArray, n_users: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Where each visit goes, as a position in `item_at`, and whether it follows the person's taste."""
        n = len(user)
        tastes = self._tastes(n_users, rng)
        own = self._drawn(tastes, user, moment, rng)
        opens = np.diff(session, prepend=-1) > 0
        focus = own[np.flatnonzero(opens)][np.cumsum(opens) - 1]
        cluster = np.where(rng.random(n) < STAYS, focus, own)
        drawn = np.minimum(
            np.searchsorted(self.in_cluster, cluster + rng.random(n), side="right"), len(self.item_at) - 1
        )
        wanders = rng.random(n) < WANDERS
        drawn[wanders] = np.searchsorted(self.everywhere, rng.random(int(wanders.sum())), side="right")
        # going on: so many steps along the cluster's own order from the last item that was drawn
        jumps = opens | wanders | (rng.random(n) >= GOES_ON)
        last_jump = np.maximum.accumulate(np.where(jumps, np.arange(n), 0))
        steps = np.arange(n) - last_jump
        origin = drawn[last_jump]
        start, size = self.cluster_start[self.cluster_at[origin]], self.size[self.cluster_at[origin]]
        position = self.follows_at[start + (self.place_of[origin] - start + steps) % size].astype(np.int64)
        unborn = self.born[position] > moment
        start, size = self.cluster_start[self.cluster_at[position]], self.size[self.cluster_at[position]]
        instead = start + self.rank_at[position] % np.minimum(ALWAYS_THERE, size)
        return np.where(unborn, instead, position), ~wanders[last_jump]

    def _tastes(self, n_users: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Clusters that each person likes, first (0) and in the end (1): int[2, n_users, slots]. Half are of one
        category."""
        weight = np.cumsum(self.cluster_weight)
        anywhere = np.searchsorted(weight, rng.random((2, n_users, len(SLOTS))) * weight[-1], side="right")
        home = self.category_of[anywhere[0, :, 0]]
        first, end = np.searchsorted(self.category_of, home), np.searchsorted(self.category_of, home, side="right")
        at_home = first[None, :, None] + (rng.random((2, n_users, 2)) * (end - first)[None, :, None]).astype(np.int64)
        anywhere[:, :, :2] = at_home
        return anywhere

    def _drawn(self, tastes: NDArray, user: NDArray, moment: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
        slot = np.minimum(np.searchsorted(SLOTS, rng.random(len(user)), side="right"), len(SLOTS) - 1)
        turn = 0.2 + 0.7 * rng.random((tastes.shape[1],))
        turned = DRIFT / (1 + np.exp((turn[user] - moment) / TURNING))
        later = (rng.random(len(user)) < turned).astype(np.int64)
        return tastes[later, user, slot]

    def _happened(
        self, liked: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        interest = rng.random(len(liked))
        happened = np.empty((len(liked), len(self.kinds)), bool)
        for i, kind in enumerate(self.kinds):
            low, high = (np.where(liked, *bounds) for bounds in zip(kind.liked, kind.other, strict=True))
            happened[:, i] = (interest >= low) & (interest < high)
        return happened, interest

    def _values(
        self, kind: NDArray, liked: NDArray[np.bool_], interest: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        names = [each.name for each in self.kinds]
        value = np.full(len(kind), np.nan, np.float32)
        viewed = kind == names.index("view")
        value[viewed] = np.exp(rng.normal(3.2, 0.7, int(viewed.sum())) + 1.2 * (interest[viewed] < 0.3)).round(1)
        if "rate" in names:
            rated = kind == names.index("rate")
            stars = rng.normal(np.where(liked[rated], 4.3, 2.4), 0.8)
            value[rated] = np.clip(np.rint(stars), 1, 5)
        return value


def _activity(users: int, interactions: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Events of each person, few for most and many for some, `interactions` in all: int64[users]."""
    share = rng.lognormal(0.0, 0.8, users)
    expected = np.cumsum(share) / share.sum() * interactions
    return np.diff(np.rint(expected).astype(np.int64), prepend=0)


def _sessions(
    user: NDArray[np.int64], n_users: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """For each visit (rows grouped by person): its session's number, the moment in [0, 1] of the span, and the time."""
    n = len(user)
    opens = (np.diff(user, prepend=-1) > 0) | (rng.random(n) < 1 / VISITS_A_SESSION)
    session = np.cumsum(opens) - 1
    whose = user[opens]
    joined = rng.random(n_users) * 0.7
    moment = joined[whose] + (1 - joined[whose]) * rng.random(len(whose))
    moment = moment[np.lexsort((moment, whose))]  # a person's sessions in order
    pause = np.cumsum(rng.exponential(90, n) + 30)
    since = pause - pause[np.flatnonzero(opens)][session]
    return session, moment[session], (START + moment[session] * SPAN + since).astype(np.int64)


def _chosen(
    user: NDArray[np.int64],
    position: NDArray[np.int64],
    session: NDArray[np.int64],
    events: NDArray[np.int64],
    wanted: NDArray[np.int64],
    n_items: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Visits to keep: whole sessions at random until a user has their events, without most of the repeats."""
    n = len(user)
    first = np.zeros(n, bool)
    first[np.unique(user * n_items + position, return_index=True)[1]] = True
    fresh = first | (rng.random(n) < REVISITS)
    fresh[np.flatnonzero(np.diff(user, prepend=-1) > 0)] = True  # every user keeps something
    order = np.lexsort((np.arange(n), rng.random(session[-1] + 1)[session] if n else session, ~fresh, user))
    gained = np.where(fresh[order], events[order], 0)
    before = np.cumsum(gained) - gained
    starts = np.flatnonzero(np.diff(user[order], prepend=-1) > 0)
    before -= np.repeat(before[starts], np.diff(np.append(starts, n)))
    kept = np.zeros(n, bool)
    kept[order] = fresh[order] & (before < wanted[user[order]])
    return kept


def _exactly(
    user: NDArray[np.int64],
    visit: NDArray[np.int64],
    kind: NDArray[np.int64],
    wanted: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """As many events of each user as wanted, and how much later than their visit they are: the last are cut
    off, or some visits are viewed again, on the next day."""
    counts = np.bincount(user[visit], minlength=len(wanted))
    starts = np.cumsum(counts) - counts
    within = np.arange(len(visit)) - starts[user[visit]] < wanted[user[visit]]
    lacking = np.maximum(wanted - counts, 0)
    users = np.repeat(np.arange(len(wanted)), lacking)
    again = visit[starts[users] + (rng.random(len(users)) * counts[users]).astype(np.int64)]
    later = np.concatenate([np.zeros(within.sum(), np.int64), rng.integers(600, 86_400, len(again))])
    viewed = np.zeros(len(again), kind.dtype)
    return np.concatenate([visit[within], again]), np.concatenate([kind[within], viewed]), later
