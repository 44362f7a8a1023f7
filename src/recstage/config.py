"""Every schema of configuration, and how one is resolved: YAML < environment < command line.

All schemas are frozen and refuse unknown names, so that a typo ends a program before it trains. A model's
hyperparameters are a schema beside the model (`recstage.models.base.ModelParams`).
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, CliSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from recstage.errors import ConfigError, valid_names


class Schema(BaseModel):
    """Base of every configuration object."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# -- where things are --------------------------------------------------------------------------------------


@cache
def root() -> Path:
    """The repository: `RECSTAGE_HOME` where set, else the nearest folder above this package, or above the current
    folder, that holds `MLproject` and `conf`. Raises `ConfigError` where there is none."""
    named = os.environ.get("RECSTAGE_HOME")
    starts = [Path(named)] if named else [*Path(__file__).resolve().parents, Path.cwd(), *Path.cwd().parents]
    for folder in starts:
        if (folder / "MLproject").is_file() and (folder / "conf").is_dir():
            return folder.resolve()
    raise ConfigError(
        named or "the current folder",
        rule="recstage works inside its repository (a folder with MLproject and conf)",
        fix="Change to it, or set RECSTAGE_HOME to it",
    )


# -- data --------------------------------------------------------------------------------------------------


class ValueWeight(Schema):
    """A weight that grows with the event's value: `low` at 0, `high` at `full` and above (stars, seconds)."""

    low: float = 0.0
    high: float = 1.0
    full: float = Field(gt=0, description="the value that earns the whole weight")


ItemsPath = Annotated[
    str | None,
    Field(description="CSV, JSON lines, Parquet or movies.dat with item_id (or movie_id), title, text, categories"),
]


class MovieLensSource(Schema):
    """MovieLens in any official layout, from a folder or archive, or downloaded by name."""

    kind: Literal["movielens"] = "movielens"
    path: str | None = Field(None, description="folder or archive; none: download `release`")
    release: Literal["100k", "1m", "10m", "20m", "25m", "32m", "latest-small"] | None = None
    items_path: ItemsPath = None


class EventsSource(Schema):
    """Delimited text or Parquet, one row an event (gz, bz2, xz and zip are read as they are)."""

    kind: Literal["events"] = "events"
    path: str
    items_path: ItemsPath = None
    columns: dict[str, str] = Field(
        default_factory=dict, description="our name to the file's: user_id, item_id, timestamp, interaction_type, value"
    )
    separator: str | None = Field(None, description="none: found from the first line")
    time: Literal["auto", "seconds", "milliseconds", "iso", "rank"] = "auto"
    default_type: str = Field("view", description="interaction type where the file has no such column")


class JsonSource(Schema):
    """The JSON layout with metadata, interactions and held_out_test."""

    kind: Literal["json"] = "json"
    path: str
    items_path: ItemsPath = None


class NcfSource(Schema):
    """The files of the NCF authors: train.rating, test.rating, test.negative (gz too). Brings its own split."""

    kind: Literal["ncf"] = "ncf"
    path: str
    items_path: ItemsPath = None


class SyntheticSource(Schema):
    """The seeded generator."""

    kind: Literal["synthetic"] = "synthetic"
    users: int = Field(1000, ge=1)
    items: int = Field(500, ge=1)
    interactions: int = Field(50_000, ge=1)
    profile: Literal["feed", "advice"] = Field(
        "feed", description="what people do: see conf/data/feed.yaml, advice.yaml"
    )
    seed: int = 42


class ServiceSource(Schema):
    """What the service collected, from its own database."""

    kind: Literal["service"] = "service"
    url: str = Field("", description="database URL without a password; empty: RECSTAGE_SERVING_DATABASE_URL")
    until: int | None = Field(None, ge=0, description="number of the last event to read; none: the newest")
    state: str | None = Field(None, description="what the database held when it was read; filled in, not to be set")


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
    """How a data set is cut. `given`: the source brings its own test rows."""

    method: Literal["leave-one-out", "temporal", "ratio", "given"] = "leave-one-out"
    test_fraction: float = Field(0.2, gt=0, lt=1, description="temporal and ratio")
    validation_fraction: float = Field(0.1, gt=0, lt=1, description="temporal and ratio: share of what is not test")
    negatives: int = Field(99, ge=0, description="sampled candidates a user for the sampled protocol; 0: none")
    newcomers: float = Field(0, ge=0, le=1, description="share of the tested users who lose all but their latest rows")
    newcomer_rows: int = Field(19, ge=0, description="a newcomer keeps 0 to so many rows of training and validation")
    seed: int = 42


class DataConfig(Schema):
    """A data set: `conf/data/NAME.yaml`."""

    name: str
    source: SourceConfig
    weights: dict[str, float | ValueWeight] = Field(
        default={"rating": 1.0}, description="weight of each interaction type"
    )
    negative_types: tuple[str, ...] = Field((), description="types that say no (dismiss): seen, never liked")
    aggregate: Literal["sum", "max", "last"] = Field("sum", description="how repeats of a (user, item) pair combine")
    strict: bool = Field(False, description="refuse bad rows instead of dropping and counting them")
    minimum: MinimumConfig = MinimumConfig()
    split: SplitConfig = SplitConfig()


# -- evaluation and promotion ------------------------------------------------------------------------------


class EvaluationConfig(Schema):
    """`conf/evaluation.yaml`."""

    cutoffs: tuple[int, ...] = (5, 10, 20)
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
    latency_p95_ms: float = Field(100.0, gt=0, description="slowest p95 of one list")


class PromotionConfig(Schema):
    """`conf/promotion.yaml`: the gate."""

    metric: str = "ndcg_at_10"
    margin: float = Field(0.0, ge=0, description="loss of the metric that is tolerated (non-inferiority), absolute")
    require_gain: bool = Field(True, description="the paired difference must be above zero, significantly")
    alpha: float = Field(0.05, gt=0, lt=0.5)
    bootstrap: int = Field(2000, ge=200)
    guardrails: GuardrailConfig = GuardrailConfig()
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


class ModelConfig(Schema):
    """A model: `conf/model/NAME.yaml`. `params` is checked against the model's own schema when it is built."""

    name: str
    target: str = Field(pattern=r"^recstage\.models\.\w+:\w+$", description="module:class")
    params: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, SearchRange] = Field(default_factory=dict)
    registered_name: str = "recommender"


# -- resolving ---------------------------------------------------------------------------------------------

S = TypeVar("S", bound="Settings")


class Settings(BaseSettings):
    """A step's whole configuration: arguments (from YAML) < environment (RECSTAGE_A__B) < command line (--a.b)."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="RECSTAGE_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def resolve(
    schema: type[S], defaults: Mapping[str, Any], arguments: Sequence[str] = (), *, program: str = "recstage"
) -> S:
    """`schema` from `defaults`, the environment and the command line. Raises `ConfigError` with one clear line."""

    class WithCommandLine(schema):  # type: ignore[valid-type, misc]
        @classmethod
        def settings_customise_sources(cls, settings_cls: type[BaseSettings], **sources: Any) -> tuple:
            rest = super().settings_customise_sources(settings_cls, **sources)
            command_line: CliSettingsSource = CliSettingsSource(
                settings_cls,
                cli_parse_args=_spelt_out(arguments, schema),
                cli_exit_on_error=False,
                cli_prog_name=program,
            )
            return (command_line, *rest)

    WithCommandLine.__doc__ = schema.__doc__
    try:
        return WithCommandLine(**defaults)
    except SettingsError as error:
        wrong = re.search(r"unrecognized arguments: (.*)", str(error))
        if wrong is None:
            raise ConfigError(str(error), rule="settings must parse", fix="See --help") from error
        name = wrong[1].split()[0].removeprefix("--").split("=")[0]
        raise ConfigError(f"--{name}", rule="no such setting", fix=valid_names(name, option_names(schema))) from error
    except ValidationError as error:
        raise explain(error, schema) from error


def _spelt_out(arguments: Sequence[str], schema: type[BaseModel]) -> list[str]:
    """The command line with `--strict`, alone or with a value, as `--data.strict` where a data set is read."""
    names = set(option_names(schema))
    option = next((f"--{name}" for name in ("strict", "data.strict") if name in names), "--strict")
    words = []
    for word, following in itertools.pairwise([*arguments, "--"]):
        if word == "--strict":
            words += [option, "true"] if following.startswith("--") else [option]
        else:
            words.append(option + word.removeprefix("--strict") if word.startswith("--strict=") else word)
    return words


def check(schema: type[BaseModel], values: Mapping[str, Any], where: str) -> Any:
    """`schema` from plain values. Raises `ConfigError` naming `where` they came from."""
    try:
        return schema(**values)
    except ValidationError as error:
        raise explain(error, schema, where) from error


def explain(error: ValidationError, schema: type[BaseModel], where: str = "") -> ConfigError:
    """The first complaint of pydantic as one line of ours."""
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    given = f"{where + ': ' if where else ''}{'.'.join(path)}"
    if first["type"] == "extra_forbidden":
        siblings = _fields_at(schema, path[:-1])
        return ConfigError(given, rule="no such setting", fix=valid_names(path[-1], siblings))
    if first["type"] != "missing":
        given += f" = {first['input']!r}"
    return ConfigError(given, rule=first["msg"].removeprefix("Value error, "), fix="Correct the value")


def option_names(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all leaves that can be set."""
    for name, info in schema.model_fields.items():
        inner = _schemas_in(info.annotation)
        if not inner:
            yield f"{prefix}{info.alias or name}"
        for nested in inner:
            yield from option_names(nested, f"{prefix}{info.alias or name}.")


def _schemas_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return (
        []
        if getattr(annotation, "__origin__", None) is dict
        else [s for a in get_args(annotation) for s in _schemas_in(a)]
    )


def _fields_at(schema: type[BaseModel], path: Sequence[str]) -> set[str]:
    schemas = [schema]
    for part in path:
        schemas = [
            s
            for schema in schemas
            if part in schema.model_fields
            for s in _schemas_in(schema.model_fields[part].annotation)
        ] or schemas
    return {info.alias or name for schema in schemas for name, info in schema.model_fields.items()}


# -- YAML --------------------------------------------------------------------------------------------------


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. Raises `ConfigError` on a missing or malformed file."""
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(str(path), rule=f"cannot be read ({error.strerror})", fix="Give an existing file") from error
    except yaml.YAMLError as error:
        raise ConfigError(str(path), rule=f"is not YAML ({error})", fix="Mend the file") from error
    if not isinstance(values, dict):
        raise ConfigError(str(path), rule="a configuration is a mapping of names to values", fix="Mend the file")
    return values


def names_in(folder: str) -> list[str]:
    """Names of the YAML files in conf/`folder`."""
    return sorted(path.stem for path in (root() / "conf" / folder).glob("*.yaml"))


def named_yaml(folder: str, name: str) -> dict[str, Any]:
    """conf/`folder`/`name`.yaml with its name. Raises `ConfigError` listing the valid names."""
    if name not in names_in(folder):
        raise ConfigError(
            f"{folder} '{name}'", rule=f"conf/{folder} has no such file", fix=valid_names(name, names_in(folder))
        )
    return {"name": name, **read_yaml(root() / "conf" / folder / f"{name}.yaml")}


def model_config_of(name: str) -> ModelConfig:
    """conf/model/`name`.yaml. Raises `ConfigError` listing the valid names."""
    return check(ModelConfig, named_yaml("model", name), f"conf/model/{name}.yaml")
