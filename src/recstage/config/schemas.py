"""Every schema of configuration: data sets, evaluation, promotion, models.

All are frozen and refuse unknown names, so that a typo ends a program before it trains. A model's hyperparameters are a
schema next to the model (`recstage.models.base.ModelParams`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from recstage.config.base import Schema
from recstage.config.experiments import ExperimentConfig, WatchConfig
from recstage.config.memory_size import MemorySize
from recstage.config.naming import DataName, ModelName, ZoneName

# -- data --------------------------------------------------------------------------------------------------


class ValueWeight(Schema):
    """A weight that grows with the event's value: `low` at 0, `high` at `full` and above (stars, seconds). A value
    below zero (a return, a vote against) weighs 0."""

    low: float = 0.0
    high: float = 1.0
    full: float = Field(gt=0, description="the value that earns the whole weight")


ItemsPath = Annotated[
    str | None,
    Field(
        description="a table of any format, or movies.dat: ids of items, and any of "
        "title, text, categories, available; further columns become attributes"
    ),
]
IdRule = Literal["auto", "text", "number"]


class ItemsSource(Schema):
    """What a source says of its items and users, and how ids are written in all."""

    items_path: ItemsPath = None
    items_columns: dict[str, str] = Field(
        default_factory=dict, description="our name to the items file's: item_id, title, text, categories, available"
    )
    users_path: str | None = Field(
        None, description="a table of any format, u.user or users.dat: ids of users, and columns that become attributes"
    )
    users_columns: dict[str, str] = Field(default_factory=dict, description="user_id, as the users file calls it")
    ids: IdRule = Field(
        "auto", description="auto: 1.0 is 1, and 01 another id; number: 01 is 1 too; text: as written, blanks cut off"
    )
    s3_timeout: float = Field(30, gt=0, description="seconds that an object store (s3://...) may be silent")


class MovieLensSource(ItemsSource):
    """MovieLens in any official layout, from a folder or archive, or downloaded by name."""

    kind: Literal["movielens"] = "movielens"
    path: str | None = Field(None, description="folder or archive; none: download `release`")
    release: Literal["100k", "1m", "10m", "20m", "25m", "32m", "latest-small"] | None = None
    users: bool = Field(False, description="100k, 1m: read age, gender and occupation of the users as attributes")


class EventsSource(ItemsSource):
    """One row an event: delimited text, JSON lines, Parquet, Arrow, a spreadsheet or a database, packed or not; one
    file, or a folder or pattern of parts."""

    kind: Literal["events"] = "events"
    path: str = Field(description="file, folder, pattern (part-*.csv), s3://..., sqlite:///... or postgresql://...")
    test_path: str | None = Field(None, description="events to test on, in a file of their own: the split is `given`")
    validation_path: str | None = Field(None, description="events to validate on, beside those of test_path")
    table: str | None = Field(None, description="of a database; none: the only one with users and items")
    query: str | None = Field(None, description="of a database, in place of a table")
    columns: dict[str, str] = Field(
        default_factory=dict, description="our name to the file's: user_id, item_id, timestamp, interaction_type, value"
    )
    context: dict[str, str] = Field(
        default_factory=dict,
        description="what events say of their moment (device, page): a name, and the file's column",
    )
    separator: str | None = Field(None, description="none: found from the first lines")
    encoding: str | None = Field(None, description="none: UTF-8 or UTF-16, and Windows-1252 for what is neither")
    header: bool | None = Field(None, description="whether the first line names the columns; none: found out")
    sheet: str | None = Field(None, description="of a spreadsheet; none: the first with a table")
    decimal: Literal["auto", ".", ","] = "auto"
    time: Literal["auto", "seconds", "milliseconds", "iso", "day-first", "month-first", "rank"] = "auto"
    zone: ZoneName = Field("UTC", description="of times that name none, as Europe/Berlin")
    default_type: str = Field("view", description="interaction type where the file has no such column")


class JsonSource(ItemsSource):
    """The JSON layout with metadata, interactions and held_out_test."""

    kind: Literal["json"] = "json"
    path: str


class NcfSource(ItemsSource):
    """The files of the NCF authors: train.rating, test.rating, test.negative (gz too). Brings its own split."""

    kind: Literal["ncf"] = "ncf"
    path: str


class SyntheticSource(Schema):
    """The seeded generator."""

    kind: Literal["synthetic"] = "synthetic"
    users: int = Field(1000, ge=1)
    items: int = Field(500, ge=1)
    interactions: int = Field(50_000, ge=1)
    profile: Literal["feed", "advice"] = Field(
        "feed", description="what users do: see conf/data/feed.yaml, advice.yaml"
    )
    seed: int = 42


class ServiceSource(Schema):
    """What the service collected, from its own database."""

    kind: Literal["service"] = "service"
    url: str = Field("", description="database URL without a password; empty: RECSTAGE_SERVING_DATABASE_URL")
    days: float | None = Field(
        None, gt=0, description="lookback window: events and shown lists of so many days before the newest; none: all"
    )
    context: tuple[str, ...] = Field(
        (), description="fields of the events' context that are read, by name (device, page): features of `context`"
    )
    users: bool = Field(
        False,
        description="read what profiles declare as attributes of users: `role`, the first of the categories, and the"
        " profiles' own attributes",
    )
    until: int | None = Field(None, ge=0, description="number of the last event to read; none: the newest")
    path: str | None = Field(None, description="folder of the snapshot that is read; filled in; none: take one now")
    state: str | None = Field(None, description="of runs before snapshots; it decides nothing")


SourceConfig = Annotated[
    MovieLensSource | EventsSource | JsonSource | NcfSource | SyntheticSource | ServiceSource,
    Field(discriminator="kind"),
]


class MinimumConfig(Schema):
    """Fewest of each that a data set must have after cleaning."""

    interactions: int = Field(10, ge=1)
    users: int = Field(2, ge=2)
    items: int = Field(2, ge=2)


class SplitConfig(Schema):
    """How a data set is cut. `given`: the source brings its own test rows. `auto`: given where it does, ratio where
    nothing says what came first, else leave-one-out. `k-fold` and `rolling`: one fold of a cross-validation."""

    method: Literal["auto", "leave-one-out", "leave-k-out", "temporal", "ratio", "given", "k-fold", "rolling"] = "auto"
    k: int = Field(1, ge=1, description="leave-k-out: so many items of each user to test, and as many to validate")
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="temporal and ratio; rolling: the share that the windows of all folds have"
    )
    test_from: int | None = Field(
        None,
        ge=0,
        description="temporal: the test begins here (seconds since 1970); rolling: the first "
        "window does; none: where test_fraction says",
    )
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="temporal, ratio, k-fold and rolling: share of what is not test"
    )
    folds: int = Field(5, ge=2, description="k-fold and rolling: number of the folds")
    fold: int = Field(1, ge=1, description="k-fold and rolling: which of them, from 1")
    negatives: int = Field(99, ge=0, description="sampled candidates a user for the sampled protocol; 0: none")
    newcomers: float = Field(
        0,
        ge=0,
        le=1,
        description="share of the tested users made cold-start users: they lose all but their latest rows",
    )
    newcomer_rows: int = Field(
        19, ge=0, description="a cold-start user keeps 0 to so many rows of training and validation"
    )
    seed: int = 42

    @model_validator(mode="after")
    def _fold_is_there(self) -> SplitConfig:
        if self.fold > self.folds:
            raise ValueError(f"fold = {self.fold}: there are {self.folds} folds, from 1")
        return self

    @property
    def folded(self) -> bool:
        """Whether this is one fold of a cross-validation."""
        return self.method in ("k-fold", "rolling")

    @property
    def label(self) -> str:
        """What runs say of it: the method, and which fold of how many."""
        return f"{self.method} {self.fold}/{self.folds}" if self.folded else self.method


class DataConfig(Schema):
    """A data set: `conf/data/NAME.yaml`."""

    name: DataName
    source: SourceConfig
    weights: dict[str, float | ValueWeight] = Field(
        default={"rating": 1.0}, description="weight of each interaction type"
    )
    default_weight: float | ValueWeight | None = Field(None, description="weight of types that `weights` leaves out")
    negative_types: tuple[str, ...] = Field((), description="types that say no (dismiss): seen, never liked")
    aggregate: Literal["sum", "max", "last"] = Field("sum", description="how repeats of a (user, item) pair combine")
    catalogue: Literal["all", "with-events"] = Field(
        "all", description="all: items of the items file that have no event yet are in the catalogue too"
    )
    strict: bool = Field(False, description="refuse bad rows instead of dropping and counting them")
    memory: MemorySize = Field(
        "", description="the most that preparing may take, such as 8GiB; empty: half of what is free"
    )
    engine: Literal["auto", "memory", "duckdb"] = Field(
        "auto", description="auto: out of core by DuckDB where memory would not hold it (extra `scale`)"
    )
    minimum: MinimumConfig = MinimumConfig()
    split: SplitConfig = SplitConfig()


# -- evaluation and promotion ------------------------------------------------------------------------------


class EvaluationConfig(Schema):
    """`conf/evaluation.yaml`."""

    cutoffs: tuple[int, ...] = (5, 10, 20)
    users: int = Field(0, ge=0, description="test users that are asked, drawn once for all models; 0: all of them")
    cold_below: int = Field(5, ge=1, description="users with fewer training interactions are cold")
    hot_from: int = Field(20, ge=2, description="users with at least so many are hot")
    bootstrap: int = Field(1000, ge=100, description="resamples of a confidence interval")
    confidence: float = Field(0.95, gt=0.5, lt=1)
    latency_requests: int = Field(200, ge=0, description="single-user lists timed for the latency metrics")

    @model_validator(mode="after")
    def _segments_in_order(self) -> EvaluationConfig:
        if self.hot_from < self.cold_below:
            raise ValueError(
                f"hot_from = {self.hot_from} is below cold_below = {self.cold_below}: hot users begin after cold ones"
            )
        return self


class GuardrailConfig(Schema):
    """What a challenger must not lose, whatever it gains."""

    coverage_ratio: float = Field(0.5, ge=0, description="least coverage_at_10 as a share of Production's")
    segment_loss: float = Field(0.1, ge=0, description="greatest relative loss of the primary metric in a segment")
    segment_users: int = Field(30, ge=1, description="segments with fewer test users are not judged")
    latency_p95_ms: float = Field(100.0, gt=0, description="slowest p95 of one list, each at the best of the rounds")
    latency_ratio: float = Field(
        1.5, ge=1, description="beyond latency_p95_ms: at most so many times Production's p95 in the same rounds"
    )
    latency_requests: int = Field(40, ge=0, description="single lists of either model timed in a round; 0: not judged")
    latency_rounds: int = Field(5, ge=1, description="rounds in which challenger and Production are timed in turn")
    coverage_least: float | None = Field(None, ge=0, le=1, description="least coverage_at_10, whatever Production's is")
    gini_increase: float = Field(0.1, ge=0, description="gini_at_10: at most so much above Production's")
    gini_most: float | None = Field(None, ge=0, le=1, description="greatest gini_at_10")
    popularity_increase: float = Field(
        0.2, ge=0, description="share of places for the most popular hundredth: at most so much above Production's"
    )
    popularity_most: float | None = Field(None, ge=0, le=1, description="greatest such share")
    diversity_ratio: float = Field(0.7, ge=0, description="least diversity of lists, as a share of Production's")
    diversity_least: float | None = Field(None, ge=0, le=1, description="least diversity of lists")
    calibration_error: float = Field(0.25, gt=0, le=1, description="greatest expected calibration error")
    index_recall: float = Field(
        0.97, ge=0, le=1, description="least recall@100 of an approximate index against exact search"
    )
    bundle_mb: float = Field(4000.0, gt=0, description="largest bundle, in megabytes")
    history_overlap: float = Field(
        0.5, ge=0, le=1, description="share of a list that stays where the oldest item of the history is left out"
    )
    stage_alpha: float = Field(0.05, gt=0, le=1, description="of the gain of a second stage over its first")
    sample_users: int = Field(
        200, ge=0, description="users whose lists are measured and whose promises are tried; 0: none"
    )
    common_share: float = Field(
        0.1, ge=0, le=1, description="least share of users and of items in common with Production, of other data"
    )


class PromotionConfig(Schema):
    """`conf/promotion.yaml`: the gate."""

    metric: str = "ndcg_at_10"
    margin: float = Field(0.0, ge=0, description="loss of the metric that is tolerated (non-inferiority), absolute")
    require_gain: bool = Field(True, description="the paired difference must be above zero, significantly")
    alpha: float = Field(0.05, gt=0, lt=0.5)
    bootstrap: int = Field(2000, ge=200)
    guardrails: GuardrailConfig = GuardrailConfig()
    require: Literal["", "ab"] = Field("", description="ab: evidence of an experiment on live users as well")
    experiment: ExperimentConfig = ExperimentConfig()
    watch: WatchConfig = WatchConfig()
    keep: int = Field(3, ge=1, description="versions an algorithm that prune keeps")


# -- models ------------------------------------------------------------------------------------------------


class SearchRange(Schema):
    """One dimension of a search space: a range of numbers, or choices."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    step: float | None = None
    choices: tuple[Any, ...] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> SearchRange:
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("give low and high, or choices")
        return self


DataKind = Literal["dense", "sparse", "sessions", "unordered"]
"""What a data set is like, as far as parameters depend on it: `recstage.data.kind` tells which."""


class Preset(Schema):
    """A named set of a model's params, which a training run without a search tries on validation."""

    kinds: tuple[DataKind, ...] = Field((), description="tried on data of these kinds; empty: on any")
    by_name: bool = Field(False, description="used where it is named only: `preset=NAME`")
    params: dict[str, Any]


class ModelConfig(Schema):
    """A model: `conf/model/NAME.yaml`. `params` is checked against the model's own schema when it is built."""

    name: str
    target: str = Field(pattern=r"^recstage\.models(\.\w+)+:\w+$", description="module:class")
    params: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, SearchRange] = Field(default_factory=dict)
    presets: dict[str, Preset] = Field(default_factory=dict, description="named sets of params, tried on validation")
    registered_name: ModelName = "recommender"

    def presets_for(self, kind: DataKind) -> dict[str, Preset]:
        """The presets that are tried on data of a kind."""
        return {
            name: one for name, one in self.presets.items() if not one.by_name and (not one.kinds or kind in one.kinds)
        }
