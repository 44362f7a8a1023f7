"""How the second stage gets its examples, and how the booster learns from them.

Labels are interactions that lie after everything that candidates and features are made of.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from tqdm import tqdm

from recstage.data.interactions import Interactions, Users
from recstage.errors import TooLittleData
from recstage.models.base import SCORES_AT_ONCE, Recommender, Report
from recstage.models.features import FeatureTable, Slate, propose

GRADES = 4
DISMISSED, UNTOUCHED = 0, 1
"""Labels of the booster below those of positives, which are 1 + their grade."""
PAIRS_AT_ONCE = 1 << 17
"""Candidates featurised at once: bounds memory."""
EVALUATED_EVERY = 5
"""Rounds between two measurements of NDCG."""
CUTOFFS = (5, 10)
WATCHED = "validation_ndcg_at_10"
MEASURED_GROUPS = 2000
"""Groups whose NDCG stands for all that are trained on."""
Barred = Callable[[Users], sparse.csr_matrix | None]
"""What is no candidate of each user, bool[n, n_items]."""
FEWEST_GROUPS = 30
"""A cut in time is used where it leaves so many users with rows on both sides."""


# -- labels ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Step:
    """Users with their histories up to a moment, and what each did then: pairs `row` (position in `users`), `item`,
    `weight` (<= 0: dismissed), sorted by row and item. `grown`: the histories hold rows that are not of the past."""

    users: Users
    grown: bool
    row: NDArray[np.int64]
    item: NDArray[np.int32]
    weight: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Holdout:
    """`past` are the rows that retrievers and features may learn from; no row of any step is among them."""

    past: Interactions
    steps: list[Step]


def hold_out(
    rows: Interactions,
    *,
    method: Literal["auto", "last", "time"],
    is_clock: bool,
    labels_per_user: int,
    share: float,
    min_interactions: int,
    since: float | None = None,
    page: int = 1,
    seed: int = 0,
) -> Holdout:
    """Labels out of the training rows.

    `last`: each user's last `labels_per_user` rows, one step each, every step's history growing by the one before: what
    leave-one-out asks. Where the order of the last `page` rows is not to be trusted, a label is any of them, at random,
    and the others stay in the history. `time`: all rows after the moment that leaves `share` of them: what a split in
    time asks; no label is then older than any row of the past. `auto`: `time` where timestamps are a clock and enough
    users are active on both sides, else `last`. Users with fewer than `min_interactions` rows before give no label, nor
    do rows before `since`.
    """
    if method != "last" and is_clock:
        cut = _in_time(rows, share, min_interactions, since)
        if method == "time" or len(cut.steps[0].users) >= FEWEST_GROUPS:
            return cut
    return _last(rows, labels_per_user, min_interactions, since, page, seed)


def _in_time(rows: Interactions, share: float, min_interactions: int, since: float | None) -> Holdout:
    moment = np.quantile(rows.timestamp, 1 - share, method="higher")
    later = rows.timestamp >= max(moment, moment if since is None else since)
    past = rows.select(~later)
    able = (past.lengths >= min_interactions) & (np.bincount(rows.user_index[later], minlength=rows.n_users) > 0)
    return Holdout(past, [_step(past, rows.select(later), np.flatnonzero(able), grown=False)])


def _last(
    rows: Interactions, labels_per_user: int, min_interactions: int, since: float | None, page: int, seed: int
) -> Holdout:
    held = labels_per_user + page - 1
    left = rows.indptr[rows.user_index + 1] - 1 - np.arange(len(rows))
    labelled = (left < held) & (rows.lengths[rows.user_index] >= min_interactions + held)
    if since is not None:
        labelled &= rows.timestamp >= since
    dismissed = labelled & (rows.weight <= 0)
    steps = []
    random = np.random.default_rng(seed)
    for place in reversed(range(labels_per_user)):
        drawn = place + random.integers(0, page, rows.n_users)[rows.user_index]
        target = labelled & (left == drawn)
        history = rows.select((~labelled | (left >= place)) & ~target)
        then = rows.select(target | (dismissed & (left < place)))
        grown = place < labels_per_user - 1 or page > 1
        steps.append(_step(history, then, np.unique(rows.user_index[target]), grown=grown))
    return Holdout(rows.select(~labelled), steps)


def _step(history: Interactions, then: Interactions, who: NDArray[np.int64], *, grown: bool) -> Step:
    row_of = np.full(history.n_users, -1, np.int64)
    row_of[who] = np.arange(len(who))
    row = row_of[then.user_index]
    kept = np.flatnonzero(row >= 0)
    kept = kept[np.lexsort((then.item_index[kept], row[kept]))]
    return Step(history.of(who), grown, row[kept], then.item_index[kept], then.weight[kept])


# -- examples -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Examples:
    """Candidates with features float32[p, f] and labels int32[p] (dismissed, untouched, or 1 + grade of a positive), in
    groups of `sizes`, one a user and step; every group holds a positive or a dismissal. `groups` is the number of users
    and steps with a positive, those included where no retriever found it."""

    features: NDArray[np.float32]
    labels: NDArray[np.int32]
    sizes: NDArray[np.int64]
    groups: int

    def ndcg(self, scores: NDArray[np.float64], k: int) -> float:
        """Mean NDCG@k over `groups`, those that the retrievers missed counting zero; gains are 2**grade - 1."""
        n = len(self.sizes)
        group = np.repeat(np.arange(n), self.sizes)
        gain = 2.0 ** np.maximum(self.labels - UNTOUCHED, 0) - 1
        found, ideal = (_dcg(group, gain, order, self.sizes, k) for order in (-scores, -gain))
        return float((found[ideal > 0] / ideal[ideal > 0]).sum() / max(1, self.groups))

    def head(self, groups: int) -> Examples:
        """The first groups."""
        sizes = self.sizes[:groups]
        rows = int(sizes.sum())
        counted = round(self.groups * len(sizes) / max(1, len(self.sizes)))
        return Examples(self.features[:rows], self.labels[:rows], sizes, counted)


def _dcg(
    group: NDArray[np.int64], gain: NDArray[np.float64], key: NDArray[np.float64], sizes: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """DCG@k of each group, its rows by ascending `key`."""
    order = np.lexsort((key, group))
    place = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    value = np.where(place < k, gain[order] / np.log2(place + 2), 0)
    return np.asarray(np.bincount(group, value, len(sizes)), np.float64)


def judged(
    retrievers: Mapping[str, Recommender],
    table: FeatureTable,
    users: Users,
    depth: int,
    barred: Barred,
    also: NDArray[np.int64] | None = None,
    *,
    live: bool = False,
) -> Iterator[tuple[slice, Slate, NDArray[np.float32]]]:
    """Slates and features of the users, some rows at a time. What is `barred` is no candidate; `also` adds pairs
    (row * n_items + item, ascending). `live`: the histories have grown since the retrievers were fitted."""
    step = max(1, min(SCORES_AT_ONCE // users.n_items, PAIRS_AT_ONCE // (depth * len(retrievers))))
    for start in range(0, len(users), step):
        rows = slice(start, min(len(users), start + step))
        some = users.take(np.arange(rows.start, rows.stop))
        extra = None
        if also is not None:
            low, high = np.searchsorted(also, [rows.start * users.n_items, rows.stop * users.n_items])
            extra = also[low:high] - rows.start * users.n_items
        slate = propose(retrievers, some, depth, barred(some), extra, live=live)
        yield rows, slate, table.compute(slate)


def examples_of(
    steps: list[Step],
    retrievers: Mapping[str, Recommender],
    table: FeatureTable,
    *,
    depth: int,
    barred: Barred,
    grade: Grading,
    chosen: NDArray[np.bool_],
    negatives: int | None,
    seed: int,
) -> Examples:
    """Examples from the steps of the users `chosen` (bool[n_users]). Dismissed items are candidates, proposed them or
    not; other negatives are thinned to `negatives` a group, at random (None: all)."""
    random = np.random.default_rng(seed)
    features = [np.empty((0, len(table.names)), np.float32)]
    labels, sizes, groups = [np.empty(0, np.int32)], [np.empty(0, np.int64)], 0
    for step in tqdm(steps, desc="make examples", disable=None, delay=2, leave=False):
        step = _only(step, chosen[step.users.index])
        groups += len(np.unique(step.row[step.weight > 0]))
        targets = step.row * step.users.n_items + step.item
        dismissed = targets[step.weight <= 0]
        for rows, slate, values in judged(retrievers, table, step.users, depth, barred, dismissed, live=step.grown):
            own = np.full(len(slate), UNTOUCHED, np.int32)
            keys = slate.keys + rows.start * step.users.n_items
            place = np.minimum(np.searchsorted(targets, keys), max(0, len(targets) - 1))
            hit = targets[place] == keys if len(targets) else np.zeros(len(keys), bool)
            own[hit] = np.where(step.weight[place[hit]] > 0, UNTOUCHED + grade(step.weight[place[hit]]), DISMISSED)
            kept = np.bincount(slate.row, own != UNTOUCHED, len(slate.users))[slate.row] > 0
            if negatives is not None:
                kept &= hit | _drawn(slate, negatives, random)
            features.append(values[kept])
            labels.append(own[kept])
            counts = np.bincount(slate.row[kept], minlength=len(slate.users))
            sizes.append(counts[counts > 0])
    return Examples(np.concatenate(features), np.concatenate(labels), np.concatenate(sizes), groups)


def _drawn(slate: Slate, n: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """A random choice of at most n pairs of each user."""
    order = np.lexsort((random.random(len(slate)), slate.row))
    place = np.empty(len(slate), np.int64)
    place[order] = np.arange(len(slate)) - slate.indptr[slate.row]
    return place < n


def _only(step: Step, chosen: NDArray[np.bool_]) -> Step:
    row_of = np.cumsum(chosen) - 1
    kept = chosen[step.row]
    return Step(step.users.take(chosen), step.grown, row_of[step.row[kept]], step.item[kept], step.weight[kept])


@dataclass(frozen=True)
class Grading:
    """Grades 1 to `GRADES` of positive weights, evenly between `low` and `high`; 0 for a dismissal."""

    low: float
    high: float

    @classmethod
    def of(cls, rows: Interactions) -> Grading:
        """From the range of the positive weights, the greatest twentieth counting alike."""
        weights = rows.weight[rows.weight > 0]
        return cls(float(weights.min()), float(np.quantile(weights, 0.95)))

    def __call__(self, weights: NDArray[np.float32]) -> NDArray[np.int32]:
        if self.high <= self.low:
            return (weights > 0).astype(np.int32)
        share = (weights - self.low) / (self.high - self.low)
        grade = 1 + np.floor(np.clip(share, 0, 1) * (GRADES - 1) + 1e-6)
        return np.where(weights > 0, grade, 0).astype(np.int32)


# -- boosting -------------------------------------------------------------------------------------------


def boost(
    train: Examples,
    validation: Examples | None,
    names: list[str],
    options: Mapping[str, Any],
    *,
    rounds: int,
    patience: int,
    dismissal_gain: float,
    seed: int,
    report: Report,
) -> tuple[str, int]:
    """LightGBM's text of the booster, and its number of rounds: the best by NDCG@10 of `validation`, where training
    stops after `patience` rounds without a gain (0: never)."""
    if not len(train.sizes):
        raise TooLittleData(
            f"{train.groups} users with labels, none of them among the candidates",
            rule="lambdarank learns from users whose later interactions are among the candidates",
            fix="Give more data, more candidates or lower min_interactions",
        )
    settings = {
        "objective": "lambdarank",
        "metric": "None",
        "label_gain": [0.0] + [dismissal_gain + 2.0**grade - 1 for grade in range(GRADES + 1)],
        "verbosity": -1,
        "seed": seed % 2**31,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        **options,
    }
    data = lightgbm.Dataset(train.features, train.labels, group=train.sizes, feature_name=names, params=settings)
    booster = lightgbm.Booster(settings, data)
    seen = train.head(MEASURED_GROUPS)
    watched = validation if validation is not None and len(validation.sizes) else None
    if watched is not None:
        booster.add_valid(lightgbm.Dataset(watched.features, reference=data, params=settings), "validation")
    best, best_round = -1.0, 0
    for done in tqdm(range(1, rounds + 1), desc="boost", disable=None, delay=2, leave=False):
        finished = booster.update()
        if done % EVALUATED_EVERY and done != rounds and not finished:
            continue
        metrics = _measured(booster.eval_train, "train", seen)
        if watched is not None:
            metrics |= _measured(booster.eval_valid, "validation", watched)
        if watched is None or metrics[WATCHED] > best:
            best, best_round = metrics.get(WATCHED, best), done
        report(done, metrics)
        if finished or (watched is not None and patience and done - best_round >= patience):
            break
    return booster.model_to_string(num_iteration=best_round), best_round


def _measured(evaluate: Callable[..., list], name: str, examples: Examples) -> dict[str, float]:
    """NDCG at each of `CUTOFFS`; LightGBM's own counts groups without a positive, and gains of what is untouched."""

    def ndcg(scores: NDArray[np.float64], _: lightgbm.Dataset) -> list[tuple[str, float, bool]]:
        return [(f"ndcg_at_{k}", examples.ndcg(scores[: len(examples.labels)], k), True) for k in CUTOFFS]

    return {f"{name}_{metric}": float(value) for _, metric, value, _ in evaluate(ndcg)}
