"""Evaluating a fitted recommender on test rows: full ranking, the sampled protocol, beyond accuracy, and latency.

Full ranking is what a user would get: each user's best items of the whole catalogue, known ones left out, made by
the code that serves (`Recommender.rank`); ties fall as they fall in service, to the item that comes first in the
id map. The sampled protocol (He et al. 2017) ranks each test item among the user's sampled candidates; ties count
against it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from recstage.cluster import Each, here
from recstage.config import EvaluationConfig
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions, Users
from recstage.data.segments import SEGMENTS, segments_of
from recstage.data.tables.values.columns import Columns
from recstage.errors import ConfigError, DataError, TooLittleData
from recstage.evaluation import latency, metrics
from recstage.evaluation.diversity import diversity_of
from recstage.evaluation.significance import interval_of, resampled_means
from recstage.models.base import Ranking, Recommender
from recstage.models.moment import first_of_each

USERS_AT_ONCE = 1024
CANDIDATES_AT_ONCE = 1 << 18

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found.

    `metrics` are means over users (and, over all lists, coverage and Gini) under their logged names, those of a
    segment with its name in front. `per_user` has a row for each test user: user_id, segment, n_train and every
    metric that one user can have. `intervals` holds the bootstrap interval of each mean. `lists` int32[n, K] are the
    ranked items (indices of the model, -1: no more) in the order of `per_user`, `scores` float32[n, K] their scores
    (-inf: no more). `diversity_by` says which vectors made diversity.
    """

    metrics: dict[str, float]
    per_user: pd.DataFrame
    intervals: dict[str, tuple[float, float]]
    lists: NDArray[np.int32]
    scores: NDArray[np.float32]
    diversity_by: str


@dataclass(frozen=True, eq=False)
class Cases:
    """The test users as the model knows them, and their relevant items: (`row`, `item`) pairs sorted by row, where
    `row` is a position in `users` and `item` the model's index, -1 for an item unknown to it."""

    user_ids: NDArray[np.object_]
    users: Users
    row: NDArray[np.int64]
    item: NDArray[np.int32]
    negatives: NDArray[np.int32] | None
    sampled_from: int = 0
    """How many users have test rows, where only some of them are asked."""

    @property
    def n_relevant(self) -> NDArray[np.int64]:
        return np.bincount(self.row, minlength=len(self.users))

    @property
    def known(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """`row` and `item` of the relevant items that the model knows."""
        known = self.item >= 0
        return self.row[known], self.item[known]


def evaluate(
    model: Recommender,
    test: Interactions,
    *,
    config: EvaluationConfig,
    catalogue: Catalogue | None = None,
    negatives: NDArray[np.int32] | None = None,
    seed: int = 0,
    progress: bool = True,
    each: Each = here,
) -> Evaluation:
    """Evaluate a fitted model on the positive rows of `test`; users without any are not counted.

    The model masks what it has seen, so it must be fitted on all rows before the test. `negatives` int32[n_users, c]
    (over the id maps of `test`, -1: none) adds the sampled protocol. `catalogue` gives categories for diversity (the
    model's own by default). `seed` draws the bootstrap and the users that latency is timed on. With `config.users` only
    so many users are asked, and the intervals, which shrink with the root of their number, are those of a sample;
    without `config.bootstrap` there are none.
    `progress` shows bars on work of more than two seconds at a terminal. `each` computes blocks of
    users, elsewhere perhaps.

    Raises `TooLittleData` where `test` has no positive row, `DataError` on negatives that do not fit the users, and
    `ConfigError` on cutoffs that are none.
    """
    cutoffs = _checked(config)
    cases = cases_of(model, test, negatives, config.users)
    ranking = lists_of(model, cases.users, max(cutoffs), progress, each)
    lists = ranking.items
    columns = _accuracy(lists, cases, cutoffs, model.n_items)
    information = metrics.self_information(model.train_.item_counts, int(np.count_nonzero(model.train_.lengths)))
    in_tail = metrics.tail(model.train_.item_counts)
    diversity, diversity_by = diversity_of(lists, cutoffs, model, catalogue)
    for i, k in enumerate(cutoffs):
        columns[f"novelty_at_{k}"] = metrics.novelty(lists[:, :k], information)
        columns[f"novelty_share_at_{k}"] = metrics.novelty_share(lists[:, :k], in_tail)
        columns[f"diversity_at_{k}"] = diversity[:, i]
    if cases.negatives is not None:
        columns |= _sampled(model, cases, cutoffs, progress, each)
    n_train = cases.users.lengths
    segment = segments_of(n_train, config.cold_below, config.hot_from)
    available = model.catalogue_.available
    found, intervals = _means(columns, segment, config, seed)
    if cases.sampled_from:
        found["sampled_from_users"] = float(cases.sampled_from)
    found |= _shares(lists, segment, cutoffs, available) | _latency(model, cases.user_ids, config, seed, progress)
    per_user = pd.DataFrame({"user_id": cases.user_ids, "segment": segment, "n_train": n_train, **columns})
    return Evaluation(found, per_user, intervals, lists, ranking.scores, diversity_by)


# -- what is asked -----------------------------------------------------------------------------------------------------


def _checked(config: EvaluationConfig) -> list[int]:
    cutoffs = sorted(set(config.cutoffs))
    if not cutoffs or cutoffs[0] < 1:
        raise ConfigError(f"cutoffs = {config.cutoffs}", rule="cutoffs are numbers from 1", fix="Give one at least")
    return cutoffs


def cases_of(
    model: Recommender, test: Interactions, negatives: NDArray[np.int32] | None = None, most: int = 0
) -> Cases:
    """Who is asked, and for what: the users with positive rows in `test`, or `most` of them, in the model's terms. Of
    the same test rows they are the same users for every model and seed, so that models are compared on them."""
    positive = np.flatnonzero(test.weight > 0)
    asked, row = np.unique(test.user_index[positive], return_inverse=True)
    sampled_from = len(asked) if 0 < most < len(asked) else 0
    if sampled_from:
        chosen = np.zeros(len(asked), bool)
        chosen[np.random.default_rng(0).choice(len(asked), most, replace=False)] = True
        positive, row = positive[chosen[row]], (np.cumsum(chosen) - 1)[row[chosen[row]]]
        asked = asked[chosen]
        log.info("%d of the %d users with test rows are asked; intervals are those of a sample", most, sampled_from)
    if not len(asked):
        raise TooLittleData(
            f"{len(test)} test rows, none of them positive",
            rule="an evaluation needs one positive row at least",
            fix="Split so that some are kept for the test",
        )
    user_ids = test.users.id_of(asked)
    items = _translation(test.items, model.items)
    candidates = None
    if negatives is not None and negatives.shape[1]:
        if len(negatives) != test.n_users:
            raise DataError(
                f"negatives for {len(negatives)} users, test rows over {test.n_users}",
                rule="there is one row of negatives a user of the id map",
                fix="Give the negatives of this split",
            )
        candidates = items[negatives[asked]]
    users = replace(model.known(user_ids), given=_given(test, asked))
    return Cases(user_ids, users, row, items[test.item_index[positive]], candidates, sampled_from)


def _given(test: Interactions, asked: NDArray[np.integer]) -> Columns:
    """What a request by each asked user says: the context of the first of their test rows."""
    place = np.full(test.n_users, -1, np.int64)
    place[asked] = np.arange(len(asked))
    return first_of_each(test, place[test.user_index], len(asked))


def _translation(theirs: IdMap, ours: IdMap) -> NDArray[np.int32]:
    """Our index of each of their items, -1 where we have none, and -1 at the end for their -1."""
    same = np.arange(len(theirs), dtype=np.int32) if theirs is ours else ours.index_of(theirs.ids)
    return np.append(same, np.int32(-1))


# -- full ranking ------------------------------------------------------------------------------------------------------


def lists_of(model: Recommender, users: Users, k: int, progress: bool = True, each: Each = here) -> Ranking:
    """`model.rank` of many users, a block at a time, with a bar."""
    asked = (users.take(rows) for rows in blocks(len(users), USERS_AT_ONCE, "Rank the catalogue", progress))
    ranked = list(each(partial(_rank, k=k), model, asked))
    parts = ([getattr(block, name) for block in ranked] for name in ("items", "scores", "methods"))
    return Ranking(*map(np.concatenate, parts))


def _rank(model: Recommender, users: Users, k: int) -> Ranking:
    return model.rank(users, k)


def _accuracy(lists: NDArray[np.int32], cases: Cases, cutoffs: list[int], n_items: int) -> dict[str, NDArray]:
    hits = metrics.hits_of(lists, *cases.known, n_items)
    n_relevant = cases.n_relevant
    return {f"{name}_at_{k}": metric(hits, n_relevant, k) for name, metric in metrics.ACCURACY.items() for k in cutoffs}


def _shares(
    lists: NDArray[np.int32], segment: NDArray[np.object_], cutoffs: list[int], available: NDArray[np.bool_]
) -> dict[str, float]:
    """Coverage and Gini of all lists and of each segment's, over the items that may be shown."""
    found: dict[str, float] = {}
    for name in (None, *SEGMENTS):
        rows = lists if name is None else lists[segment == name]
        prefix = "" if name is None else f"{name}_"
        found[f"{prefix}n_users"] = float(len(rows))
        for k in cutoffs if len(rows) else ():
            shown = metrics.exposure(rows[:, :k], len(available))[available]
            found[f"{prefix}coverage_at_{k}"] = metrics.coverage(shown)
            found[f"{prefix}gini_at_{k}"] = metrics.gini(shown)
    return found


# -- sampled candidates ------------------------------------------------------------------------------------------------


def _sampled(
    model: Recommender, cases: Cases, cutoffs: list[int], progress: bool, each: Each = here
) -> dict[str, NDArray]:
    """Each test item among the user's candidates; a user's value is the mean over their test items, NaN for a user who
    has no candidates."""
    n_relevant = cases.n_relevant
    order = np.argsort(n_relevant, kind="stable")  # users with as many test items together: little padding
    found = {f"{name}_at_{k}": np.full(len(order), np.nan) for name in metrics.SAMPLED for k in cutoffs}
    first = np.concatenate([[0], np.cumsum(n_relevant)])
    shown = blocks(len(order), USERS_AT_ONCE, "Rank the candidates", progress)
    asked = (_candidates(cases, order[block], n_relevant, first) for block in shown)
    for rows, tests, others, ranks in each(_ranked_candidates, model, asked):
        judged = (others >= 0).any(axis=1)
        for name, metric in metrics.SAMPLED.items():
            for k in cutoffs:
                value = np.where(tests >= 0, metric(ranks, k), 0.0).sum(axis=1) / n_relevant[rows]
                found[f"{name}_at_{k}"][rows[judged]] = value[judged]
    return found


Candidates = tuple[NDArray[np.int64], Users, NDArray[np.int32], NDArray[np.int32]]
"""Rows of `Cases`, their users, their test items (-1: no more) and their other candidates."""


def _candidates(cases: Cases, rows: NDArray, n_relevant: NDArray, first: NDArray) -> Candidates:
    assert cases.negatives is not None
    asked = np.arange(n_relevant[rows].max()) < n_relevant[rows][:, None]
    tests = np.full(asked.shape, -1, np.int32)
    tests[asked] = cases.item[_spans(first[rows], n_relevant[rows])]
    return rows, cases.users.take(rows), tests, cases.negatives[rows]


def _ranked_candidates(model: Recommender, asked: Candidates) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    rows, users, tests, others = asked
    return rows, tests, others, _ranks(model, users, tests, others)


def _ranks(model: Recommender, users: Users, tests: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.int64]:
    """Ranks of `tests` (int32[n, p], -1: none) among `others` (int32[n, m], -1: none, a test item: not counted), scored
    in one call: a second stage may weigh them together."""
    candidates = np.concatenate([tests, others], axis=1)
    scores = np.empty(candidates.shape, np.float32)
    step = max(1, CANDIDATES_AT_ONCE // candidates.shape[1])
    for start in range(0, len(users), step):
        rows = np.arange(start, min(len(users), start + step))
        scores[rows] = model.scores_of(users.take(rows), np.maximum(candidates[rows], 0))
    p = tests.shape[1]
    counted = others >= 0
    for column in range(p):
        counted &= others != tests[:, column, None]
    return metrics.ranks_among(scores[:, :p], scores[:, p:], counted)


def _spans(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices starts[0], ..., starts[0] + lengths[0] - 1, starts[1], ..."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)


# -- means, intervals, time --------------------------------------------------------------------------------------------


def _means(
    columns: dict[str, NDArray], segment: NDArray[np.object_], config: EvaluationConfig, seed: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Means over all users and over each segment, and their bootstrap intervals. What no user has a value for is left
    out."""
    values = np.stack(list(columns.values()), axis=1)
    group = np.array([SEGMENTS.index(name) for name in segment])
    members = {f"{name}_": group == g for g, name in enumerate(SEGMENTS)} | {"": np.ones(len(group), bool)}
    found = {}
    for prefix, rows in members.items():
        for column, name in enumerate(columns):
            mine = values[rows, column]
            mine = mine[np.isfinite(mine)]
            if len(mine):
                found[prefix + name] = float(mine.mean())
    if not config.bootstrap:
        return found, {}
    means = resampled_means(values, group, len(SEGMENTS), resamples=config.bootstrap, seed=seed)
    intervals = {
        prefix + name: interval_of(resampled[:, column], config.confidence)
        for prefix, resampled in zip(members, means, strict=True)
        for column, name in enumerate(columns)
        if prefix + name in found
    }
    return found, intervals


def _latency(
    model: Recommender, user_ids: NDArray[np.object_], config: EvaluationConfig, seed: int, progress: bool
) -> dict[str, float]:
    """Median and 95th percentile of the time of one user's list of ten, in one round."""
    if not config.latency_requests:
        return {}
    chosen = np.random.default_rng(seed).choice(user_ids, config.latency_requests)
    latency.warm_up(model, chosen)
    shown = tqdm(chosen, "Time single lists", disable=None if progress else True, delay=2, leave=False)
    p50, p95 = np.quantile(latency.time_lists(model, shown)[:, 0], [0.5, 0.95])
    return {"latency_p50_ms": float(p50), "latency_p95_ms": float(p95)}


def blocks(n: int, size: int, title: str, progress: bool) -> Iterator[NDArray[np.int64]]:
    """The indices 0 ... n - 1 in blocks of `size`, with a bar where it takes longer than two seconds."""
    starts = range(0, n, size)
    for start in tqdm(starts, title, disable=None if progress else True, delay=2, leave=False):
        yield np.arange(start, min(n, start + size))
