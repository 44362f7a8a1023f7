"""Train the item classifier: search where asked, train, test once, log everything, register."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recstage import cluster, registry, tracking
from recstage.classifier import measures, storage, training
from recstage.classifier.data.samples import LabelledTexts
from recstage.classifier.model import Classifier
from recstage.classifier.training import TextSplit
from recstage.config import read_yaml, resolve, root
from recstage.config.classifier import ClassifierConfig, ClassifierSettings
from recstage.errors import ConfigError
from recstage.progress import progress
from recstage.steps.classification import report, texts
from recstage.tracking import classifiers

LATENCY_TEXTS = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassifierResult:
    """What a training run came to; `version` is None where it was not registered."""

    run_id: str
    model: str
    model_uri: str
    version: int | None
    classes: int
    texts: int
    metrics: dict[str, float]
    seconds: dict[str, float]


def settings_from(arguments: Sequence[str] = ()) -> ClassifierSettings:
    """Settings from conf/classifier.yaml and the command line."""
    return resolve(ClassifierSettings, read_yaml(root() / "conf" / "classifier.yaml"), arguments, program="classifier")


def run(settings: ClassifierSettings) -> ClassifierResult:
    """Raises `RecstageError` on wrong input; the run is then FAILED."""
    with cluster.session(settings.backend):
        return _run(settings)


def _run(settings: ClassifierSettings) -> ClassifierResult:
    family = settings.classifier.family
    if settings.backend == "ray" and family == "linear":
        log.info("the linear family is fitted in this process: it takes seconds")
    if settings.trials and family == "transformer":
        raise ConfigError(
            "trials with family=transformer", rule="the search is over the linear settings", fix="Leave trials out"
        )
    tags = {"model": f"classifier-{family}", "stage-of-work": "train"}
    with tracking.run(f"classifier-{family}", tags=tags) as active:
        run_id = active.info.run_id
        data = texts.load(settings)
        parts = training.split(data, settings.split, settings.seed)
        classifiers.log_texts(run_id, data, parts, settings.seed)
        config = _searched(settings, data, parts) if settings.trials else settings.classifier
        trained = _trained(settings, config, data, parts, run_id)
        test = data.take(parts.test)
        measured, table = _measured(run_id, trained.classifier, test)
        metrics = {**measured, "fit_seconds": trained.seconds["fit"]}
        if trained.unrounded is not None:
            metrics |= _before_rounding(trained.unrounded, test)
        tracking.log_config(run_id, _resolved(settings, config))
        tracking.log_note(run_id, report.note(data, trained.classifier, metrics, table))
        uri = _log_model(run_id, settings, trained.classifier, data, parts, metrics)
        tracking.log_metrics(run_id, metrics, model=uri.removeprefix("models:/"))
        tracking.rename(run_id, f"classifier-{family} · {data.name} · mAP {metrics['mean_average_precision']:.4f}")
        version = registry.register(uri, name=settings.name) if settings.register_ else None
    number = None if version is None else int(version.number)
    size = len(data.labels)
    return ClassifierResult(run_id, f"classifier-{family}", uri, number, size, len(data), metrics, trained.seconds)


def _trained(
    settings: ClassifierSettings, config: ClassifierConfig, data: LabelledTexts, parts: TextSplit, run_id: str
) -> training.Trained:
    params = config.transformer
    with progress(f"classifier {config.family}", params.folds * params.epochs, "epoch") as shown:

        def told(step: int, metrics: Mapping[str, float]) -> None:
            shown.advance(metrics, step)
            named = {tracking.in_training(key): value for key, value in metrics.items()}
            tracking.log_metrics(run_id, named, step)

        return training.train(
            data,
            parts,
            config,
            seed=settings.seed,
            target_size=settings.target_size,
            checkpoints=root() / "data" / "checkpoints" / "classifier",
            report=told,
            backend=settings.backend,
        )


def _searched(settings: ClassifierSettings, data: LabelledTexts, parts: TextSplit) -> ClassifierConfig:
    """The linear settings that are best out of fold; the test texts are not looked at."""
    from recstage import tuning

    rest, config = data.take(parts.not_test), settings.classifier

    def objective(params: dict[str, Any], number: int, told: Any) -> float:
        scores = training.out_of_fold(rest, _with(config, params), settings.seed, settings.target_size)
        return float(np.nanmean(measures.average_precisions(rest.truth, scores)))

    found = tuning.search(
        settings.search,
        objective,
        trials=settings.trials,
        seed=settings.seed,
        storage=root() / "data" / "optuna.db",
        identity={
            "model": "classifier-linear",
            "config": config.model_dump(),
            "fingerprint": rest.fingerprint,
            "seed": settings.seed,
        },
        start={**config.linear.model_dump(), "class_weights": config.class_weights},
        metric="mean_average_precision",
    )
    return _with(config, found.best_params)


def _with(config: ClassifierConfig, params: Mapping[str, Any]) -> ClassifierConfig:
    values = config.model_dump()
    for name, value in params.items():
        (values if name == "class_weights" else values["linear"])[name] = value
    return ClassifierConfig(**values)


def _measured(run_id: str, classifier: Classifier, test: LabelledTexts) -> tuple[dict[str, float], pd.DataFrame]:
    """The one look at the test texts: figures, tables and plots. Returns the figures, and those of each class."""
    probabilities = classifier.probabilities(test.texts)
    predicted = classifier.predicted(probabilities)
    table = measures.per_class(test.labels, test.truth, probabilities, predicted, classifier.thresholds)
    tracking.log_table(run_id, "evaluation/per_class", table)
    confused = measures.confusion_of_pairs(test.labels, test.truth, predicted)
    tracking.log_table(run_id, "evaluation/confusion", confused)
    tracking.log_table(run_id, "evaluation/errors", report.errors(test, probabilities, predicted))
    plots = {
        "calibration": report.calibration_plot(test.truth, probabilities),
        "f1_by_class": report.per_class_plot(table),
    }
    tracking.log_figures(run_id, plots)
    figures = measures.summary(test.truth, probabilities, predicted)
    return {**figures, "latency_p95_ms": latency(classifier, test.texts)}, table


def _before_rounding(classifier: Classifier, test: LabelledTexts) -> dict[str, float]:
    """What rounding the weights to eight bits changed: the same figures with float32 weights."""
    probabilities = classifier.probabilities(test.texts)
    found = measures.summary(test.truth, probabilities, classifier.predicted(probabilities))
    kept = {name: found[name] for name in ("mean_average_precision", "macro_f1", "micro_f1")}
    return {
        f"fp32_{name}": value for name, value in {**kept, "latency_p95_ms": latency(classifier, test.texts)}.items()
    }


def latency(classifier: Classifier, given: Sequence[str]) -> float:
    """95th percentile of the milliseconds that one text takes."""
    taken = []
    for text in given[:LATENCY_TEXTS]:
        started = time.perf_counter()
        classifier.classify([text])
        taken.append(1000 * (time.perf_counter() - started))
    return float(np.percentile(taken, 95))


def _log_model(
    run_id: str,
    settings: ClassifierSettings,
    classifier: Classifier,
    data: LabelledTexts,
    parts: TextSplit,
    metrics: Mapping[str, float],
) -> str:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bundle"
        seen = [data.texts[int(i)] for i in parts.not_test]
        facts = {"data": data.name, "fingerprint": data.fingerprint, "run_id": run_id, "metrics": dict(metrics)}
        storage.save(classifier, folder, texts=seen, metadata={**facts, "seed": settings.seed})
        return classifiers.log_classifier(run_id, folder, f"classifier-{classifier.config.family}")


def _resolved(settings: ClassifierSettings, config: ClassifierConfig) -> dict[str, Any]:
    values = settings.model_dump(mode="json", by_alias=True, exclude={"url", "register_"})
    return {**values, "classifier": config.model_dump(mode="json")}
