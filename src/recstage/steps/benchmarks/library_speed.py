"""Seconds of fits, epochs, features, scores and a whole run: ours against other libraries, or alone."""

from __future__ import annotations

import json
import statistics
import sys
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from recstage import tracking
from recstage.config import model_config_of, root
from recstage.data.dataset import Dataset
from recstage.data.interactions import Interactions, Users
from recstage.models import build
from recstage.models.lambdarank.candidate_features import iter_candidate_features
from recstage.models.lambdarank.model import LambdaRank
from recstage.models.lambdarank.params import LambdaRankParams
from recstage.steps.benchmarks.library_environments import run_program, run_tool
from recstage.steps.benchmarks.library_measurement import (
    NEUMF,
    ROUNDS,
    LibraryComparison,
    compared,
    load,
    measured_alone,
    seconds_of,
    train_rows,
)

EPOCHS = 3
PAPER = {"regularization": 0.0, "item_regularization": 0.0, "popularity_exponent": 0.0}
"""NeuMF without what neither RecBole nor the paper has."""
DEPTH_OF_ALL, DEPTH_OF_ONE = 100, 300
"""Items from each retriever whose features are timed: for all users, for one user."""
SINGLE_USERS = 200
RUNS = 3


def als_fit(data: str, seed: int) -> list[LibraryComparison]:
    """Our ALS against `implicit` called directly with the same parameters on the same matrix, in turn."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    train = train_rows(data)
    config = model_config_of("als")
    params = build(config).params
    matrix = train.matrix.copy()
    matrix.data *= params.alpha
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(seconds_of(lambda: build(config).fit(train, seed=seed)))
        bare = AlternatingLeastSquares(
            factors=params.factors,
            regularization=params.regularization,
            iterations=params.iterations,
            random_state=seed,
        )
        with threadpool_limits(1, "blas"):
            theirs.append(seconds_of(partial(bare.fit, matrix, show_progress=False)))
    return [compared("als-fit", "ALS fit, ours / bare implicit", ours, theirs, faster=False)]


def knn_fit(data: str, seed: int) -> list[LibraryComparison]:
    """Our user-KNN against `implicit`'s cosine called directly with as many neighbours, in turn. Implicit compares
    items: it gets the transposed matrix."""
    from implicit.nearest_neighbours import CosineRecommender

    train = train_rows(data)
    config = model_config_of("knn")
    matrix = train.matrix.T.tocsr()
    neighbors = build(config).params.neighbors
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(seconds_of(lambda: build(config).fit(train, seed=seed)))
        theirs.append(seconds_of(partial(CosineRecommender(K=neighbors).fit, matrix, show_progress=False)))
    return [compared("knn-fit", "KNN fit, ours / bare implicit", ours, theirs, faster=False)]


def neumf_epoch(data: str, seed: int) -> list[LibraryComparison]:
    """An epoch of our NeuMF (without dropout) against RecBole's as it ships (dropout .1) and without dropout, with the
    parameters of `NEUMF`. Ours multiplies matrices in bfloat16 where the processor does, and once more in float32."""
    train = train_rows(data)
    native, in_full = _epochs_of_ours(train, "auto", seed), _epochs_of_ours(train, "fp32", seed)
    theirs = run_program("recbole", "recbole_neumf", {"train": train}, **NEUMF, epochs=EPOCHS)
    native, in_full = native + _epochs_of_ours(train, "auto", seed), in_full + _epochs_of_ours(train, "fp32", seed)
    return [
        compared(name, title, seconds, theirs[key], faster=True)
        for name, title, seconds, key in (
            ("neumf-epoch", "NeuMF epoch, RecBole as it ships / ours", native, "epoch_seconds"),
            ("neumf-epoch-fp32", "NeuMF epoch, RecBole as it ships / ours in fp32", in_full, "epoch_seconds"),
            ("neumf-epoch-no-dropout", "NeuMF epoch, RecBole without dropout / ours", native, "without_dropout"),
        )
    ]


def _epochs_of_ours(train: Interactions, precision: str, seed: int) -> list[float]:
    """Seconds of each epoch but the first, which builds the network too."""
    ends: list[float] = []
    factors = NEUMF["factors"]
    model = build(
        model_config_of("ncf"),
        variant="neumf",
        factors=factors,
        layers=(2 * factors, factors, factors // 2),
        batch_size=NEUMF["batch"],
        n_negatives=NEUMF["negatives"],
        negatives="sampled",
        precision=precision,
        epochs=1 + EPOCHS,
        pretrain=0,
        **PAPER,
    )
    model.fit(train, seed=seed, report=lambda step, metrics: ends.append(time.perf_counter()))
    return [after - before for before, after in pairwise(ends)]


def own_times(data: str, seed: int) -> list[LibraryComparison]:
    """What has a target and no counterpart in another library: features of the second stage, for all users and for one;
    scores of one user."""
    ready = load(data)
    train = ready.split.train_and_validation
    rows = _feature_times(ready, train, seed)
    for algorithm in ("als", "ncf"):
        model = build(model_config_of(algorithm)).fit(train, seed=seed, catalogue=ready.catalogue)
        taken = [seconds_of(partial(model.score, train.all_users.take(np.array([row])))) for row in range(SINGLE_USERS)]
        title = f"{algorithm.upper()}, scores of the whole catalogue for one user"
        rows.append(measured_alone(f"score-{algorithm}", title, taken))
    return rows


def _feature_times(ready: Dataset, train: Interactions, seed: int) -> list[LibraryComparison]:
    params = LambdaRankParams(**model_config_of("lambdarank").params)
    second = LambdaRank(params).fit(train, seed=seed, catalogue=ready.catalogue)
    all_users = train.all_users
    pairs = 0

    def featurise(users: Users, depth: int) -> None:
        nonlocal pairs
        parts = iter_candidate_features(second.retrievers_, second.table_, users, depth, lambda some: some.seen)
        pairs = sum(len(candidates) for _, candidates, _ in parts)

    rows = []
    for scope, users, depth in (
        ("all users", [all_users], DEPTH_OF_ALL),
        ("one user", [all_users.take(np.array([row])) for row in range(SINGLE_USERS)], DEPTH_OF_ONE),
    ):
        taken = [seconds_of(partial(featurise, some, depth)) for some in users]
        title = f"LambdaRank's candidates and features, {scope} x {pairs // len(users[-1])} candidates"
        rows.append(measured_alone(f"features-{scope.replace(' ', '-')}", title, taken))
    return rows


def run_overhead(data: str, seed: int) -> list[LibraryComparison]:
    """A whole `mlflow run . -e als` against the sum of its data, fit and evaluation: the rest is overhead."""
    command = [
        str(Path(sys.executable).with_name("mlflow")), "run", str(root()), "--env-manager", "local",
        "-e", "als", "-P", f"data={data}", "-P", f"seed={seed}",
    ]  # fmt: skip
    walls, parts = [], []
    for _ in range(RUNS):
        started = time.perf_counter()
        environment = tracking.outside_environment()
        printed = run_tool(command, "mlflow run . -e als", "Run it by hand", env=environment, cwd=root())
        walls.append(time.perf_counter() - started)
        seconds = json.loads(printed.splitlines()[-1])["seconds"]
        parts.append(sum(seconds[name] for name in ("data", "fit", "evaluation")))
    overhead = statistics.median(wall - part for wall, part in zip(walls, parts, strict=True))
    title = f"whole `mlflow run . -e als` / data, fit and evaluation in it (overhead {overhead:.1f} s)"
    return [compared("run-overhead", title, walls, parts, faster=False)]
