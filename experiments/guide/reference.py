"""The reference of the guide, from the code: settings, configuration, entry points, commands, API, metrics, Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import typer
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import recstage
from experiments.api_types.document import openapi
from recstage.client import AsyncClient, Client
from recstage.commands.app import app
from recstage.config import model_config_of, names_in, root, steps
from recstage.config.classifier import ClassifierSettings
from recstage.config.resolve import options_of
from recstage.config.retraining import RetrainingConfig
from recstage.config.schemas import DataConfig, EvaluationConfig, ModelConfig, PromotionConfig
from recstage.markdown import table
from recstage.models import class_of, params_class
from serving.monitoring.metrics import Metrics
from serving.settings import PREFIX, ServingSettings

FILES: dict[str, type[BaseModel]] = {
    "Data sets: `conf/data/NAME.yaml`": DataConfig,
    "Models: `conf/model/NAME.yaml`": ModelConfig,
    "Evaluation: `conf/evaluation.yaml`": EvaluationConfig,
    "The gate, experiments, the watcher: `conf/promotion.yaml`": PromotionConfig,
    "Retraining: `conf/retraining.yaml`": RetrainingConfig,
    "The classifier: `conf/classifier.yaml`": ClassifierSettings,
}
"""Each YAML of conf/ with its schema."""
PUBLIC = {
    "recstage.FittedModel": recstage.FittedModel,
    "recstage.Lists": recstage.Lists,
    "recstage.client.Client": Client,
    "recstage.client.AsyncClient": AsyncClient,
}
WIDTH = 100


def pages() -> dict[str, str]:
    """Each page by its path in the guide."""
    return {name: write() for name, write in PAGES.items()}


# -- settings and schemas ----------------------------------------------------------------------------------------------


def _settings() -> str:
    rows = [
        (f"`{name}`", _default(info), f"`{PREFIX}{name.upper()}`", _one_line(info.description))
        for name, info in ServingSettings.model_fields.items()
    ]
    intro = (
        "# Settings of the service\n\nOf `conf/serving.yaml` where there is one, then of the environment, then of the "
        "command line (`python -m serving --port 9000`). What they do together: [the service](../service.md).\n\n"
    )
    return intro + table(("setting", "default", "environment", "what"), rows)


def _configuration() -> str:
    parts = [
        "# Configuration\n\nEvery field of every YAML file of `conf/`. In a step each is an option by its name "
        "(`--promotion.alpha 0.01`, `-P promotion.alpha=0.01` with `mlflow run`), and a variable "
        "(`RECSTAGE_PROMOTION__ALPHA=0.01`).\n"
    ]
    parts += [f"\n## {title}\n\n{_documented(schema)}\n{_fields(schema)}" for title, schema in FILES.items()]
    return "".join(parts)


def _steps() -> str:
    found = [
        one
        for _, one in inspect.getmembers(steps, inspect.isclass)
        if issubclass(one, BaseModel) and one.__module__ == steps.__name__
    ]
    parts = [
        "# Settings of the steps\n\nWhat each entry point and subcommand takes beside the "
        "[configuration](configuration.md): options on the command line, `-P` with `mlflow run`, "
        "`RECSTAGE_` variables.\n"
    ]
    for schema in sorted(found, key=lambda one: one.__name__):
        own = {name: info for name, info in schema.model_fields.items() if not _is_schema(info.annotation)}
        if own:
            title = schema.__name__.removesuffix("Settings")
            parts.append(f"\n## {title}\n\n{_documented(schema)}\n{_rows((i.alias or n, i) for n, i in own.items())}")
    return "".join(parts)


def _models() -> str:
    parts = [
        "# Parameters of the models\n\nWith their defaults in code; "
        "`conf/model/NAME.yaml` sets those that were tuned.\n"
    ]
    for name in names_in("model"):
        config = model_config_of(name)
        tuned = {key: f"`{value}`" for key, value in config.params.items()}
        rows = [
            (f"`{key}`", _default(info), tuned.get(key, ""), _search(config, key), _one_line(info.description))
            for key, info in options_of(params_class(config))
        ]
        head = ("parameter", "default", f"`conf/model/{name}.yaml`", "searched", "what")
        parts.append(
            f"\n## {name}\n\n{_documented(class_of(config.target))}\n{table(head, rows) if rows else 'No parameter.'}"
        )
    return "".join(parts)


def _search(config: ModelConfig, key: str) -> str:
    found = config.search.get(key)
    if found is None:
        return ""
    if found.choices is not None:
        return ", ".join(str(one) for one in found.choices)
    return f"{found.low:g} to {found.high:g}{', log' if found.log else ''}"


def _fields(schema: type[BaseModel]) -> str:
    return _rows(options_of(schema))


def _rows(fields: Iterable[tuple[str, FieldInfo]]) -> str:
    seen: dict[str, tuple[str, str, str]] = {}
    for name, info in fields:
        seen.setdefault(name, (f"`{name}`", _default(info), _one_line(info.description)))
    return table(("field", "default", "what"), seen.values())


def _default(info: FieldInfo) -> str:
    value: Any = info.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value is None or value in ("", (), {}, []):
        return "none"
    return "" if isinstance(value, BaseModel) else f"`{value}`"


def _is_schema(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


# -- entry points and commands -----------------------------------------------------------------------------------------


def _entry_points() -> str:
    found = yaml.safe_load((root() / "MLproject").read_text())["entry_points"]
    rows = [
        (
            f"`{name}`",
            ", ".join(_parameter(key, value) for key, value in entry.get("parameters", {}).items()),
            f"`{entry['command']}`",
        )
        for name, entry in found.items()
    ]
    intro = (
        "# Entry points\n\n`mlflow run . --env-manager local -e NAME -P PARAMETER=VALUE`. Any further "
        "[setting of the step](steps.md) is a `-P`, too.\n\n"
    )
    return intro + table(("entry point", "parameters", "runs"), rows)


def _parameter(name: str, value: Mapping[str, Any]) -> str:
    return f"`{name}`" + (f" (`{value['default']}`)" if value.get("default") not in (None, "") else "")


def _commands() -> str:
    parts = ["# Commands\n\nOf `recstage`; [what they have in common](../cli.md).\n"]
    group: Any = typer.main.get_command(app)
    for name, command in sorted(group.commands.items()):
        rows = [
            (
                ", ".join(f"`{one}`" for one in (*parameter.opts, *parameter.secondary_opts)),
                _one_line(getattr(parameter, "help", "")),
            )
            if parameter.param_type_name == "option"
            else (f"`{parameter.name.upper()}`", _one_line(getattr(parameter, "help", "")))
            for parameter in command.params
            if parameter.name != "help"
        ]
        parts.append(
            f"\n## recstage {name}\n\n{inspect.cleandoc(command.help or '')}\n\n{table(('', ''), rows) if rows else ''}"
        )
    return "".join(parts)


# -- the API -----------------------------------------------------------------------------------------------------------


def _api() -> str:
    document = openapi()
    parts = [
        "# API\n\nEvery route, from the OpenAPI document (`/openapi.json` of a running service; `/docs` to try them). "
        "With examples: [the API](../api.md), [events](../events.md), [rules](../rules.md).\n"
    ]
    tags: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tags.setdefault(operation.get("tags", ["other"])[0], []).append(
                _operation(method, path, operation, document)
            )
    for tag, operations in tags.items():
        parts += [f"\n## {tag.capitalize()}\n", *operations]
    return "".join(parts)


def _operation(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    text = f"\n### {method.upper()} {path}\n\n{operation.get('description', operation['summary'])}\n"
    rows = [
        (
            f"`{one['name']}`",
            one["in"],
            _of_schema(one["schema"]),
            _one_line(one.get("description") or one["schema"].get("description")),
        )
        for one in operation.get("parameters", [])
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        rows += _body_rows(content.get("schema", {}), document)
    answers = ", ".join(
        f"{status} {answer['description']}" for status, answer in sorted(operation["responses"].items())
    )
    return text + ("\n" + table(("name", "in", "values", "what"), rows) if rows else "") + f"\nAnswers: {answers}.\n"


def _body_rows(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    for inner in schema.get("anyOf", schema.get("oneOf", [])):
        yield from _body_rows(inner, document)
    for name, field in schema.get("properties", {}).items():
        required = "" if name in schema.get("required", []) else "optional; "
        yield f"`{name}`", "body", required + _of_schema(field), _one_line(field.get("description"))


def _of_schema(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[1]
    kinds = [_of_schema(one) for one in schema.get("anyOf", schema.get("oneOf", [])) if one.get("type") != "null"]
    if kinds:
        return " or ".join(dict.fromkeys(kinds))
    if schema.get("type") == "array":
        return f"list of {_of_schema(schema.get('items', {}))}"
    said = ", ".join(f"`{one}`" for one in schema.get("enum", [])) or str(schema.get("type", "anything"))
    default = schema.get("default")
    return said if default in (None, "", []) else f"{said}; `{default}`"


# -- metrics and Python ------------------------------------------------------------------------------------------------


def _metrics() -> str:
    rows = []
    for family in sorted(Metrics().registry.collect(), key=lambda one: one.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append((f"`{name}`", family.type, _one_line(family.documentation)))
    return (
        "# Metrics of the service\n\nAt `/metrics`. Labels, and what to do about each: [monitoring](../monitoring.md). "
        "The metrics of models: [read the metrics](../metrics.md).\n\n" + table(("metric", "kind", "what"), rows)
    )


def _python() -> str:
    parts = [
        "# Python\n\n`import recstage` for notebooks ([how](../promote.md#in-a-notebook)), `recstage.client` for "
        "programs that call the service ([how](../client.md)).\n",
        _described("recstage.fit", recstage.fit),
        _described("recstage.load", recstage.load),
    ]
    for name, one in PUBLIC.items():
        parts.append(f"\n## {name}\n\n{_documented(one)}")
        if one is not AsyncClient:  # it answers the same calls
            parts += [_described(method, found, "###") for method, found in _methods(one)]
    return "".join(parts)


def _methods(one: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that we wrote: a frame has hundreds that are of pandas."""
    for name, found in inspect.getmembers(one):
        code = found.fget if isinstance(found, property) else found
        if not name.startswith("_") and inspect.isfunction(code) and code.__module__.startswith("recstage"):
            yield name, found


def _described(name: str, one: Any, heading: str = "##") -> str:
    code = "" if isinstance(one, property) else f"\n```python\n{_call(name.rsplit('.', 1)[-1], one)}\n```\n"
    return f"\n{heading} {name}\n{code}\n{_documented(one)}\n"


def _call(name: str, one: Any) -> str:
    """A call with all parameters, over several lines where one is too short."""
    parameters = [found for found in inspect.signature(one).parameters.values() if found.name != "self"]
    words = [str(found).replace("'", "") for found in parameters]
    first = next((at for at, found in enumerate(parameters) if found.kind is inspect.Parameter.KEYWORD_ONLY), None)
    if first is not None:
        words.insert(first, "*")
    gives = str(inspect.signature(one).return_annotation).replace("'", "")
    line = f"{name}({', '.join(words)}) -> {gives}"
    return line if len(line) <= WIDTH else f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f") -> {gives}"


def _documented(one: Any) -> str:
    return inspect.cleandoc(inspect.getdoc(one) or "") + "\n"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


PAGES: dict[str, Callable[[], str]] = {
    "reference/settings.md": _settings,
    "reference/configuration.md": _configuration,
    "reference/steps.md": _steps,
    "reference/model-parameters.md": _models,
    "reference/entry-points.md": _entry_points,
    "reference/commands.md": _commands,
    "reference/api.md": _api,
    "reference/metrics.md": _metrics,
    "reference/python.md": _python,
}
"""What writes each page, by its path in the guide."""
