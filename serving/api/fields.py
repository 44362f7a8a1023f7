"""Types of request fields: ids, names, times, numbers and context; each is refused with one sentence that says why."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from starlette.convertors import StringConvertor, register_url_convertor

from serving.errors import CONTROL_CHARACTERS, NO_CONTROL_CHARACTERS, Problem
from serving.interfaces import ID_LENGTH, told
from serving.models.user import Given

BELOW_AN_ID = ("history", "profile", "erasure", "stats", "patterns", "recommended-users", "similar")
"""What may follow an id in a path."""
MAX_BATCH_ENTRIES = 100_000
MAX_BODY_FIELDS = 50
MAX_QUERY_PARAMETERS = 2000
NAME_LENGTH = 64
MIN_STARS, MAX_STARS = 0.5, 5.0
MAX_CLOCK_SKEW = timedelta(minutes=5)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
MAX_CONTEXT_KEYS, MAX_KEY_LENGTH, MAX_TEXT_LENGTH = 20, 64, 500
MAX_INTEGER = 2**53
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")
_NO_CONTROL: dict[str, Any] = {"pattern": r"^[^\x00-\x1f\x7f]*$"}


class IdInPath(StringConvertor):
    """`{item_id:id}` in a route: an id that may hold slashes, but not end like the routes below it.

    `DELETE /api/users/42/history` is refused, and does not erase a user called '42/history'; `DELETE /api/users/42/`
    is redirected to user '42', and does not erase a user called '42/'.
    """

    regex = rf"(?:(?!/(?:{'|'.join(BELOW_AN_ID)})/?$)[\s\S])+(?<!/)"


register_url_convertor("id", IdInPath())


class Body(BaseModel):
    """Base of every request: unknown fields are refused, so that a typo is noticed."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: Any) -> Any:
        # each unknown field costs an error of its own: a body full of them would delay all other requests
        if isinstance(value, dict) and len(value) > MAX_BODY_FIELDS:
            raise ValueError(f"An object has at most {MAX_BODY_FIELDS} fields here; this one has {len(value)}")
        return value


def well_formed(text: str) -> str:
    """The text. Raises `ValueError` where it holds half a surrogate pair, which JSON can spell."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("This must be Unicode text without lone surrogates") from None
    return text


def an_object(value: Any) -> Any:
    """The value. Raises `ValueError` where it is no JSON object."""
    if isinstance(value, dict | BaseModel):
        return value
    raise ValueError("The body must be a JSON object; several go into one as a list")


def without_control_characters(text: str) -> str:
    """The text. Raises `ValueError` where it holds NUL, a line break or the like."""
    well_formed(text)
    if _CONTROL.search(text):
        raise ValueError(CONTROL_CHARACTERS)
    return text


def without_nul(text: str) -> str:
    """The text. Raises `ValueError` where it holds NUL."""
    well_formed(text)
    if "\x00" in text:
        raise ValueError("This must not hold the character NUL")
    return text


def _is_text(value: Any) -> Any:
    if not isinstance(value, str) or not _DATE.match(value):  # digits alone would be read as seconds since 1970
        raise ValueError("A time is text such as 2026-11-20T18:15:00Z")
    return value


def _has_offset(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("A time needs its offset from UTC, such as the Z in 2026-11-20T18:15:00Z")
    return moment


def _is_past(moment: datetime) -> datetime:
    if moment < EARLIEST:
        raise ValueError("This time is before 1970")
    if moment > datetime.now(UTC) + MAX_CLOCK_SKEW:
        raise ValueError("This time is in the future")
    return moment


def _is_possible(moment: datetime) -> datetime:
    if not EARLIEST <= moment <= LATEST:
        raise ValueError("This time must be between the years 1970 and 2200")
    return moment


_TIME_SCHEMA = WithJsonSchema(
    {"type": "string", "format": "date-time", "examples": ["2026-11-20T18:15:00Z"]}, mode="validation"
)
_Time = Annotated[datetime, BeforeValidator(_is_text), AfterValidator(_has_offset), _TIME_SCHEMA]
PastTime = Annotated[_Time, AfterValidator(_is_past)]
"""When something happened: not in the future, except for clocks that differ by up to five minutes."""
AnyTime = Annotated[_Time, AfterValidator(_is_possible)]


def _plain(most: int) -> Any:
    return Field(min_length=1, max_length=most, json_schema_extra=_NO_CONTROL)


_Checked = AfterValidator(without_control_characters)
Id = Annotated[str, _plain(ID_LENGTH), _Checked]
"""An id that is stored."""
LookupId = Annotated[str, StringConstraints(min_length=1, max_length=ID_LENGTH, pattern=NO_CONTROL_CHARACTERS)]
"""An id that is only looked up. Checked by pydantic's core alone, which keeps
`GET /api/recommendations` fast."""
PathId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=ID_LENGTH,
        json_schema_extra=_NO_CONTROL,
        description="the caller's own id; any characters but control characters, slashes included",
        examples=["42"],
    ),
    _Checked,
]
Name = Annotated[str, _plain(NAME_LENGTH), _Checked]
LookupName = Annotated[str, StringConstraints(min_length=1, max_length=NAME_LENGTH, pattern=NO_CONTROL_CHARACTERS)]
"""A name that is only looked up, as of a strategy."""
Category = Annotated[str, _plain(128), _Checked]
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", examples=["b8d1c0c4a6f34a57"])]
Key = Annotated[str, _plain(128), _Checked]
Amount = Annotated[float, Field(ge=0, le=1e9, strict=True)]


def _is_scalar(value: Any) -> Any:
    if isinstance(value, str):
        if len(value) > MAX_TEXT_LENGTH:
            raise ValueError(f"A text in the context has at most {MAX_TEXT_LENGTH} characters")
        without_nul(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("A number in the context must be finite")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError("A whole number in the context is at most 2^53")
    elif value is not None and not isinstance(value, str | int | float | bool):
        raise ValueError("The context holds texts, numbers, true, false and null, and nothing nested")
    return value


Scalar = Annotated[
    Any,
    AfterValidator(_is_scalar),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": MAX_TEXT_LENGTH},
                {"type": "number", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
                {"type": "boolean"},
                {"type": "null"},
            ]
        }
    ),
]
Context = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=MAX_KEY_LENGTH), AfterValidator(without_nul)], Scalar],
    Field(max_length=MAX_CONTEXT_KEYS, examples=[{"page": "home", "position": 3}]),
]


GivenInQuery = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY_LENGTH, pattern=NO_CONTROL_CHARACTERS)],
        Annotated[str, StringConstraints(max_length=MAX_TEXT_LENGTH, pattern=NO_CONTROL_CHARACTERS)],
    ],
    Field(max_length=MAX_CONTEXT_KEYS),
]
"""Names and values in a query, which knows texts only."""


def given_of(profile: Mapping[str, Any] | None, context: Mapping[str, Any] | None) -> Given:
    """What a request says of the user and of its moment, as the ranking takes it; nothing of what is null or empty."""
    return (*told("context", context or {}), *told("profile", profile or {}))


def _split(value: Any) -> Any:
    """Names separated by commas, in one text or in several."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return value
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))


MAX_FIELDS = 20
FieldNames = Annotated[
    tuple[Annotated[str, StringConstraints(max_length=NAME_LENGTH, pattern="^[^\\x00]*$")], ...],
    BeforeValidator(_split),
    Field(
        max_length=MAX_FIELDS,
        description="fields of the catalogue that each item carries, separated by commas: title, text, categories, or"
        " any attribute",
        examples=["title,categories"],
    ),
    WithJsonSchema({"type": "string", "maxLength": MAX_FIELDS * (NAME_LENGTH + 1)}),
]


def check_limit(limit: int, most: int, what: str, where: str = "query.limit") -> None:
    """Raise a 422 problem where a list of more than `most` (the setting `max_limit`) is asked for; `what`: of what."""
    if limit > most:
        rule = f"a list has at most {most} {what}."
        errors = [{"where": where, "rule": rule}]
        raise Problem(422, "invalid-request", f"{where}: {rule}", errors=errors)


def check_stars(kind: str, value: float | None) -> None:
    """Raise `ValueError` where this is a rating without its stars."""
    if kind == "rate" and (value is None or not MIN_STARS <= value <= MAX_STARS):
        raise ValueError(f"A rating has a value from {MIN_STARS:g} to {MAX_STARS:g} stars")


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970 (UTC)."""
    return int(moment.timestamp() * 1000)


def moment_of(milliseconds_since_1970: int) -> datetime:
    """The time of so many milliseconds since 1970, in UTC."""
    return datetime.fromtimestamp(milliseconds_since_1970 / 1000, UTC)
