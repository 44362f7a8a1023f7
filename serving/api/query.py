"""The query parameters of `GET /api/recommendations`: their schema, and a parser without the framework's overhead.

The schema is the one source: requests are checked against it, and the OpenAPI parameters are generated from it.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving.api.cursor import Cursor
from serving.api.fields import MAX_QUERY_PARAMETERS, FieldNames, GivenInQuery, LookupId, LookupName, given_of
from serving.errors import Problem
from serving.recommend.request import AUTO, RecommendationRequest
from serving.rules.definitions import FilterText
from serving.rules.query import parse


class RecommendationQuery(BaseModel):
    """Parameters of `GET /api/recommendations`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)

    user_id: LookupId = Field(description="for whom", examples=["42"])
    limit: int = Field(10, ge=1, description="items wanted; at most `max_limit` of the settings")
    strategy: LookupName = Field(
        AUTO,
        description="auto: as the served version says; or a model by name (als, hybrid, content, popularity, ...)."
        " A model that the version lacks is answered as auto, with `degraded: true`; `method_used` names the one used",
        examples=["auto", "popularity"],
    )
    lambda_: float | None = Field(
        None,
        alias="lambda",
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="maximal marginal relevance: 1 the model's order, 0 the most varied list; none: the setting"
        " `diversity`",
    )
    exclude: tuple[LookupId, ...] = Field((), max_length=100, description="items to leave out; repeat for several")
    category: tuple[LookupId, ...] = Field(
        (), max_length=20, description="only items of these categories; repeat for several"
    )
    filter: tuple[FilterText, ...] = Field(
        (),
        max_length=10,
        description="only items that match, such as `price<=20 and tags=a|b`; repeat for several that must all match",
        examples=[["category=Drama"]],
    )
    exclude_seen: bool = Field(True, description="leave out items the user has seen")
    explain: bool = Field(False, description="a reason for each item")
    fields: FieldNames = ()
    context: GivenInQuery = Field(
        {},
        description="what is known of this request, as `context[device]=mobile`: features of versions that learned"
        " them; others are named in `unlearned`",
        examples=[{"device": "mobile"}],
    )
    profile: GivenInQuery = Field(
        {},
        description="attributes of the user, as `profile[age]=37`, in place of the stored ones",
        examples=[{"age": "37"}],
    )
    cursor: Cursor = None

    def to_request(self, diversity: float) -> RecommendationRequest:
        """The parameters as the ranking takes them; `diversity`: the lambda where the request names none."""
        return RecommendationRequest(
            self.user_id,
            self.limit,
            self.strategy,
            diversity if self.lambda_ is None else self.lambda_,
            self.exclude,
            self.category,
            self.exclude_seen,
            self.explain,
            tuple(map(parse, self.filter)),
            self.fields,
            given=given_of(self.profile, self.context),
        )


def read_query(schema: type[BaseModel], query_string: bytes, *, lists: frozenset[str] = frozenset()) -> Any:
    """A query string as `schema`; `lists` are the parameters that may be repeated.

    Raises what the framework would: `RequestValidationError` that names the parameters.
    """
    values: dict[str, Any] = {}
    maps: dict[str, dict[str, str]] = {}
    try:
        pairs = _pairs(query_string.decode("latin-1"))
    except ValueError as error:
        raise Problem(422, "invalid-request", f"A query has at most {MAX_QUERY_PARAMETERS} parameters.") from error
    for name, value in pairs:
        inside = _INSIDE.fullmatch(name)
        if inside is not None and inside["name"] in MAPS and inside["name"] in schema.model_fields:
            maps.setdefault(inside["name"], {})[inside["key"]] = value
        elif name in lists:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    try:
        return schema.model_validate(maps | values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("query", *one["loc"])} for one in found]) from error


def _pairs(query: str) -> list[tuple[str, str]]:
    """Names and values. Raises `ValueError` where there are too many."""
    if query.isascii() and "%" not in query and "+" not in query and query.count("&") < MAX_QUERY_PARAMETERS:
        found = [part.partition("=") for part in query.split("&") if part]  # a fourth of the time of `parse_qsl`
        return [(name, value) for name, _, value in found]
    return parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_PARAMETERS)


MAPS = frozenset({"context", "profile"})
"""Parameters with names of their own, as context[device]=mobile."""
_INSIDE = re.compile(r"(?P<name>[a-z]+)\[(?P<key>[^\[\]]*)\]")
RECOMMENDATION_LISTS = frozenset({"exclude", "category", "filter"})


def parameters_of(schema: type[BaseModel]) -> list[dict[str, Any]]:
    """OpenAPI parameters of a query schema."""
    described = schema.model_json_schema(by_alias=True)
    required = set(described.get("required", ()))
    parameters = []
    for name, about in described["properties"].items():
        about = {key: value for key, value in about.items() if key != "title"}
        style = {"style": "deepObject", "explode": True} if name in MAPS else {}
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in required,
                "description": about.pop("description", ""),
                **style,
                "schema": about,
            }
        )
    return parameters
