"""What a version of the item classifier costs and what it is worth: time of one text, recall of new items.

The cold items are those of its test texts that are in `--data`. A table with the goals goes to stderr, one JSON list to
stdout. Exit status 0: every goal was reached; 1: one was missed; 2: wrong input.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np

from experiments.benchmarks.classification import cold_items
from experiments.benchmarks.report import Measurement, at_most
from recstage import registry
from recstage.classifier import storage
from recstage.classifier.model import Classifier
from recstage.config import DataConfig, check, model_config_of
from recstage.config.classifier import CLASSIFIER_NAME
from recstage.data import dataset
from recstage.errors import ConfigError, RecstageError
from recstage.evaluation.significance import paired_bootstrap
from recstage.tracking import classifiers

LEAST_ITEMS = 30
TIMED = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one version; returns the exit status."""
    parser = argparse.ArgumentParser("python -m experiments.benchmarks.classification", description=__doc__)
    parser.add_argument("--name", default=CLASSIFIER_NAME, help=f"registered model; default: {CLASSIFIER_NAME}")
    parser.add_argument("--version", default="Production", help="a version's number, or Production (the default)")
    parser.add_argument(
        "--data", default="ml-1m-implicit", help="data set whose items are described; default: %(default)s"
    )
    chosen = parser.parse_args(arguments)
    try:
        version = registry.version_of(chosen.name, chosen.version)
        _, classifier = storage.load(registry.fetch(version))
        texts = classifiers.test_texts_of(version.run_id)["text"].tolist()
        found = []
        for one in (*latency(classifier, texts), *worth(classifier, texts, chosen.data)):
            print(one, file=sys.stderr, flush=True)  # noqa: T201
            found.append(one)
    except RecstageError as error:
        print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(json.dumps([one.as_json() for one in found]))  # noqa: T201
    return 0 if all(one.reached for one in found) else 1


def latency(classifier: Classifier, texts: Sequence[str]) -> Iterator[Measurement]:
    """Time to classify one text, and its processor time, which others hardly lengthen: over the test texts, and
    over the longest that are taken into account."""
    longest = max(texts, key=len)
    for name, given in (("one text", list(texts)), ("one long text", [f"{i} {longest * 4}" for i in range(100)])):
        taken, worked = [], []
        classifier.classify(given[:3])
        for text in given[:TIMED]:
            started, before = time.perf_counter(), time.process_time()
            classifier.classify([text])
            taken.append(1e3 * (time.perf_counter() - started))
            worked.append(1e3 * (time.process_time() - before))
        yield Measurement(f"{name}, p50", float(np.percentile(taken, 50)), unit="ms", note=f"{len(taken)} texts")
        yield Measurement(f"{name}, p95", float(np.percentile(taken, 95)), at_most(100), "ms")
        yield Measurement(f"{name}, p95 of processor time", float(np.percentile(worked, 95)), unit="ms")


def worth(classifier: Classifier, texts: Sequence[str], data: str) -> Iterator[Measurement]:
    """Recall of cold items by the content model. Raises `ConfigError` where too few of the texts are in the data."""
    loaded = dataset.load(check(DataConfig, dataset.config_of(data), data))
    split, catalogue = loaded.split, loaded.catalogue
    described = cold_items.cold_texts(catalogue, texts)
    cold = np.array(list(described), np.int64)
    if len(cold) < LEAST_ITEMS:
        raise ConfigError(
            f"{len(cold)} items of {data}",
            rule=f"have one of the classifier's {len(texts)} test texts, {LEAST_ITEMS} are needed",
            fix="Give the data set that it was trained on: --data",
        )
    ways = {
        "true": [catalogue.categories[i] for i in cold.tolist()],
        "predicted": cold_items.predicted(classifier, list(described.values())),
        "none": [()] * len(cold),
    }
    events = split.train_and_validation.union(split.test)
    found = cold_items.recalls(events, catalogue, cold, ways, dict(model_config_of("content").params))
    for place, k in enumerate(cold_items.CUTOFFS):
        for name, values in found.items():
            note = f"{len(values)} users, {len(cold)} cold items" if name == "true" else ""
            yield Measurement(f"recall@{k} of cold items, {name} categories", float(values[:, place].mean()), note=note)
        for first, second in (("predicted", "none"), ("true", "predicted")):
            gain = paired_bootstrap(found[first][:, place], found[second][:, place])
            note = f"95 % interval {gain.low:.4f} to {gain.high:.4f}"
            yield Measurement(f"  {first} - {second}", gain.difference, note=note)


if __name__ == "__main__":
    sys.exit(main())
