"""One piece of work of `scale-data`: python -m experiments.benchmarks.scale.data_job WORK FOLDER EVENTS MEMORY

Ends with one line of JSON: seconds and processor seconds without the imports, and the greatest memory of this process.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from threadpoolctl import threadpool_limits

from recstage.config import DataConfig, EvaluationConfig, EventsSource, SplitConfig, SyntheticSource, model_config_of
from recstage.data import dataset
from recstage.data.sources.synthetic import stream
from recstage.errors import RecstageError
from recstage.evaluation.protocol import evaluate
from recstage.models import build
from recstage.models.memory import peak_memory_mb

EVENTS_A_USER, EVENTS_AN_ITEM = 50, 500
WEIGHTS = {"view": 0.1, "click": 0.3, "like": 0.7, "share": 1.0}
FACTORS, ITERATIONS = 64, 15
ASKED = 20_000


def generate(folder: Path, events: int, memory: str) -> dict[str, float]:
    """Events of a fiftieth as many users and a five-hundredth as many items."""
    world = SyntheticSource(users=events // EVENTS_A_USER, items=events // EVENTS_AN_ITEM, interactions=events)
    return {"events": stream(world, _file(folder, events))}


def prepare(folder: Path, events: int, memory: str) -> dict[str, float]:
    return {"train": len(dataset.load(_config(folder, events, memory, "duckdb"), cache=folder).split.train)}


def in_memory(folder: Path, events: int, memory: str) -> dict[str, float]:
    config = _config(folder, events, "", "memory")
    return {"train": len(dataset.load(config, cache=folder / "in-memory").split.train)}


def fitted(name: str) -> Callable[[Path, int, str], dict[str, float]]:
    """Fits a model to what was prepared, and measures it on a sample of the users."""

    def work(folder: Path, events: int, memory: str) -> dict[str, float]:
        split = dataset.load(_config(folder, events, memory, "duckdb"), cache=folder).split
        params = {"factors": FACTORS, "iterations": ITERATIONS} if name == "als" else {}
        model = build(model_config_of(name), **params)
        began = time.perf_counter(), time.process_time()
        model.fit(split.train_and_validation)
        took = time.perf_counter() - began[0], time.process_time() - began[1]
        config = EvaluationConfig(users=ASKED, latency_requests=0)
        metrics = evaluate(model, split.test, config=config).metrics
        shown = {"users": metrics["n_users"], "ndcg_at_10": metrics["ndcg_at_10"]}
        return {"fit_seconds": took[0], "fit_processor_seconds": took[1], **shown}

    return work


def implicit(folder: Path, events: int, memory: str) -> dict[str, float]:
    """The same matrix, factors and iterations by `implicit` alone."""
    import implicit.cpu.als

    split = dataset.load(_config(folder, events, memory, "duckdb"), cache=folder).split
    params = build(model_config_of("als")).params
    matrix = split.train_and_validation.matrix
    began = time.perf_counter(), time.process_time()
    with threadpool_limits(1, "blas"):
        bare = implicit.cpu.als.AlternatingLeastSquares(
            FACTORS,
            regularization=params.regularization,
            alpha=params.alpha,
            iterations=ITERATIONS,
            num_threads=int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
            random_state=0,
        )
        bare.fit(matrix, show_progress=False)
    return {"fit_seconds": time.perf_counter() - began[0], "fit_processor_seconds": time.process_time() - began[1]}


JOBS: Mapping[str, Callable[[Path, int, str], dict[str, float]]] = {
    "generate": generate,
    "prepare": prepare,
    "in-memory": in_memory,
    "popularity": fitted("popularity"),
    "als": fitted("als"),
    "implicit": implicit,
}


def _config(folder: Path, events: int, memory: str, engine: str) -> DataConfig:
    return DataConfig(
        name=f"synthetic-{events}",
        source=EventsSource(path=str(_file(folder, events))),
        weights=WEIGHTS,
        split=SplitConfig(negatives=0),
        memory=memory,
        engine=engine,
    )


def _file(folder: Path, events: int) -> Path:
    return folder / f"events-{events}.parquet"


def main(work: str, folder: str, events: str, memory: str) -> int:
    """Runs one job; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    began, began_processor = time.perf_counter(), time.process_time()
    try:
        found = JOBS[work](Path(folder), int(events), memory)
    except RecstageError as error:
        print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    took = {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - began_processor}
    print(json.dumps({**found, **took, "peak_mb": peak_memory_mb()}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
