"""The wishes of a request for a list: their schema, read from a query string without a framework's detours.

The schema is the one source: requests are checked against it, and the OpenAPI parameters are generated from it.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from serving.errors import Problem
from serving.recommend.request import AUTO, RecommendationRequest

LONGEST_ID = 256
MOST_FIELDS = 2000
Id = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_ID, pattern="^[^\\x00]*$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class RecommendationQuery(BaseModel):
    """Parameters of `GET /api/recommendations`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)

    user_id: Id = Field(description="for whom", examples=["42"])
    limit: int = Field(10, ge=1, le=1000, description="items wanted; at most `max_limit` of the settings")
    strategy: Name = Field(
        AUTO,
        description="auto: as the served version says; or a model by name (als, hybrid, content, popularity, ...)."
        " A model that the version lacks is answered as auto; `method_used` says what spoke",
        examples=["auto", "popularity"],
    )
    lambda_: float = Field(
        1.0,
        alias="lambda",
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="maximal marginal relevance: 1 the model's order, 0 as varied as can be",
    )
    exclude: tuple[Id, ...] = Field((), max_length=100, description="items to leave out; repeat for several")
    category: tuple[Id, ...] = Field(
        (), max_length=20, description="only items of these categories; repeat for several"
    )
    exclude_seen: bool = Field(True, description="leave out what the person knows")
    explain: bool = Field(False, description="a reason for each item")

    def ask(self) -> RecommendationRequest:
        return RecommendationRequest(
            self.user_id,
            self.limit,
            self.strategy,
            self.lambda_,
            self.exclude,
            self.category,
            self.exclude_seen,
            self.explain,
        )


def read_query(schema: type[BaseModel], query_string: bytes, *, lists: frozenset[str] = frozenset()) -> Any:
    """The query as `schema`. Raises what the framework would: `RequestValidationError` naming the parameters."""
    values: dict[str, Any] = {}
    try:
        pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise Problem(422, "invalid-request", f"A query has at most {MOST_FIELDS} parameters.") from error
    for name, value in pairs:
        if name in lists:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("query", *one["loc"])} for one in found]) from error


RECOMMENDATION_LISTS = frozenset({"exclude", "category"})


def parameters_of(schema: type[BaseModel]) -> list[dict[str, Any]]:
    """OpenAPI parameters of a query schema."""
    described = schema.model_json_schema(by_alias=True)
    required = set(described.get("required", ()))
    parameters = []
    for name, about in described["properties"].items():
        about = {key: value for key, value in about.items() if key != "title"}
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in required,
                "description": about.pop("description", ""),
                "schema": about,
            }
        )
    return parameters
