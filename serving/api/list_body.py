"""Fields that the bodies of several routes share: how a list is to be made."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool, StrictInt

from serving.api.fields import MAX_FIELDS, Body, Context, LookupId, LookupName, given_of
from serving.recommend.request import AUTO, RecommendationRequest
from serving.rules.definitions import FilterText
from serving.rules.query import parse


class ListBody(Body):
    """The parameters of a list in a body; they mean what they mean in the query of `GET /api/recommendations`."""

    limit: StrictInt = Field(10, ge=1, examples=[3], description="items wanted; at most `max_limit` of the settings")
    strategy: LookupName = Field(AUTO, description="as for recommendations")
    lambda_: Annotated[float, Field(strict=True, ge=0, le=1)] | None = Field(
        None,
        alias="lambda",
        description="maximal marginal relevance: 1 the model's order, 0 the most varied; none: the setting `diversity`",
    )
    exclude: list[LookupId] = Field([], max_length=100, description="items to leave out")
    category: list[LookupId] = Field([], max_length=20, description="only items of these categories")
    filter: list[FilterText] = Field(
        [], max_length=10, description="only items that match all of them, such as `price<=20 and tags=a|b`"
    )
    exclude_seen: StrictBool = Field(True, description="leave out items that the user has seen")
    explain: StrictBool = Field(False, description="a reason for each item")
    fields: list[LookupName] = Field(
        [],
        max_length=MAX_FIELDS,
        examples=[["categories"]],
        description="fields of the catalogue that each item carries: title, text, categories, or any attribute",
    )

    context: Context | None = Field(
        None,
        description="what is known of this request: features of versions that learned them",
        examples=[{"device": "mobile"}],
    )
    profile: Context | None = Field(
        None, description="attributes of the user, in place of the stored ones", examples=[{"age": 37}]
    )

    def to_request(self, diversity: float, user_id: str = "", limit: int | None = None) -> RecommendationRequest:
        """The parameters as the ranking takes them.

        `diversity`: the lambda where the body names none; `limit`: in place of the body's own.
        """
        return RecommendationRequest(
            user_id,
            self.limit if limit is None else limit,
            self.strategy,
            diversity if self.lambda_ is None else self.lambda_,
            tuple(self.exclude),
            tuple(self.category),
            self.exclude_seen,
            self.explain,
            tuple(map(parse, self.filter)),
            tuple(dict.fromkeys(self.fields)),
            given=given_of(self.profile, self.context),
        )
