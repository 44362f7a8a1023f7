"""What each retriever and group of features contributes: the second stage without each, on the same users.

Everything that can be shared is: retrievers and features are fitted once (on the rows before the labels, and on all
rows), and without a group of features the examples are the same, a few columns narrower."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field
from tqdm import tqdm

from recstage import markdown, tracking
from recstage.cli import named
from recstage.config import DataConfig, EvaluationConfig, Settings, model_config_of, read_yaml, resolve, root
from recstage.data import dataset
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.errors import ConfigError
from recstage.evaluation.protocol import evaluate
from recstage.evaluation.significance import paired_bootstrap
from recstage.models import base
from recstage.models.lambdarank.examples import Examples, LabelledPast
from recstage.models.lambdarank.model import FittedStage, LambdaRank
from recstage.models.lambdarank.params import LambdaRankParams
from recstage.models.lambdarank.training import Training
from recstage.steps.benchmarks import docs_tables

WHOLE = "everything"

log = logging.getLogger(__name__)


class AblateSettings(Settings):
    """What is taken apart, and on which data."""

    data: DataConfig
    params: LambdaRankParams = Field(default_factory=LambdaRankParams, description="the whole")
    evaluation: EvaluationConfig = EvaluationConfig()
    metric: str = Field("ndcg_at_10", description="what is compared; a metric of single users")
    seed: int = Field(42, ge=0)
    write: bool = Field(False, description="write the table between its marks in docs/models-composite.md")


@dataclass(frozen=True)
class AblateResult:
    """The rows of the table of `ablate`."""

    run_id: str
    data: str
    table: list[dict[str, Any]]


def settings_from(arguments: Sequence[str] = ()) -> AblateSettings:
    """`--data NAME` and any override; the whole is conf/model/lambdarank.yaml. Raises `ConfigError`."""
    names, rest = named(arguments, data="ml-1m-ncf")
    config = model_config_of("lambdarank")
    defaults = {
        "data": dataset.config_of(names["data"]),
        "params": config.params,
        "evaluation": read_yaml(root() / "conf" / "evaluation.yaml"),
    }
    return resolve(AblateSettings, defaults, rest, program="ablate")


def run(settings: AblateSettings) -> AblateResult:
    """`ablate` on the rows that a training run learns from and is tested on, as a logged run. Raises `ConfigError`
    where no page has a place for the table that is to be written."""
    name = settings.data.name
    if settings.write:
        docs_tables.check(f"ablation {name}")
    with tracking.run(f"ablate {name}", tags={"stage-of-work": "ablation", "model": "lambdarank"}) as active:
        data = dataset.load(settings.data)
        tracking.log_dataset(active.info.run_id, data)
        tracking.log_config(active.info.run_id, settings.model_dump(mode="json"))
        found = ablate(
            data.split.train_and_validation,
            data.split.test,
            settings.params,
            catalogue=data.catalogue,
            evaluation=settings.evaluation,
            metric=settings.metric,
            seed=settings.seed,
        )
        text = as_markdown(found, settings.metric)
        tracking.log_table(active.info.run_id, "ablation", found)
        tracking.log_text(active.info.run_id, text, "ablation.md")
    for line in text.splitlines():
        log.info("%s", line)
    if settings.write:
        docs_tables.write(f"ablation {name}", text)
    rows = [{str(key): value for key, value in row.items()} for row in found.to_dict("records")]
    return AblateResult(active.info.run_id, name, rows)


def as_markdown(table: pd.DataFrame, metric: str) -> str:
    """The table in Markdown: within each kind, what costs most to leave out comes first."""
    titles = {"everything": "everything", "alone": "`{}` alone", "retriever": "without retriever `{}`"}
    rows = []
    for kind, part in table.groupby("kind", sort=False):
        for row in part.sort_values("value").to_dict("records"):
            cells = [titles.get(str(kind), "without features `{}`").format(row["name"]), f"{row['value']:.4f}"]
            if kind == "everything":
                rows.append([*cells, "", "", ""])
                continue
            interval = f"{row['low']:+.4f} to {row['high']:+.4f}"
            rows.append([*cells, f"{row['difference']:+.4f}", interval, docs_tables.p_value(row["p_value"])])
    return markdown.table(["second stage", metric, "difference", "95 % interval", "p"], rows)


def ablate(
    train: Interactions,
    test: Interactions,
    params: LambdaRankParams,
    *,
    catalogue: Catalogue | None = None,
    evaluation: EvaluationConfig | None = None,
    metric: str = "ndcg_at_10",
    seed: int = 0,
) -> pd.DataFrame:
    """The value of `metric` on `test` with everything, of each retriever alone, and without each retriever and group.

    Columns: kind (everything, alone, retriever, group), name, value, and for all but the first the difference to
    everything with its interval and p-value (paired bootstrap over users): what is lost without it is what it
    contributes. Raises `ConfigError` on a metric that the evaluation does not have, and what fits raise."""
    settings = (evaluation or EvaluationConfig()).model_copy(update={"latency_requests": 0})
    bench = _Bench(train, catalogue if catalogue is not None else Catalogue.empty(train.items), params, seed)
    per_user = {
        (kind, name): evaluate(model, test, config=settings, catalogue=catalogue, seed=seed).per_user
        for kind, name, model in tqdm(bench.models(), total=bench.variants, desc="ablate", disable=None)
    }
    whole = per_user["everything", WHOLE]
    if metric not in whole:
        raise ConfigError(
            f"metric '{metric}'",
            rule="a metric of one user is compared",
            fix=f"Choose one of {', '.join(whole.columns[3:])}",
        )
    return pd.DataFrame([_row(kind, name, found, whole, metric) for (kind, name), found in per_user.items()])


def _row(kind: str, name: str, found: pd.DataFrame, whole: pd.DataFrame, metric: str) -> dict[str, str | float]:
    row: dict[str, str | float] = {"kind": kind, "name": name, "value": float(found[metric].mean())}
    if kind != "everything":
        paired = paired_bootstrap(found[metric], whole[metric])
        row |= {"difference": paired.difference, "low": paired.low, "high": paired.high, "p_value": paired.p_value}
    return row


class _Bench:
    """What all variants share."""

    def __init__(self, train: Interactions, catalogue: Catalogue, params: LambdaRankParams, seed: int) -> None:
        self.train, self.params = train, params
        self.fitting = base.Fitting(seed, None, catalogue, base.silent, None)
        whole = self._training(params)
        self.pasts = whole.pasts()
        self.present = whole.stage(train)

    @property
    def variants(self) -> int:
        dropped = [len(part) if len(part) > 1 else 0 for part in (self.params.retrievers, self.params.groups)]
        return 1 + len(self.params.retrievers) + sum(dropped)

    def models(self) -> Iterator[tuple[str, str, base.Recommender]]:
        """Kind, name and model of each row of the table."""
        whole = self._training(self.params).examples(self.pasts)
        past = self.pasts[0].stage
        yield "everything", WHOLE, self._boosted(self.params, past, whole)
        for name, retriever in self.present.retrievers.items():
            yield "alone", name, retriever
        for name in self.present.retrievers if len(self.params.retrievers) > 1 else ():
            params = _without(self.params, "retrievers", [one for one in self.params.retrievers if one.name != name])
            pasts = [LabelledPast(held, stage.only(params)) for held, stage in self.pasts]
            examples = self._training(params).examples(pasts)
            yield "retriever", name, self._boosted(params, pasts[0].stage, examples)
        for name in self.params.groups if len(self.params.groups) > 1 else ():
            params = _without(self.params, "groups", [group for group in self.params.groups if group != name])
            kept = np.array([past.table.group_of[feature] != name for feature in past.table.names])
            narrow = [
                (_narrowed(learning, kept), None if watched is None else _narrowed(watched, kept))
                for learning, watched in whole
            ]
            yield "group", name, self._boosted(params, past.only(params), narrow)

    def _boosted(
        self, params: LambdaRankParams, past: FittedStage, examples: Sequence[tuple[Examples, Examples | None]]
    ) -> LambdaRank:
        text, _ = self._training(params).boosted(examples, past.table.names)
        return self._model(params).use(self.present.only(params), text)

    def _training(self, params: LambdaRankParams) -> Training:
        return self._model(params).training(self.train, self.fitting)

    def _model(self, params: LambdaRankParams) -> LambdaRank:
        return LambdaRank(params).attach(self.train, self.fitting.catalogue)


def _without(params: LambdaRankParams, field: str, kept: list) -> LambdaRankParams:
    return params.model_copy(update={field: tuple(kept)})


def _narrowed(examples: Examples, kept: np.ndarray) -> Examples:
    return replace(examples, features=np.ascontiguousarray(examples.features[:, kept]))
