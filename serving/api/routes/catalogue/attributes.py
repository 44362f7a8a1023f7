"""Attributes of posted items: their names and values, and that each attribute has one kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from recstage.data.catalogue import COLUMNS
from recstage.errors import InputError
from serving.api.fields import MAX_INTEGER, MAX_TEXT_LENGTH, without_nul
from serving.rules.attributes import ALIASES, BUILT_IN
from serving.rules.columns import Kind, kind_of
from serving.service import Service
from serving.store.store import Store

MAX_ATTRIBUTES, MAX_PARTS = 50, 100
TAKEN = frozenset({*COLUMNS, *BUILT_IN, *ALIASES, "hidden", "expires_at"})


def _free(name: str) -> str:
    if name in TAKEN:
        raise ValueError(f"'{name}' is a field of its own; give the attribute another name")
    return name


def _is_value(value: Any) -> Any:
    match value:
        case str():
            if len(value) > MAX_TEXT_LENGTH:
                raise ValueError(f"A text has at most {MAX_TEXT_LENGTH} characters")
            return without_nul(value)
        case bool():
            return value
        case int() | float():
            if not abs(value) <= MAX_INTEGER:  # nor NaN, nor infinite
                raise ValueError("A number is finite and at most 2^53")
            return float(value)
        case list() | tuple():
            if len(value) > MAX_PARTS or not all(isinstance(part, str) for part in value):
                raise ValueError(f"A list holds texts, at most {MAX_PARTS}")
            return tuple(_is_value(part) for part in value)
    raise ValueError("An attribute is a number, true, false, a text or a list of texts")


AttributeName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$"), AfterValidator(_free)]
AttributeValue = Annotated[
    Any,
    BeforeValidator(_is_value),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": MAX_TEXT_LENGTH},
                {"type": "number", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
                {"type": "boolean"},
                {"type": "array", "items": {"type": "string", "maxLength": MAX_TEXT_LENGTH}, "maxItems": MAX_PARTS},
            ]
        }
    ),
]


class OtherKind(InputError):
    """An attribute that is of one kind here, and of another elsewhere."""


def check_attributes(described: Iterable[tuple[str, Mapping[str, Any]]], service: Service, store: Store) -> None:
    """Raise `OtherKind` where an attribute is not of the kind that it has elsewhere.

    `described`: ids of items, with their attributes. Elsewhere: in the served version, in the service's own catalogue,
    and in the items before it.
    """
    ruleset = store.rules.rules()
    served = service.versions.served or service.fallback.served
    kinds: dict[str, Kind] = dict(
        ruleset.posted.kinds if served is None else service.rule_engine.attributes(served, ruleset).kinds
    )
    for item_id, attributes in described:
        for name, value in attributes.items():
            kind = kind_of(value)
            if kinds.setdefault(name, kind) != kind:
                raise OtherKind(
                    f"attribute '{name}' of item '{item_id[:80]}'",
                    rule=f"it is a {kind}, and elsewhere '{name}' is a {kinds[name]}",
                    fix=f"Give a {kinds[name]}, or name the attribute otherwise",
                )
