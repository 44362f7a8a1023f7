"""From a frame, a file or a data set of conf/data to a `FittedModel`, by the code of the training step."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from recstage.config import ModelConfig, model_config_of, root
from recstage.data import dataset
from recstage.errors import DataError
from recstage.interactive.fitted import FittedModel
from recstage.models import build
from recstage.progress import progress

NEEDED = ("user_id", "item_id")


def fit(
    model: str,
    data: pd.DataFrame | str | Path,
    *,
    items: pd.DataFrame | None = None,
    seed: int = 42,
    log: bool = False,
    **params: Any,
) -> FittedModel:
    """Fit a model of conf/model ("als", "lambdarank", ...) and hold rows out to test it with `.evaluate()`.

    `data`: a frame with the columns user_id and item_id, and any of timestamp, interaction_type, value; or a name of
    conf/data, or a path. Values weigh from 0 to the greatest; all types weigh alike: data of several types wants a YAML
    with weights, as `recstage init` writes it. `items`: a frame with item_id and any of title, text, categories.
    `params`: hyperparameters by name (`factors=64`), the others as in conf/model: presets are tried by the training
    step alone, so its figures may be better. `log=True` makes it an MLflow run with all that the training step logs;
    without it nothing is written of a frame.

    Raises `ConfigError` on an unknown model or parameter, `DataError` on data that cannot be used.

    >>> als = recstage.fit("als", frame, factors=64)
    >>> als.recommend(["42"], k=5)
    """
    config = model_config_of(model)
    build(config, **params)  # a misspelt parameter ends here, before anything is read
    if isinstance(data, pd.DataFrame):
        _check(data)
        if log:
            return _logged(model, str(_written(data, items, root() / "data" / "frames")), seed, params)
        with tempfile.TemporaryDirectory() as folder:
            return _fitted(config, str(_written(data, items, Path(folder))), seed, params, whole=True)
    if items is not None:
        raise DataError("items", rule="they go with a frame of events", fix="Set source.items_path of the data set")
    return _logged(model, str(data), seed, params) if log else _fitted(config, str(data), seed, params)


def _fitted(config: ModelConfig, data: str, seed: int, params: dict[str, Any], *, whole: bool = False) -> FittedModel:
    from recstage.steps.train_settings import settings_from

    settings = settings_from(config.name, data)
    # of a frame nothing is kept
    ready = dataset.prepare(settings.data, "frame") if whole else dataset.load(dataset.located(settings.data))
    recommender = build(config, **params)
    split = ready.split.transposed() if recommender.reverse else ready.split
    with progress(f"fit {config.name}", recommender.steps_planned, recommender.step_name) as shown:
        recommender.fit(
            split.train_and_validation,
            seed=seed,
            catalogue=None if recommender.reverse else ready.catalogue,
            report=lambda step, metrics: shown.advance(metrics, step),
        )
    return FittedModel(recommender, "a frame" if whole else settings.data.name, ready.split, settings.evaluation)


def _logged(model: str, data: str, seed: int, params: dict[str, Any]) -> FittedModel:
    from recstage import registry
    from recstage.config.steps import DEFAULT
    from recstage.steps import train

    settings = train.settings_from(model, data, overrides={"seed": seed})
    chosen = settings.model.model_copy(update={"params": {**settings.model.params, **params}})
    result = train.run(settings.model_copy(update={"model": chosen, "preset": DEFAULT}))
    ready = dataset.load(dataset.located(settings.data))
    fitted = registry.load_logged(result.model_uri)
    return FittedModel(fitted, f"run {result.run_id}", ready.split, settings.evaluation)


def _written(frame: pd.DataFrame, items: pd.DataFrame | None, folder: Path) -> Path:
    """The frame as files that the sources read, below `folder`; a name made of what it holds."""
    digest = hashlib.sha256(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    if items is not None:
        digest.update(pd.util.hash_pandas_object(items.astype(str), index=False).to_numpy().tobytes())
    here = folder / f"frame-{digest.hexdigest()[:12]}"
    here.mkdir(parents=True, exist_ok=True)
    events = here / "events.parquet"
    frame.to_parquet(events, index=False)
    lines = [f"source: {{kind: events, path: '{events}'"]
    if items is not None:
        items.to_parquet(here / "items.parquet", index=False)
        lines[0] += f", items_path: '{here / 'items.parquet'}'"
    lines[0] += "}"
    if "value" in frame.columns and "interaction_type" not in frame.columns:
        lines.append(f"weights: {{view: {{low: 0.0, high: 1.0, full: {max(float(frame['value'].max()), 1e-9)}}}}}")
    else:
        lines.append("default_weight: 1.0")
    config = here / f"{here.name}.yaml"
    config.write_text("\n".join(lines) + "\n")
    return config


def _check(frame: pd.DataFrame) -> None:
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing:
        raise DataError(
            f"a frame with the columns {', '.join(map(str, frame.columns))}",
            rule=f"events have user_id and item_id; there is no {' and no '.join(missing)}",
            fix=f"frame.rename(columns={{...: '{missing[0]}'}})",
        )
