"""The OpenAPI document as the writers need it: schemas in an order, and operations with their names and parameters."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.app import create_app
from serving.settings import ServingSettings

Schema = Mapping[str, Any]
JSON = "application/json"
FEW = 12
LEFT_OUT = frozenset({("post", "/api/model/webhook"), ("get", "/metrics")})
"""Operations that are called by MLflow and by Prometheus."""
UNSAFE_TWICE = frozenset({("post", "/api/rules"), ("post", "/api/rules/versions/{version}/revert")})
"""Operations that must not be sent again where it is not known whether the first came through, besides deletions."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a path, a query or a header: its name in HTTP, and in code."""

    name: str
    place: str
    schema: Schema
    required: bool
    description: str

    @property
    def argument(self) -> str:
        """Its name in Python."""
        return python_name(re.sub(r"\W", "_", self.name).lower())


@dataclass(frozen=True)
class Operation:
    """One operation; `body` and `answer` are schemas (None: there is none)."""

    name: str
    method: str
    path: str
    description: str
    parameters: tuple[Parameter, ...]
    body: Schema | None
    answer: Schema | None

    @property
    def keyed(self) -> bool:
        """Whether it takes an idempotency key: then it may be sent again."""
        return any(one.name == "Idempotency-Key" for one in self.parameters)

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again where no answer came."""
        place = (self.method, self.path)
        return self.method != "delete" and place not in UNSAFE_TWICE


def openapi() -> dict[str, Any]:
    """The document of a service with default settings."""
    return create_app(ServingSettings(database_url="", follow_registry=False)).openapi()


def schemas_of(document: Mapping[str, Any]) -> dict[str, Schema]:
    """The schemas by their names in code, in the order of names."""
    doubled = [name for name in document["components"]["schemas"] if "__" in name]
    assert not doubled, f"two bodies have one name, rename one: {doubled}"
    return {type_name(name): schema for name, schema in sorted(document["components"]["schemas"].items())}


def type_name(name: str) -> str:
    """The name of a schema in code."""
    return re.sub(r"\W", "", name)


def python_name(name: str) -> str:
    """A name that Python takes: `lambda` is a keyword there."""
    return f"{name}_" if keyword.iskeyword(name) else name


def few_values(schema: Schema) -> bool:
    """Whether the values are few and fixed. The names of strategies are many, and change with every new model."""
    return "enum" in schema and len(schema["enum"]) <= FEW


def referred(schema: Schema) -> str | None:
    """The name in code of the schema that is referred to; None where this is no reference."""
    reference = schema.get("$ref")
    return None if reference is None else type_name(reference.rsplit("/", 1)[1])


def operations_of(document: Mapping[str, Any]) -> list[Operation]:
    """All operations that a client calls, by their names."""
    found = []
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            if (method, path) in LEFT_OUT:
                continue
            status = min(described["responses"])
            answer = described["responses"][status].get("content", {}).get(JSON, {}).get("schema")
            body = described.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema")
            parameters = tuple(_parameter(one) for one in described.get("parameters", ()))
            name = described["operationId"].removesuffix(re.sub(r"\W", "_", f"{path}_{method}"))
            text = " ".join(described["description"].split("\n\n")[0].split())
            found.append(Operation(name, method, path, text, parameters, body, answer))
    names = [one.name for one in found]
    assert len(set(names)) == len(names), f"two operations have one name: {sorted(names)}"
    return sorted(found, key=lambda one: one.name)


def _parameter(described: Mapping[str, Any]) -> Parameter:
    schema = described["schema"]
    return Parameter(
        described["name"],
        described["in"],
        schema,
        bool(described.get("required")),
        " ".join(described.get("description", schema.get("description", "")).split()),
    )
