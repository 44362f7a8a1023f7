"""The index of large catalogues: what it finds of the exact best, how long one list takes, what it costs to build.

Lists hold 100 items of a user, without those that they have seen, by the model's own `rank`; with a filter, as the
service asks for them. Recall is against exact search over users by whom the index was not tuned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.report import Measurement, at_least, at_most
from experiments.benchmarks.scale.vectors import KINDS
from recstage.data.interactions import Users
from recstage.models.factorization.als import ALS
from recstage.models.vectors.dot_product import QUERIES
from recstage.models.vectors.index import DEPTH, VectorIndex
from serving.models.exclusion import as_row

RECALL, P99_MS = 0.97, 10.0
ASKED = 300
LEFT = (0.1, 0.01)
"""Shares of the catalogue that filters leave."""


def index_figures(sizes: Sequence[int], seed: int) -> Iterator[Measurement]:
    """Figures of each kind of vectors at each number of items; the largest catalogues have the goals, except where the
    vectors have no structure."""
    for n_items in sizes:
        for kind, make in KINDS.items():
            with_goals = n_items == max(sizes) and kind != "Gaussian"
            yield from _figures(f"{n_items:,} items, {kind}", make(n_items, seed), seed, with_goals)


def _figures(case: str, model: ALS, seed: int, with_goals: bool) -> Iterator[Measurement]:
    users = model.train_.all_users
    order = np.random.default_rng(seed).permutation(np.flatnonzero(model.can_score(users)))
    tuned, asked = users.take(order[:QUERIES]), users.take(order[QUERIES : QUERIES + ASKED])
    began = time.process_time()
    index = VectorIndex.build(model.targets_, model.user_vectors(tuned), tuned.seen)
    built = time.process_time() - began
    size = index.state()["index"].nbytes / 1e6
    note = f"{index.probed} of {index.groups} groups searched, {size:.0f} MB"
    yield Measurement(f"{case}: processor time of building", built, unit="s", note=note)

    truth, exact = _one_by_one(lambda one: model.rank(one, DEPTH).items, asked)
    model.index_ = index
    found, times = _one_by_one(lambda one: model.rank(one, DEPTH).items, asked)
    goal = at_least(RECALL) if with_goals else None
    note = f"said at building: {index.recall:.4f}"
    yield Measurement("  recall@100, seen items left out", _recall(truth, found), goal, note=note)
    note = f"{times.in_words}; exact: {exact.in_words}"
    goal = at_most(P99_MS) if with_goals else None
    yield Measurement("  p99 of a list", times.p99_ms, goal, unit="ms", note=note)
    for share in LEFT:
        yield from _filtered(model, asked, share, seed)


def _filtered(model: ALS, asked: Users, share: float, seed: int) -> Iterator[Measurement]:
    mask = as_row(np.random.default_rng(seed).random(model.n_items) >= share)
    some, index = asked.take(np.arange(min(len(asked), 100))), model.index_
    model.index_ = None
    truth, _ = _one_by_one(lambda one: model.retrieve(one, DEPTH, mask)[0], some)
    model.index_ = index
    found, times = _one_by_one(lambda one: model.retrieve(one, DEPTH, mask)[0], some)
    full = float((found >= 0).sum() / (truth >= 0).sum())
    yield Measurement(
        f"  a filter leaves {share:.0%}: recall@100", _recall(truth, found), note=f"full lists: {full:.0%}"
    )
    yield Measurement(f"  a filter leaves {share:.0%}: p99 of a list", times.p99_ms, unit="ms", note=times.in_words)


@dataclass(frozen=True)
class _Times:
    """Seconds of lists by the clock, and of the processor: the latter depend less on other work on the machine."""

    clock: list[float]
    processor: list[float]

    @property
    def p99_ms(self) -> float:
        return _ms(self.clock, 99)

    @property
    def in_words(self) -> str:
        processor = f"p50 {_ms(self.processor, 50):.1f}, p99 {_ms(self.processor, 99):.1f}"
        return f"p50 {_ms(self.clock, 50):.1f} ms; processor {processor}"


def _one_by_one(ask: Callable[[Users], NDArray[np.int32]], users: Users) -> tuple[NDArray[np.int32], _Times]:
    """The lists of users, each asked for alone: int32[n, DEPTH]."""
    lists, times = [], _Times([], [])
    for row in range(len(users)):
        one = users.take([row])
        began, used = time.perf_counter(), time.process_time()
        lists.append(ask(one)[0])
        times.processor.append(time.process_time() - used)
        times.clock.append(time.perf_counter() - began)
    return np.array(lists), times


def _recall(truth: NDArray[np.int32], found: NDArray[np.int32]) -> float:
    return float(np.mean([np.isin(a[a >= 0], b).mean() for a, b in zip(truth, found, strict=True) if (a >= 0).any()]))


def _ms(seconds: Sequence[float], percentile: float) -> float:
    return float(np.percentile(seconds, percentile) * 1e3)
