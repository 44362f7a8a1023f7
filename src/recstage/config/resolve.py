"""How one configuration is resolved: YAML < environment < command line, with one clear line for a mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, CliSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from recstage.errors import ConfigError, nearest, valid_names

FEW = 20
"""Settings that an error lists where one was misspelt."""
OF_DATA = ("strict", "memory")
"""Settings of a data set that are known by their own name, too: --strict is --data.strict."""
UNION_MEMBERS = {"float", "ValueWeight"}
"""Of a weight: pydantic names which one did not fit, a user knows neither."""

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
    known = set(option_names(schema))
    shortcuts = {f"data.{name}": name for name in OF_DATA if f"data.{name}" in known}

    class WithCommandLine(schema):  # type: ignore[valid-type, misc]
        @classmethod
        def settings_customise_sources(cls, settings_cls: type[BaseSettings], **sources: Any) -> tuple:
            rest = super().settings_customise_sources(settings_cls, **sources)
            command_line: CliSettingsSource = CliSettingsSource(
                settings_cls,
                cli_parse_args=_with_maps(_with_values(arguments), dict(_maps(schema))),
                cli_shortcuts=shortcuts,
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
        raise ConfigError(f"--{name}", rule="no such setting", fix=_nearest(name, schema)) from error
    except ValidationError as error:
        raise explain(error, schema) from error


def _nearest(name: str, schema: type[BaseModel]) -> str:
    """The setting that may have been meant; all of them where there are few, or none is near."""
    names = list(option_names(schema))
    near = nearest(name, names)
    if not near or len(names) <= FEW:
        return valid_names(name, names)
    return f"Did you mean '{near[0]}'? --help lists all {len(names)}"


def _with_values(arguments: Sequence[str]) -> list[str]:
    """The command line with `--strict true` where `--strict` stands alone: `CliImplicitFlag` would refuse the explicit
    value that MLproject passes."""
    following = [*arguments[1:], "--"]
    return [
        f"{word}=true" if word == "--strict" and after.startswith("--") else word
        for word, after in zip(arguments, following, strict=False)
    ]


def _with_maps(words: Sequence[str], maps: Mapping[str, Any]) -> list[str]:
    """Options that name a field of one of `maps` gathered as one JSON object a map: values are YAML, unless the map
    holds text."""
    rest: list[str] = []
    found: dict[str, dict[str, Any]] = {}
    left = iter(words)
    for word in left:
        name, equals, value = word.removeprefix("--").partition("=")
        of = next((one for one in maps if word.startswith("--") and name.startswith(f"{one}.")), None)
        if of is None:
            rest.append(word)
            continue
        text = value if equals else next(left, "")
        place = found.setdefault(of, {})
        *path, key = name.removeprefix(f"{of}.").split(".")
        for step in path:
            place = place.setdefault(step, {})
        place[key] = text if maps[of] is str else yaml.safe_load(text)
    return [*rest, *(word for name, values in found.items() for word in (f"--{name}", json.dumps(values)))]


def _maps(schema: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of all maps, with the type of their values."""
    for name, info in schema.model_fields.items():
        dotted = f"{prefix}{info.alias or name}"
        if getattr(info.annotation, "__origin__", None) is dict:
            yield dotted, get_args(info.annotation)[1]
        for nested in _schemas_in(info.annotation):
            yield from _maps(nested, f"{dotted}.")


def check(schema: type[BaseModel], values: Mapping[str, Any], where: str) -> Any:
    """`schema` from plain values. Raises `ConfigError` naming `where` they came from."""
    try:
        return schema(**values)
    except ValidationError as error:
        raise explain(error, schema, where) from error


def explain(error: ValidationError, schema: type[BaseModel], where: str = "") -> ConfigError:
    """The first complaint of pydantic as one line of ours."""
    errors = error.errors(include_url=False)
    same = [
        one for one in errors if one["loc"][:-1] == errors[0]["loc"][:-1] or one["loc"][:-2] == errors[0]["loc"][:-1]
    ]
    first = max(same, key=lambda one: len(one["loc"]))  # of a union, what was meant is where it went deepest
    path = [str(part) for part in first["loc"] if part not in UNION_MEMBERS]
    given = f"{where + ': ' if where else ''}{'.'.join(path)}"
    if first["type"] == "extra_forbidden":
        siblings = _fields_at(schema, path[:-1])
        return ConfigError(given, rule="no such setting", fix=valid_names(path[-1], siblings))
    if first["type"] != "missing":
        given += f" = {first['input']!r}"
    return ConfigError(given, rule=first["msg"].removeprefix("Value error, "), fix="Correct the value")


def option_names(schema: type[BaseModel]) -> Iterator[str]:
    """Dotted names of all leaves that can be set, each once; of a map, NAME stands for its fields."""
    yield from dict.fromkeys(name for name, _ in options_of(schema))


def options_of(schema: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The same with what is said of each; a name may come again from another kind of source."""
    for name, info in schema.model_fields.items():
        dotted, inner = f"{prefix}{info.alias or name}", _schemas_in(info.annotation)
        if not inner or float in get_args(info.annotation):
            yield dotted, info
        if getattr(info.annotation, "__origin__", None) is dict:
            yield f"{dotted}.NAME", info
        for nested in inner:
            yield from options_of(nested, f"{dotted}.")


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
