"""Every setting of the service: `conf/serving.yaml` < RECSTAGE_SERVING_... < the command line.

`docs/service.md` documents each; a test fails where one is missing.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from recstage import config, renamed
from recstage.config.naming import ModelName
from recstage.errors import ConfigError, valid_names
from serving.secret_strength import is_digest_of_nothing, weakness_of

PREFIX = "RECSTAGE_SERVING_"
Role = Literal["client", "service", "admin"]
OLD_VARIABLES = {f"{PREFIX}{old}".lower(): f"{PREFIX}{new}".lower() for old, new in renamed.SETTINGS.items()}
SECRETS = frozenset({"api_keys", "jwt_secret", "webhook_secret", "redis_url"})


class ApiKey(config.Schema):
    """One API key: who holds it, their role, and the key itself or its SHA-256 in hexadecimal."""

    name: str = Field(min_length=1, description="shown in metrics and logs in place of the key")
    role: Role = "client"
    key: SecretStr | None = Field(None, min_length=16)
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _one_of_both(self) -> ApiKey:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("an API key has a key or its sha256")
        return self

    @field_validator("key")
    @classmethod
    def _strong(cls, key: SecretStr | None) -> SecretStr | None:
        return _strong_secret(key)

    @field_validator("sha256")
    @classmethod
    def _of_a_key(cls, digest: str | None) -> str | None:
        if digest is not None and is_digest_of_nothing(digest):
            raise ValueError("this is the digest of an empty text or a common word, not of a key")
        return digest

    @property
    def digest(self) -> str:
        """SHA-256 of the key in hexadecimal."""
        return self.sha256 or hashlib.sha256(self.key.get_secret_value().encode()).hexdigest()  # type: ignore[union-attr]


class ServingSettings(config.Settings):
    """Settings of the service; immutable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(cls, *arguments: Any, **sources: Any) -> tuple[PydanticBaseSettingsSource, ...]:
        found = super().settings_customise_sources(*arguments, **sources)
        for source in found:
            if isinstance(source, EnvSettingsSource):
                source.env_vars = renamed.new_names(source.env_vars, OLD_VARIABLES, written=str.upper)
        return found

    # -- listening
    host: str = Field("127.0.0.1", description="address to bind; other than loopback only with a key or token set")
    port: int = Field(8000, ge=0, le=65535, description="0: any free one, printed at the start")
    workers: int = Field(1, ge=1, le=64, description="processes that serve requests")
    threads: int = Field(2, ge=1, le=64, description="threads a worker uses for models slower than slow_model_ms")

    # -- models
    model_name: ModelName = Field("recommender", description="registered model whose Production version is served")
    reverse_model_name: ModelName = Field("recommender-reverse", description="registered model for item -> users")
    classifier_name: ModelName = Field("item-classifier", description="registered model that classifies new items")
    classify_items: bool = Field(True, description="false: items without categories get none")
    label_below: float = Field(
        0.5, ge=0, le=1, description="items whose predicted categories are less sure wait for a person's label"
    )
    bundle_dir: Path = Field(Path("data/serving"), description="private folder of downloaded bundles")
    follow_registry: bool = Field(True, description="false: serve what is in the folder and never poll the registry")
    poll_seconds: float = Field(1.0, gt=0, le=60, description="pause between two polls of the registry")
    start_wait_seconds: float = Field(
        10.0,
        ge=0,
        le=60,
        description="longest wait at the start for the first version, while there is nothing to serve",
    )
    retry_seconds: float = Field(60.0, gt=0, description="longest pause between two attempts to load a broken version")
    model_timeout_seconds: float = Field(
        5.0, gt=0, le=60, description="longest time that a model in a thread may take for an answer; then popularity"
    )
    slow_model_ms: float = Field(3.0, gt=0, description="models slower than this (median) run in threads")

    precomputed: Literal["slow", "always", "never"] = Field(
        "slow", description="use precomputed lists: for slow models, whenever there is one, or never"
    )

    # -- database
    database_url: str = Field(  # may hold a password
        "sqlite:///data/service.db", repr=False, description="SQLAlchemy URL; empty: no database"
    )
    read_database_url: str = Field(  # may hold a password
        "", repr=False, description="a read replica of it, for reads that may be seconds old; empty: none"
    )
    read_max_lag_seconds: float = Field(
        10.0, gt=0, le=600, description="a replica that is further behind is not read, but the primary in its place"
    )
    history_limit: int = Field(500, ge=1, le=100_000, description="newest items of a live history that are used")
    fallback_refresh_seconds: float = Field(30.0, gt=0, description="pause between two fits of the fallback models")

    activity_refresh_seconds: float = Field(
        2.0, gt=0, description="pause between two reads of what is popular; longer where reading takes long"
    )

    new_item_share: float = Field(
        0.1, ge=0, le=1, description="of each list, for items that the served version was not trained with"
    )

    diversity: float = Field(
        1.0, ge=0, le=1, description="lambda of lists whose request names none: 1 the model's order, 0 most varied"
    )

    # -- streams
    max_streams: int = Field(100, ge=0, le=10_000, description="streams of lists open in a worker; more get 503")
    stream_seconds: float = Field(600.0, gt=0, description="longest life of a stream; its caller connects again")
    stream_poll_seconds: float = Field(0.5, gt=0, le=60, description="pause between two looks for a user's new events")
    stream_keep_alive_seconds: float = Field(15.0, gt=0, description="silence after which a stream sends a comment")

    # -- cache
    cache_size: int = Field(10_000, ge=0, description="lists kept in each process; 0: no cache")
    cache_seconds: float = Field(60.0, gt=0, description="longest age of a cached list")
    redis_url: SecretStr | None = Field(None, description="shared cache and rate limits, redis://...; none: in process")

    # -- users for an item
    audience_cache_size: int = Field(1000, ge=0, description="lists of users for an item kept in each process; 0: none")
    audience_cache_seconds: float = Field(3600.0, gt=0, description="longest age of a cached list of users")
    audience_min_likes: int = Field(
        5, ge=0, description="users for an item that fewer users liked are found by its content"
    )

    # -- experiments
    experiments: bool = Field(True, description="false: the version in Staging is neither loaded nor shown")
    exploration: float = Field(0.0, ge=0, le=1, description="share of a list's slots drawn from a softmax; 0: none")
    shadow_queue: int = Field(100, ge=1, le=10_000, description="lists that wait for shadow scoring; more are dropped")
    bandit_seconds: float = Field(10.0, gt=0, description="pause between two readings of the bandit's rewards")

    # -- authentication and limits
    api_keys: tuple[ApiKey, ...] = Field((), description="JSON list of {name, role, key or sha256}")
    jwt_secret: SecretStr | None = Field(None, min_length=32, description="HS256 secret for bearer tokens")
    jwt_public_key: Path | None = Field(None, description="PEM file with the RS256 public key for bearer tokens")
    jwt_audience: str | None = Field(None, description="the aud a token must carry; none: not checked")
    jwt_issuer: str | None = Field(None, description="the iss a token must carry; none: not checked")
    rate_limit: float = Field(
        0.0, ge=0, description="requests a second for each key (and worker, without Redis); 0: no limit"
    )
    rate_burst: int = Field(200, ge=1, description="requests that may come at once before rate_limit applies")
    auth_failures_per_minute: float = Field(
        60.0, ge=0, description="wrong keys, tokens and signatures taken from one address in a minute; 0: no limit"
    )
    max_concurrency: int = Field(256, ge=1, description="requests under way in a worker; more get 503")
    max_lag_ms: float = Field(1000.0, gt=0, description="delay of the event loop from which new requests get 503")
    queue_lag_ms: float = Field(50.0, gt=0, description="the same, once the event loop has not caught up for 250 ms")
    max_header_bytes: int = Field(32_768, ge=1024, description="request line and headers of a request together")
    max_headers: int = Field(100, ge=10, description="most headers of a request")
    header_timeout_seconds: float = Field(10.0, gt=0, description="longest time that headers may take to arrive")
    max_body_bytes: int = Field(1_000_000, ge=1024, description="largest request body")
    body_timeout_seconds: float = Field(10.0, gt=0, description="longest time that a request body may take to arrive")
    keep_alive_seconds: int = Field(
        75, ge=1, description="how long an idle connection is kept; longer than a proxy in front keeps its own"
    )
    max_depth: int = Field(16, ge=2, description="deepest nesting of a JSON body")
    max_limit: int = Field(200, ge=1, le=1000, description="longest list of one request")
    max_batch: int = Field(1000, ge=1, le=100_000, description="most entries of a list in a request")
    max_rules: int = Field(200, ge=1, le=10_000, description="most business rules")
    max_users: int = Field(200, ge=1, le=10_000, description="most users of one request for many lists")
    webhook_secret: SecretStr | None = Field(None, min_length=16, description="secret of the MLflow webhook; none: off")
    cors_origins: tuple[str, ...] = Field((), description="JSON list of origins that browsers may call from")

    # -- monitoring
    quality_seconds: float = Field(
        30.0, ge=0, description="pause between two reads of live quality (outcomes, sessions); 0: never"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_requests: bool = Field(False, description="log each request, not only slow and failed ones")
    slow_request_ms: float = Field(100.0, gt=0, description="recommendations slower than this are counted and logged")
    slow_query_ms: float = Field(50.0, gt=0, description="database queries slower than this are counted and logged")

    @field_validator("jwt_public_key")
    @classmethod
    def _readable(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError("there is no such file")
        return path

    @field_validator("api_keys")
    @classmethod
    def _distinct(cls, keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        if len({key.name for key in keys}) != len(keys):
            raise ValueError("API keys have distinct names")
        names: dict[str, str] = {}
        for key in keys:
            if key.digest in names:
                raise ValueError(f"'{names[key.digest]}' and '{key.name}' are the same key; give each holder their own")
            names[key.digest] = key.name
        return keys

    @field_validator("jwt_secret", "webhook_secret")
    @classmethod
    def _strong(cls, secret: SecretStr | None) -> SecretStr | None:
        return _strong_secret(secret)

    @property
    def guarded(self) -> bool:
        """Whether callers need a key or token."""
        return bool(self.api_keys) or self.jwt_secret is not None or self.jwt_public_key is not None

    @property
    def bundle_root(self) -> Path:
        """The folder of bundles, absolute."""
        return config.root() / self.bundle_dir

    def check_binding(self) -> None:
        """Raise `ConfigError` where the service would be open to other machines without a key."""
        if not self.guarded and not _loopback(self.host):
            raise ConfigError(
                f"host {self.host} without a key",
                rule="an unguarded service binds to loopback only",
                fix=f"Set {PREFIX}API_KEYS or {PREFIX}JWT_SECRET, or bind to 127.0.0.1",
            )


def load(arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> ServingSettings:
    """Settings from `conf/serving.yaml` (where there is one), the environment and the command line.

    Raises `ConfigError`, also on a misspelt RECSTAGE_SERVING_ variable. Old names of settings are taken with a warning.
    """
    known = {f"{PREFIX}{name}".upper() for name in ServingSettings.model_fields}
    taken = known | {name.upper() for name in OLD_VARIABLES}
    for name in os.environ if environment is None else environment:
        if name.upper().startswith(PREFIX) and name.upper().split("__")[0] not in taken:
            raise ConfigError(name, rule="no such setting", fix=valid_names(name, known))
    path = config.root() / "conf" / "serving.yaml"
    defaults: dict[str, Any] = config.read_yaml(path) if path.is_file() else {}
    defaults = renamed.new_names(defaults, renamed.SETTINGS, where="conf/serving.yaml: ")
    arguments = renamed.new_options(arguments, renamed.SETTINGS)
    try:
        return config.resolve(ServingSettings, defaults, arguments, program="python -m serving")
    except ConfigError as error:
        raise _without_secret(error) from None


def load_evaluation() -> config.EvaluationConfig:
    """`conf/evaluation.yaml`: from how many interactions on users are warm or hot. Raises `ConfigError`."""
    path = config.root() / "conf" / "evaluation.yaml"
    values = config.read_yaml(path) if path.is_file() else {}
    found: config.EvaluationConfig = config.check(config.EvaluationConfig, values, "conf/evaluation.yaml")
    return found


def _without_secret(error: ConfigError) -> ConfigError:
    """The error without the value, where it is one of a secret."""
    name, equals, _ = error.given.partition(" = ")
    if not equals or name.split(".")[0] not in SECRETS:
        return error
    return ConfigError(name, rule=error.rule, fix=error.fix)


def _strong_secret(secret: SecretStr | None) -> SecretStr | None:
    weakness = None if secret is None else weakness_of(secret.get_secret_value())
    if weakness is not None:
        raise ValueError(
            f"the secret {weakness}; python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"
        )
    return secret


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
