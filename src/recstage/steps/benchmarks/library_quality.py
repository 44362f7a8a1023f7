"""How good lists of other libraries are by our metric, next to ours, and how long their fits and lists take."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from recstage.config import model_config_of
from recstage.data.interactions import Interactions
from recstage.evaluation import metrics
from recstage.evaluation.protocol import cases_of, lists_of
from recstage.models import build
from recstage.models.base import Recommender
from recstage.steps.benchmarks.library_environments import run_program
from recstage.steps.benchmarks.library_measurement import (
    NEUMF,
    ROUNDS,
    LibraryComparison,
    compared,
    load,
    seconds_of,
    train_and_test,
)

K = 10
CUTOFFS = (3, 5, K)
NEUMF_EPOCHS = 20
COMMON_ALS = {"factors": 128, "regularization": 40.0, "alpha": 4.0, "iterations": 15}
"""ALS with the parameters that are usual for ML-1M."""


def recbole(data: str, seed: int) -> list[LibraryComparison]:
    """NeuMF by RecBole with the usual parameters, as it ships: its fit and its lists, next to ours as it is tuned."""
    ready = load(data)
    ours, fit = _fitted("ncf", ready.split.train_and_validation, seed)
    rows = train_and_test(ready)
    found = run_program("recbole", "recbole_neumf", rows, **NEUMF, epochs=NEUMF_EPOCHS, k=K)
    title = f"NCF fit, RecBole's NeuMF of {NEUMF_EPOCHS} epochs / ours"
    return [
        compared("recbole-fit", title, [fit], [found["fit"]], faster=True),
        _quality("recbole-ncf", "RecBole", "NCF", ours, ready.split.test, found),
    ]


def rectools(data: str, seed: int) -> list[LibraryComparison]:
    """ALS by RecTools with the usual parameters: the best ten for all users, all metrics on them, and how good they are
    next to those of our ALS as it is tuned."""
    ready = load(data)
    test = ready.split.test
    ours, _ = _fitted("als", ready.split.train_and_validation, seed)
    found = run_program("rectools", "rectools_als", train_and_test(ready), **COMMON_ALS, k=K)
    title = "six metrics of accuracy and novelty at 3, 5 and 10 of all users' lists, RecTools / ours"
    return [
        compared(
            "rectools-top-10",
            "ALS, best 10 for all, RecTools / ours",
            _list_times(ours, test),
            [found["recommend"]],
            faster=True,
        ),
        compared("rectools-metrics", title, _metric_times(ours, test), [found["metrics"]], faster=True),
        _quality("rectools-als", "RecTools", "ALS", ours, test, found),
    ]


def lenskit(data: str, seed: int) -> list[LibraryComparison]:
    """ALS and item-KNN by LensKit with the usual parameters, next to ours as they are tuned."""
    ready = load(data)
    test = ready.split.test
    library = run_program("lenskit", "lenskit_als", train_and_test(ready), **COMMON_ALS, k=K)
    rows = []
    for name, title, algorithm in (("als", "ALS", "als"), ("item-knn", "KNN", "knn")):
        ours, fit = _fitted(algorithm, ready.split.train_and_validation, seed)
        found = library[name]
        rows += [
            compared(f"lenskit-{name}-fit", f"{title} fit, LensKit / ours", [fit], [found["fit"]], faster=True),
            compared(
                f"lenskit-{name}-top-10",
                f"{title}, best 10 for all, LensKit / ours",
                _list_times(ours, test),
                [found["recommend"]],
                faster=True,
            ),
            _quality(f"lenskit-{name}", "LensKit", title, ours, test, found),
        ]
    return rows


def _fitted(algorithm: str, train: Interactions, seed: int) -> tuple[Recommender, float]:
    """A model of conf/model, and the seconds of its fit."""
    model = build(model_config_of(algorithm))
    return model, seconds_of(lambda: model.fit(train, seed=seed))


def _list_times(model: Recommender, test: Interactions) -> list[float]:
    cases = cases_of(model, test)
    return [seconds_of(partial(lists_of, model, cases.users, K, progress=False)) for _ in range(ROUNDS)]


def _metric_times(model: Recommender, test: Interactions) -> list[float]:
    cases = cases_of(model, test)
    lists = lists_of(model, cases.users, K, progress=False).items

    def measure() -> None:
        hits = metrics.hits_of(lists, *cases.known, model.n_items)
        information = metrics.self_information(model.train_.item_counts, model.train_.n_users)
        for k in CUTOFFS:
            metrics.novelty(lists[:, :k], information)
            for metric in metrics.ACCURACY.values():
                metric(hits, cases.n_relevant, k)

    return [seconds_of(measure) for _ in range(ROUNDS)]


def _quality(
    name: str, library: str, title: str, ours: Recommender, test: Interactions, found: dict[str, Any]
) -> LibraryComparison:
    """NDCG@10 of our lists and of `found` (`users`: indices, `lists`: their item indices), by our metric. A user that
    the library has no list for counts 0."""
    cases = cases_of(ours, test)
    own = lists_of(ours, cases.users, K, progress=False).items
    theirs = np.full(own.shape, -1, np.int32)
    row_of = {int(user): row for row, user in enumerate(test.users.index_of(cases.user_ids))}
    for user, items in zip(found["users"], found["lists"], strict=True):
        theirs[row_of[user], : len(items)] = items
    mine, yours = (
        float(metrics.ndcg(metrics.hits_of(lists, *cases.known, ours.n_items), cases.n_relevant, K).mean())
        for lists in (own, theirs)
    )
    return LibraryComparison(f"{name}-ndcg", f"{title}, NDCG@10, ours / {library}", mine, yours, mine / yours, "")
