"""Ours against the libraries of the field: both in the same run, on the same rows, medians compared.

A ratio is ours divided by theirs where it is to be small (`als-fit`) or says how much better our lists are, and theirs
divided by ours where it says how many times faster we are; each title says which.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from recstage import tracking
from recstage.config import DataConfig, check, model_config_of, root
from recstage.data import dataset
from recstage.data.dataset import Dataset
from recstage.data.interactions import Interactions, Users
from recstage.errors import ConfigError, StoreError, valid_names
from recstage.evaluation import metrics
from recstage.evaluation.protocol import cases_of, lists_of
from recstage.models import build
from recstage.models.base import Recommender
from recstage.models.lambdarank.candidate_features import iter_candidate_features
from recstage.models.lambdarank.model import LambdaRank
from recstage.models.lambdarank.params import LambdaRankParams
from recstage.steps.benchmarks import library_environments

ROUNDS = 5
EPOCHS, USUAL_EPOCHS = 3, 20
FACTORS, BATCH, NEGATIVES = 32, 4096, 4
"""NeuMF as it is compared with RecBole."""
PAPER = {"regularization": 0.0, "item_regularization": 0.0, "popularity_exponent": 0.0}
"""What RecBole's does without, and the paper's."""
PLAIN = {"factors": 128, "regularization": 40.0, "alpha": 4.0, "iterations": 15}
"""ALS as everybody has it."""
K = 10
CUTOFFS = (3, 5, K)
DEPTH, DEPTH_OF_ONE = 100, 300
"""Items from each retriever whose features are timed: for everybody, for one user."""
ASKED = 200
NOT_COMPARED = float("nan")
"""In the place of theirs where there is no peer."""


@dataclass(frozen=True)
class LibraryComparison:
    """What ours and theirs came to (medians) in `unit`, and their ratio as `title` says."""

    name: str
    title: str
    ours: float
    theirs: float
    ratio: float
    unit: str = "s"


def als_fit(data: str, seed: int) -> list[LibraryComparison]:
    """Our ALS against `implicit` called bare with the same parameters on the same matrix, in turn."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    train = _rows(data)
    config = model_config_of("als")
    params = build(config).params
    matrix = train.matrix.copy()
    matrix.data *= params.alpha
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_seconds(lambda: build(config).fit(train, seed=seed)))
        bare = AlternatingLeastSquares(
            factors=params.factors,
            regularization=params.regularization,
            iterations=params.iterations,
            random_state=seed,
        )
        with threadpool_limits(1, "blas"):
            theirs.append(_seconds(partial(bare.fit, matrix, show_progress=False)))
    return [_contest("als-fit", "ALS fit, ours / bare implicit", ours, theirs, faster=False)]


def knn_fit(data: str, seed: int) -> list[LibraryComparison]:
    """Our user-KNN against `implicit`'s cosine called bare with as many neighbours, in turn. Implicit compares items:
    it gets the matrix turned round."""
    from implicit.nearest_neighbours import CosineRecommender

    train = _rows(data)
    config = model_config_of("knn")
    matrix = train.matrix.T.tocsr()
    neighbors = build(config).params.neighbors
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_seconds(lambda: build(config).fit(train, seed=seed)))
        theirs.append(_seconds(partial(CosineRecommender(K=neighbors).fit, matrix, show_progress=False)))
    return [_contest("knn-fit", "KNN fit, ours / bare implicit", ours, theirs, faster=False)]


def neumf_epoch(data: str, seed: int) -> list[LibraryComparison]:
    """An epoch of our NeuMF (which drops nothing out) against RecBole's as it ships (dropout .1) and without dropout:
    32 factors, batches of 4096 rows, four negatives a positive. Ours makes matrix products in bfloat16 where the
    processor does, and once more in float32."""
    train = _rows(data)
    params = {"variant": "neumf", "factors": FACTORS, "layers": (2 * FACTORS, FACTORS, FACTORS // 2)}
    marks: list[float] = []

    def ours(precision: str) -> list[float]:
        """Seconds of each epoch but the first, which builds the network too."""
        marks.clear()
        model = build(
            model_config_of("ncf"),
            **params,
            batch_size=BATCH,
            n_negatives=NEGATIVES,
            negatives="sampled",
            precision=precision,
            epochs=1 + EPOCHS,
            pretrain=0,
            **PAPER,
        )
        model.fit(train, seed=seed, report=lambda step, metrics: marks.append(time.perf_counter()))
        return [after - before for before, after in pairwise(marks)]

    native, in_full = ours("auto"), ours("fp32")
    theirs = library_environments.ask("recbole", "recbole_neumf", {"train": train}, FACTORS, BATCH, NEGATIVES, EPOCHS)
    native, in_full = native + ours("auto"), in_full + ours("fp32")
    return [
        _contest(name, title, seconds, theirs[key], faster=True)
        for name, title, seconds, key in (
            ("neumf-epoch", "NeuMF epoch, RecBole as it ships / ours", native, "epoch_seconds"),
            ("neumf-epoch-fp32", "NeuMF epoch, RecBole as it ships / ours in fp32", in_full, "epoch_seconds"),
            ("neumf-epoch-no-dropout", "NeuMF epoch, RecBole without dropout / ours", native, "without_dropout"),
        )
    ]


def recbole(data: str, seed: int) -> list[LibraryComparison]:
    """NeuMF by RecBole with the usual parameters, as it ships: its fit and its lists, beside ours as it is tuned."""
    ready = _ready(data)
    began = time.perf_counter()
    ours = build(model_config_of("ncf")).fit(ready.split.train_and_validation, seed=seed)
    fit = time.perf_counter() - began
    found = library_environments.ask(
        "recbole", "recbole_neumf", _both(ready), FACTORS, BATCH, NEGATIVES, USUAL_EPOCHS, K
    )
    title = f"NCF fit, RecBole's NeuMF of {USUAL_EPOCHS} epochs / ours"
    return [
        _contest("recbole-fit", title, [fit], [found["fit"]], faster=True),
        _quality("recbole-ncf", "RecBole", "NCF", ours, ready.split.test, found),
    ]


def rectools(data: str, seed: int) -> list[LibraryComparison]:
    """ALS by RecTools with the usual parameters: the best ten for everybody, all metrics on them, and how good they are
    beside those of our ALS as it is tuned."""
    ready = _ready(data)
    ours = build(model_config_of("als")).fit(ready.split.train_and_validation, seed=seed)
    test = ready.split.test
    cases = cases_of(ours, test)
    ranked = [_seconds(lambda: lists_of(ours, cases.users, K, progress=False)) for _ in range(ROUNDS)]
    lists = lists_of(ours, cases.users, K, progress=False).items

    def measure() -> None:
        hits = metrics.hits_of(lists, *cases.met, ours.n_items)
        information = metrics.self_information(ours.train_.item_counts, ours.train_.n_users)
        for k in CUTOFFS:
            metrics.novelty(lists[:, :k], information)
            for metric in metrics.ACCURACY.values():
                metric(hits, cases.n_relevant, k)

    measured = [_seconds(measure) for _ in range(ROUNDS)]
    found = library_environments.ask("rectools", "rectools_als", _both(ready), *PLAIN.values(), K)
    return [
        _contest("rectools-top-10", "ALS, best 10 for all, RecTools / ours", ranked, [found["recommend"]], faster=True),
        _contest(
            "rectools-metrics",
            "six metrics of accuracy and novelty at 3, 5 and 10 of all users' lists, RecTools / ours",
            measured,
            [found["metrics"]],
            faster=True,
        ),
        _quality("rectools-als", "RecTools", "ALS", ours, test, found),
    ]


def lenskit(data: str, seed: int) -> list[LibraryComparison]:
    """ALS and item-KNN by LensKit with the usual parameters, beside ours as they are tuned."""
    ready = _ready(data)
    test = ready.split.test
    peer = library_environments.ask("lenskit", "lenskit_als", _both(ready), *PLAIN.values(), K)
    rows = []
    for name, title, algorithm in (("als", "ALS", "als"), ("item-knn", "KNN", "knn")):
        began = time.perf_counter()
        ours = build(model_config_of(algorithm)).fit(ready.split.train_and_validation, seed=seed)
        fit = time.perf_counter() - began
        cases = cases_of(ours, test)
        ranked = [_seconds(partial(lists_of, ours, cases.users, K, progress=False)) for _ in range(ROUNDS)]
        found = peer[name]
        rows += [
            _contest(f"lenskit-{name}-fit", f"{title} fit, LensKit / ours", [fit], [found["fit"]], faster=True),
            _contest(
                f"lenskit-{name}-top-10",
                f"{title}, best 10 for all, LensKit / ours",
                ranked,
                [found["recommend"]],
                faster=True,
            ),
            _quality(f"lenskit-{name}", "LensKit", title, ours, test, found),
        ]
    return rows


def own_times(data: str, seed: int) -> list[LibraryComparison]:
    """What has a goal and no peer: features of the second stage, for everybody and for one; one user's answers."""
    ready = _ready(data)
    train = ready.split.train_and_validation
    second = LambdaRank(LambdaRankParams(**model_config_of("lambdarank").params)).fit(
        train, seed=seed, catalogue=ready.catalogue
    )
    everybody = train.all_users
    pairs = 0

    def featurise(users: Users, depth: int) -> None:
        nonlocal pairs
        parts = iter_candidate_features(second.retrievers_, second.table_, users, depth, lambda some: some.seen)
        pairs = sum(len(candidates) for _, candidates, _ in parts)

    rows = []
    for whom, users, depth in (
        ("all users", [everybody], DEPTH),
        ("one user", [everybody.take(np.array([row])) for row in range(ASKED)], DEPTH_OF_ONE),
    ):
        taken = [_seconds(partial(featurise, some, depth)) for some in users]
        title = f"LambdaRank's candidates and features, {whom} x {pairs // len(users[-1])} candidates"
        rows.append(
            LibraryComparison(
                f"features-{whom.replace(' ', '-')}", title, statistics.median(taken), NOT_COMPARED, NOT_COMPARED
            )
        )
    for algorithm in ("als", "ncf"):
        model = build(model_config_of(algorithm)).fit(train, seed=seed, catalogue=ready.catalogue)
        taken = [_seconds(partial(model.score, everybody.take(np.array([row])))) for row in range(ASKED)]
        title = f"{algorithm.upper()}, scores of the whole catalogue for one user"
        rows.append(
            LibraryComparison(f"score-{algorithm}", title, statistics.median(taken), NOT_COMPARED, NOT_COMPARED)
        )
    return rows


def run_overhead(data: str, seed: int) -> list[LibraryComparison]:
    """A whole `mlflow run . -e als` against the sum of its data, fit and evaluation: the rest is overhead."""
    command = [
        str(Path(sys.executable).with_name("mlflow")), "run", str(root()), "--env-manager", "local",
        "-e", "als", "-P", f"data={data}", "-P", f"seed={seed}",
    ]  # fmt: skip
    walls, parts = [], []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=tracking.outside_environment(), cwd=root())
        walls.append(time.perf_counter() - started)
        if done.returncode:
            raise StoreError(
                "mlflow run . -e als", rule=f"it failed ({done.stderr.strip()[-300:]})", fix="Run it by hand"
            )
        seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
        parts.append(sum(seconds[name] for name in ("data", "fit", "evaluation")))
    overhead = statistics.median(wall - part for wall, part in zip(walls, parts, strict=True))
    title = f"whole `mlflow run . -e als` / data, fit and evaluation in it (overhead {overhead:.1f} s)"
    return [_contest("run-overhead", title, walls, parts, faster=False)]


NAMES: dict[str, Callable[[str, int], list[LibraryComparison]]] = {
    "als-fit": als_fit,
    "knn-fit": knn_fit,
    "neumf-epoch": neumf_epoch,
    "recbole": recbole,
    "own-times": own_times,
    "rectools": rectools,
    "lenskit": lenskit,
    "run-overhead": run_overhead,
}


def checked(names: Sequence[str]) -> Sequence[str]:
    """The same names. Raises `ConfigError` on one of no contest."""
    for name in names:
        if name not in NAMES:
            raise ConfigError(f"contest '{name}'", rule="there is no such contest", fix=valid_names(name, NAMES))
    return names


def run_comparisons(names: Sequence[str], data: str, seed: int) -> tuple[list[LibraryComparison], dict[str, str]]:
    """The contests one after the other; and by name, why one could not be held."""
    held: list[LibraryComparison] = []
    failed = {}
    for name in names:
        try:
            held += NAMES[name](data, seed)
        except StoreError as error:
            failed[name] = str(error)
    return held, failed


def _ready(data: str) -> Dataset:
    return dataset.load(check(DataConfig, dataset.config_of(data), data))


def _rows(data: str) -> Interactions:
    return _ready(data).split.train_and_validation


def _both(data: Dataset) -> dict[str, Interactions]:
    return {"train": data.split.train_and_validation, "test": data.split.test}


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _contest(
    name: str, title: str, ours: Sequence[float], theirs: Sequence[float], *, faster: bool
) -> LibraryComparison:
    mine, yours = statistics.median(ours), statistics.median(theirs)
    return LibraryComparison(name, title, mine, yours, yours / mine if faster else mine / yours)


def _quality(
    name: str, library: str, title: str, ours: Recommender, test: Interactions, found: dict[str, list]
) -> LibraryComparison:
    """NDCG@10 of our lists and of `found` (`users`: indices, `lists`: their item indices), by our metric. Whom theirs
    has no list for counts 0."""
    cases = cases_of(ours, test)
    own = lists_of(ours, cases.users, K, progress=False).items
    theirs = np.full(own.shape, -1, np.int32)
    place = {int(user): row for row, user in enumerate(test.users.index_of(cases.user_ids))}
    for user, items in zip(found["users"], found["lists"], strict=True):
        theirs[place[user], : len(items)] = items
    mine, yours = (
        float(metrics.ndcg(metrics.hits_of(lists, *cases.met, ours.n_items), cases.n_relevant, K).mean())
        for lists in (own, theirs)
    )
    return LibraryComparison(f"{name}-ndcg", f"{title}, NDCG@10, ours / {library}", mine, yours, mine / yours, "")
