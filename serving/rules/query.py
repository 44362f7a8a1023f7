"""The syntax of filters: `category=Drama`, `price<=20 and tags=a|b`, `region!="New York"`.

    filter     = condition { "and" condition }
    condition  = attribute operator value { "|" value }
    operator   = "=" | "!=" | "<" | "<=" | ">" | ">="
    value      = text in double quotes (\\" and \\\\ inside), or any text without | and the word and;
                 @profile.NAME and @context.NAME: what is known of the user and of the request

Several values are alternatives. What a condition means depends on the kind of the attribute (`serving.rules.columns`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, get_args

from recstage.errors import InputError

Operator = Literal["=", "!=", "<", "<=", ">", ">="]
OPERATORS: tuple[Operator, ...] = get_args(Operator)
MAX_LENGTH, MAX_CONDITIONS, MAX_VALUES = 500, 20, 50
EXAMPLE = "Write attribute, operator (= != < <= > >=), value, such as category=Drama or price<=20 and tags=a|b"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_CONDITION = re.compile(rf'\s*(?P<attribute>{_QUOTED}|[^\s=!<>"|]+)\s*(?P<operator>!=|<=|>=|=|<|>)\s*')
_VALUE = re.compile(rf'(?P<quoted>{_QUOTED})|(?P<bare>(?:(?!\s+and\s)[^|"])+)', re.IGNORECASE)
_OR, _AND = re.compile(r"\s*\|\s*"), re.compile(r"\s+and\s+", re.IGNORECASE)


class InvalidFilter(InputError):
    """A filter that cannot be read, or that does not fit the attributes of the catalogue."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: the attribute has any of the values, none of them (`!=`), or compares to the only one."""

    attribute: str
    operator: Operator
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{_written(self.attribute)}{self.operator}{'|'.join(map(_written, self.values))}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that must all hold."""

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions))


Known = Mapping[str, str | float]
"""What is known of the user (`profile.NAME`) and of the request (`context.NAME`)."""
NOTHING_KNOWN: Known = MappingProxyType({})
_REFERENCE = re.compile(r"@((?:profile|context)\.[^\s|]+)")


def references(filters: Iterable[Filter]) -> frozenset[str]:
    """What of the user or the request the filters name: `profile.NAME` and `context.NAME`."""
    values = (value for one in filters for condition in one.conditions for value in condition.values)
    return frozenset(found[1] for value in values if (found := _REFERENCE.fullmatch(value)) is not None)


def bound(filters: Sequence[Filter], known: Known) -> tuple[Filter, ...]:
    """The filters with what is `known` in place of `@profile.NAME` and `@context.NAME`.

    A condition that names something unknown says nothing, and is left out.
    """
    made = (Filter(tuple(_bound(one.conditions, known))) for one in filters)
    return tuple(one for one in made if one.conditions)


def _bound(conditions: Iterable[Condition], known: Known) -> Iterator[Condition]:
    for one in conditions:
        found = [_REFERENCE.fullmatch(value) for value in one.values]
        if any(match is not None and match[1] not in known for match in found):
            continue
        values = (
            value if match is None else _text(known[match[1]]) for value, match in zip(one.values, found, strict=True)
        )
        yield replace(one, values=tuple(values))


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


@lru_cache(maxsize=1024)
def parse(text: str) -> Filter:
    """The filter that a text describes; equal texts give the same object. Raises `InvalidFilter`."""
    if len(text) > MAX_LENGTH:
        raise InvalidFilter(
            f"a filter of {len(text)} characters", rule=f"it has at most {MAX_LENGTH}", fix="Give several filters"
        )
    conditions = tuple(_conditions(text))
    if len(conditions) > MAX_CONDITIONS:
        raise _wrong(text, f"it has at most {MAX_CONDITIONS} conditions")
    return Filter(conditions)


def _conditions(text: str) -> Iterator[Condition]:
    at = 0
    while True:
        found = _CONDITION.match(text, at)
        if found is None:
            raise _wrong(text, f"there is no condition at character {at + 1}")
        attribute, operator = _unquoted(found["attribute"]), found["operator"]
        values, at = _values(text, found.end())
        if operator not in ("=", "!=") and len(values) > 1:
            raise _wrong(text, f"{operator} compares with one value, not with {len(values)}")
        yield Condition(attribute, operator, values)  # type: ignore[arg-type]
        if at == len(text):
            return


def _values(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """The values from a place on, and where the next condition begins."""
    values: list[str] = []
    while True:
        found = _VALUE.match(text, at)
        value = "" if found is None else _unquoted(found[0])
        if found is None or not value:
            raise _wrong(text, f"there is no value at character {at + 1}")
        values.append(value)
        if len(values) > MAX_VALUES:
            raise _wrong(text, f"a condition has at most {MAX_VALUES} values")
        at = found.end()
        if not text[at:].strip():
            return tuple(values), len(text)
        joined = _AND.match(text, at)
        if joined is not None and joined.end() == len(text):
            raise _wrong(text, f"there is no condition at character {len(text) + 1}")
        if joined is not None:
            return tuple(values), joined.end()
        another = _OR.match(text, at)
        if another is None:
            raise _wrong(text, f"'|' or 'and' must follow the value that ends at character {at}")
        at = another.end()


def _unquoted(text: str) -> str:
    text = text.strip()
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[:1] == '"' and len(text) > 1 else text


def _written(text: str) -> str:
    if re.fullmatch(r"[\w.:/+-]+", text) and text.lower() != "and":
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _wrong(text: str, rule: str) -> InvalidFilter:
    return InvalidFilter(f"filter '{text[:100]}'", rule=rule, fix=EXAMPLE)
