"""Settings of every step, in one place: what an entry point, the command line and a notebook may say of it.

The schemas know nothing of the steps, so that a misspelt name is told before anything slow is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from recstage.config.duration import Duration
from recstage.config.memory_size import MemorySize
from recstage.config.naming import ModelName, ZoneName
from recstage.config.resolve import Settings
from recstage.config.retraining import NotifyConfig, RetrainingConfig
from recstage.config.schemas import DataConfig, DataKind, EvaluationConfig, ModelConfig, PromotionConfig

DEFAULT_NAME = "recommender"
"""The registered model where none is named; `name` says another one, for each data set that is served on its own."""
SAME = "same"
MODELS: Mapping[DataKind, tuple[str, ...]] = {
    "dense": ("popularity", "transitions", "ease", "spectral", "knn", "als", "ncf", "lambdarank"),
    "sparse": ("popularity", "transitions", "ease", "slim", "spectral", "knn", "als", "lambdarank"),
    "sessions": ("popularity", "transitions", "ease", "slim", "spectral", "knn", "als", "lambdarank"),
    "unordered": ("popularity", "ease", "slim", "spectral", "knn", "als", "lambdarank"),
}
"""What the main job trains on each kind of data: the simplest, then single models from the strongest on, then what is
made of them; docs/decisions/0021 has the figures."""
BEST = "best"
DEFAULT, AUTO = "default", "auto"
"""Presets of every model: the params of the YAML; the best of those and of the presets for such data."""
NOW = "now"
PREVIOUS = "previous"


Backend = Annotated[
    Literal["local", "ray"],
    Field(description="local: this process; ray: the cluster at RAY_ADDRESS, else all cores of this machine"),
]
"""Where the heavy work of a step runs."""
TrainBackend = Annotated[
    Literal["local", "ray", "spark"],
    Field(
        description="local: this process; ray: the cluster at RAY_ADDRESS, else all cores of this machine; "
        "spark: als by Spark MLlib"
    ),
]
"""Where a model is searched and fitted."""


class EvaluateSettings(Settings):
    """Which version is measured, and how."""

    version: str = Field("Production", description="a version's number, or Production")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")
    data: str = Field(SAME, description="a name of conf/data, or a path; same: what the version was tested on")
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: int = Field(42, ge=0)
    trade_off: bool = Field(
        False, description="log what diversity costs, and find the best lambda of MMR on validation rows"
    )
    max_loss: float = Field(
        0.02, ge=0, le=1, description="with trade_off: the largest share of NDCG that diversity may cost"
    )
    backend: Backend = "local"


class PipelineSettings(Settings):
    """What the main job trains, and on what."""

    data: str = Field("synthetic", description="a name of conf/data, a YAML file, or a file or folder with data")
    models: tuple[str, ...] = Field((), description="names of conf/model; empty: those that suit the kind of data")
    trials: int = Field(0, ge=0, description="trials of each model's hyperparameter search")
    budget: Duration = Field(
        0.0,
        description="search for so long at most, all single models together, each for half of what is left; such as "
        "10m; 0: no limit",
    )
    seed: int = Field(42, ge=0)
    strict: bool = Field(False, description="refuse data with bad rows instead of dropping and counting them")
    memory: MemorySize = Field("", description="the most that preparing may take, such as 8GiB")
    promote: bool = Field(True, description="promote the best version, if the gate allows")
    new_data: bool = Field(False, description="replace a Production of other data: see promote")
    name: ModelName = Field("", description="registered model; empty: recommender")
    backend: Backend = "local"


class InitSettings(Settings):
    """The file, and what is said of it beforehand: each of the others is a setting of `source` in docs/data.md."""

    path: str = Field(description="a file, folder or pattern of events, s3://..., sqlite:///... or postgresql://...")
    items: str = Field("", description="a file that describes the items; none: not the one beside it either")
    name: str = Field("", description="of the data set; empty: from the file's")
    yes: bool = Field(False, description="ask nothing, and replace a YAML of that name")
    columns: dict[str, str] = Field(default_factory=dict, description="our name to the file's, where guessing fails")
    items_columns: dict[str, str] = Field(default_factory=dict, description="the same of the items file")
    test_path: str = Field(
        "", description="rows to test on, in a file of their own; none: not the one beside it either"
    )
    validation_path: str = Field("", description="rows to validate on; none: not the one beside it either")
    table: str = Field("", description="of a database")
    query: str = Field("", description="of a database, in place of a table")
    separator: str | None = Field(None, description="none: found from the first lines")
    encoding: str | None = Field(None, description="none: found out")
    header: bool | None = Field(None, description="whether the first line names the columns; none: found out")
    sheet: str | None = Field(None, description="of a spreadsheet")
    decimal: str = Field("auto", description="auto, a point or a comma")
    time: str = Field("auto", description="auto, seconds, milliseconds, iso, day-first, month-first, rank")
    ids: str = Field("auto", description="auto, text, number")
    zone: ZoneName = Field("UTC", description="of times that name none, as Europe/Berlin")
    s3_timeout: float = Field(30, gt=0, description="seconds that an object store (s3://...) may be silent")


class PrepareSettings(Settings):
    """The data set to prepare."""

    data: DataConfig


class TrainSettings(Settings):
    """Everything that decides a training run."""

    data: DataConfig
    model: ModelConfig
    evaluation: EvaluationConfig = EvaluationConfig()
    preset: str = Field(AUTO, description="a preset of conf/model, or default; auto: the best by validation rows")
    trials: int = Field(0, ge=0, description="trials of the hyperparameter search; 0: no search")
    budget: Duration = Field(0.0, description="search for so long at most, such as 90s, 10m or 1h; 0: no limit")
    seed: int = Field(42, ge=0)
    register_: bool = Field(False, alias="register", description="register the model as a new version")
    name: ModelName = Field("", description="registered model; empty: the one of conf/model")
    warm_start: str = Field(
        "", description="a version (NAME/NUMBER) whose values the fit begins with, where the model allows; empty: none"
    )
    distill_from: str = Field(
        "",
        description="a version of ncf (NAME/NUMBER) on the same rows, whose scores are learned; empty: none",
    )
    backend: TrainBackend = "local"
    work: str = Field("train", description="the tag stage-of-work of the run: train, fold or benchmark")


class CompareSettings(Settings):
    """What is compared."""

    name: ModelName = Field(DEFAULT_NAME, description="the registered model")
    unregistered: int = Field(10, ge=0, description="training runs a group that are no version, shown with them")
    promotion: PromotionConfig = PromotionConfig()


class PromoteSettings(Settings):
    """Which version is promoted, and what is asked of it."""

    version: str = Field(BEST, description="a version's number; best: the best of the newest version's data and split")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")
    force: bool = Field(False, description="promote even if the gate refuses; that is recorded")
    new_data: bool = Field(
        False, description="replace a Production with few users or items in common; `force` does not stand for it"
    )
    require: Literal["", "ab"] = Field("", description="ab: a better verdict of an experiment on live users as well")
    reason: str = Field("", description="why, for the history")
    by: str = Field("", description="who, for the history; empty: the login name")
    promotion: PromotionConfig = PromotionConfig()


Direction = Literal["forward", "reverse"]


class RetrainSettings(Settings):
    """What is retrained, and whether at once."""

    name: ModelName = Field(DEFAULT_NAME, description="the registered model, and its reverse")
    direction: Direction = Field("forward", description="reverse: the model from items to users, by `reverse`")
    now: bool = Field(False, description="whatever the triggers say: asked for")
    dry_run: bool = Field(False, description="only say what would be done, and why")
    reason: str = Field("", description="why, for the history")
    by: str = Field("", description="who, for the history; empty: the login name")
    seed: int = Field(42, ge=0)
    retraining: RetrainingConfig = RetrainingConfig()
    promotion: PromotionConfig = PromotionConfig()

    @property
    def registered(self) -> str:
        """The registered model whose triggers and journal these are."""
        return self.name if self.direction == "forward" else f"{self.name}-reverse"


class UpdateSettings(Settings):
    """Which version takes in what happened since, and how that is judged."""

    version: str = Field("Production", description="a version's number, or Production")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model; NAME-reverse: from items to users")
    data: str = Field(SAME, description="a name of conf/data, or a YAML file; same: what the version was trained on")
    refresh: bool = Field(True, description="users and items that changed are learnt anew, too; false: new ones alone")
    test_share: float = Field(
        0.2, gt=0, lt=1, description="of the new interactions, the newest: tested on, not learnt from"
    )
    least_test_users: int = Field(30, ge=1, description="fewer in the test window: nothing is compared or staged")
    stage: bool = Field(True, description="the version becomes Staging, if the gate lets it")
    prune: bool = Field(True, description="afterwards: all but the last `keep` versions of each algorithm are deleted")
    reason: str = Field("", description="why, for the history")
    by: str = Field("", description="who, for the history; empty: the login name")
    seed: int = Field(42, ge=0)
    promotion: PromotionConfig = PromotionConfig()


class AbReportSettings(Settings):
    """Which experiment is read."""

    name: ModelName = Field(DEFAULT_NAME, description="the registered model")
    experiment: str = Field("", description="its name; empty: that of Production and Staging now, else the newest")
    url: str = Field("", description="database URL without a password; empty: RECSTAGE_SERVING_DATABASE_URL")
    promotion: PromotionConfig = PromotionConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


class OffPolicySettings(Settings):
    """Which version is estimated, from which lists."""

    version: str = Field("Staging", description="a version's number, Production or Staging")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")
    url: str = Field("", description="database URL without a password; empty: RECSTAGE_SERVING_DATABASE_URL")
    days: float = Field(28.0, gt=0, description="lists of the last days are used")


class ExperimentSettings(Settings):
    """The experiment that the version in Staging is put into."""

    share: float = Field(0.5, ge=0, le=1, description="of the users; 0 ends it")
    mode: Literal["split", "shadow", "bandit", "contextual", "interleave"] = "split"
    label: str = Field("", description="name of the experiment; empty: MODEL-CHALLENGER-vs-PRODUCTION")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")


class DriftSettings(Settings):
    """Which version's training is compared with what the service sees now."""

    version: str = Field("Production", description="a version's number, Production or Staging")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")
    url: str = Field("", description="database URL without a password; empty: RECSTAGE_SERVING_DATABASE_URL")
    days: float = Field(7.0, gt=0, description="events and lists of the last days are compared")
    line: float = Field(0.1, gt=0, description="a distance of at least this is a shift")


class WatchSettings(Settings):
    """Which Production is watched."""

    name: ModelName = Field(DEFAULT_NAME, description="the registered model")
    url: str = Field("", description="database URL without a password; empty: RECSTAGE_SERVING_DATABASE_URL")
    once: bool = Field(False, description="look once instead of until interrupted")
    dry_run: bool = Field(False, description="say what would be done, and roll nothing back")
    promotion: PromotionConfig = PromotionConfig()


class ScheduleSettings(Settings):
    """How often it is looked whether a retraining is due."""

    name: ModelName = Field(DEFAULT_NAME, description="the registered model, and its reverse")
    directions: tuple[Direction, ...] = Field(
        ("forward",), min_length=1, description="looked at in turn; with `reverse` in conf/retraining.yaml both"
    )
    notify: NotifyConfig = NotifyConfig()
    check_minutes: float = Field(60.0, gt=0, description="between two looks; conf/retraining.yaml")
    update_hours: float = Field(
        0.0, ge=0, description="an update of Production at most so often, where no retraining was due; 0: never"
    )
    looks: int = Field(0, ge=0, description="end after so many looks; 0: never")


class HistorySettings(Settings):
    """Whose history, and the time that is asked about."""

    at: str = Field(NOW, description="ISO 8601, local where it names no zone: what was Production then?")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")


class ProductionAtSettings(Settings):
    """The time that is asked about."""

    time: str = Field(NOW, description="ISO 8601, local where it names no zone")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")


class LineageSettings(Settings):
    """Which version, or which snapshot."""

    version: str = Field("Production", description="a version's number, Production or Staging")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")
    snapshot: str = Field("", description="digest of a snapshot or fingerprint of a data set: what was trained on it")


class TrainedOnSettings(Settings):
    """Which user."""

    user: str = Field(min_length=1, description="the user's id")


class DiffSettings(Settings):
    """Which two versions."""

    first: str = Field(description="a version's number, Production or Staging")
    second: str = Field(description="another one")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")
    users: int = Field(5, ge=1, le=50, description="users whose lists are set side by side")
    items: int = Field(10, ge=1, le=100, description="length of the lists")


class ExportSettings(Settings):
    """What is exported, and where to."""

    version: str = Field("Production", description="a version's number, Production or Staging")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")
    file: str = Field("", description="a new file; empty: NAME-vN.recstage.zip in the current folder")


class ImportSettings(Settings):
    """What is imported, and as what."""

    file: str = Field(description="a file that export wrote")
    name: ModelName = Field("", description="the registered model; empty: the one it was exported from")


class PruneSettings(Settings):
    """What is kept."""

    keep: int = Field(3, ge=1, description="versions of each algorithm that are kept, the newest")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")
    dry_run: bool = Field(False, description="only list what would be deleted")


class RegisterSettings(Settings):
    """What is registered, and as what."""

    run: str = Field(description="a training run's id, runs:/RUN/model or models:/m-...")
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")


class RollbackSettings(Settings):
    """Where to go back to."""

    to: str = Field(
        PREVIOUS, description="a version's number; previous: what was Production before, one further each time"
    )
    name: ModelName = Field(DEFAULT_NAME, description="the registered model")
    reason: str = Field("", description="why, for the history")
    by: str = Field("", description="who, for the history; empty: the login name")
