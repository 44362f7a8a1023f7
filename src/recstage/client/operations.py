"""A method for each operation of the service.

Written from the OpenAPI document of the service by `make api-types`; do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from recstage.client.calls import UNSET, Call, Sender, Unset, given
from recstage.client.models import (
    BatchBody,
    BatchPredictionBody,
    Boost,
    Bury,
    Cap,
    CategoriesBody,
    ChangedBody,
    ClassifiedTextsBody,
    ErasureBody,
    ErasureStateBody,
    EventBody,
    Exclude,
    FeedbackReceiptBody,
    Floor,
    HistoryBody,
    Include,
    IngestedBody,
    ItemBody,
    ItemsBody,
    KnownItemBody,
    KnownProfileBody,
    LabelledBody,
    LabelQueueBody,
    ListsBody,
    Live,
    ModelBody,
    Objective,
    OperationsBody,
    OutcomeBody,
    Pin,
    PredictionBody,
    RankedBody,
    Ready,
    ReceiptBody,
    RecommendationsBody,
    RecommendedUsersBody,
    Reloading,
    RuleBody,
    RulesBody,
    RulesChangedBody,
    RulesVersionsBody,
    SessionBody,
    SessionItem,
    SessionListBody,
    ShareSetBody,
    SimilarItemsBody,
    StatisticsBody,
    Target,
    TrendsBody,
    UserPatternsBody,
    UserStatisticsBody,
)


class Operations(Sender):
    """The operations, by their names in the document."""

    def categories(self) -> CategoriesBody:
        """The categories of the service's catalogue and of the served version, with their numbers of items."""
        call = Call("GET", "/api/categories")
        return self.send(call, CategoriesBody)

    def change_item(
        self,
        item_id: str,
        *,
        title: str | None = None,
        text: str | None = None,
        categories: Sequence[str] | None = None,
        hidden: bool | None = None,
        expires_at: datetime | Unset | None = UNSET,
        attributes: dict[str, Any] | None = None,
    ) -> KnownItemBody:
        """Change an item. Once this responds, a hidden item is in no list of any worker."""
        call = Call(
            "PATCH",
            "/api/items/{item_id}",
            path={"item_id": item_id},
            body=given(
                {
                    "title": title,
                    "text": text,
                    "categories": categories,
                    "hidden": hidden,
                    "expires_at": expires_at,
                    "attributes": attributes,
                },
                nullable=["expires_at"],
            ),
        )
        return self.send(call, KnownItemBody)

    def change_rule(
        self,
        name: str,
        *,
        action: Exclude | Include | Cap | Pin | Boost | Bury | Floor | Objective,
        target: Target | None = None,
        starts_at: datetime | Unset | None = UNSET,
        ends_at: datetime | Unset | None = UNSET,
        enabled: bool | None = None,
        note: str | None = None,
    ) -> RuleBody:
        """Change a rule as a whole: what is not given becomes the default."""
        call = Call(
            "PUT",
            "/api/rules/{name}",
            path={"name": name},
            body=given(
                {
                    "action": action,
                    "target": target,
                    "starts_at": starts_at,
                    "ends_at": ends_at,
                    "enabled": enabled,
                    "note": note,
                },
                nullable=["starts_at", "ends_at"],
            ),
        )
        return self.send(call, RuleBody)

    def classify(self, *, texts: Sequence[str]) -> ClassifiedTextsBody:
        """Categories with calibrated confidences; 503 while no version of the classifier is Production."""
        call = Call("POST", "/api/classify", body=given({"texts": texts}))
        return self.send(call, ClassifiedTextsBody)

    def create_rule(
        self,
        *,
        action: Exclude | Include | Cap | Pin | Boost | Bury | Floor | Objective,
        name: str,
        target: Target | None = None,
        starts_at: datetime | Unset | None = UNSET,
        ends_at: datetime | Unset | None = UNSET,
        enabled: bool | None = None,
        note: str | None = None,
    ) -> RuleBody:
        """Add a rule. Once this responds, it holds for the next list of every worker."""
        call = Call(
            "POST",
            "/api/rules",
            body=given(
                {
                    "action": action,
                    "target": target,
                    "starts_at": starts_at,
                    "ends_at": ends_at,
                    "enabled": enabled,
                    "note": note,
                    "name": name,
                },
                nullable=["starts_at", "ends_at"],
            ),
            repeatable=False,
        )
        return self.send(call, RuleBody)

    def delete_item(self, item_id: str) -> None:
        """Delete an item: it is never served again and its data are removed; its events stay."""
        call = Call("DELETE", "/api/items/{item_id}", path={"item_id": item_id}, repeatable=False)
        self.send_only(call)

    def delete_rule(self, name: str) -> RulesChangedBody:
        """Delete a rule; its history stays, and a revert brings it back."""
        call = Call("DELETE", "/api/rules/{name}", path={"name": name}, repeatable=False)
        return self.send(call, RulesChangedBody)

    def delete_user(self, user_id: str) -> ErasureBody:
        """Erase a user: events, impressions, feedback, lists, profile."""
        call = Call("DELETE", "/api/users/{user_id}", path={"user_id": user_id}, repeatable=False)
        return self.send(call, ErasureBody)

    def experiment(
        self, *, share: float, mode: Literal["split", "shadow", "bandit", "contextual", "interleave"] | None = None
    ) -> ShareSetBody:
        """Show the version in Staging to a share of the users, or end that with a share of 0."""
        call = Call("POST", "/api/operations/experiment", body=given({"share": share, "mode": mode}))
        return self.send(call, ShareSetBody)

    def get_erasure(self, user_id: str) -> ErasureStateBody:
        """How far the last erasure of a user is."""
        call = Call("GET", "/api/users/{user_id}/erasure", path={"user_id": user_id})
        return self.send(call, ErasureStateBody)

    def get_item(self, item_id: str) -> KnownItemBody:
        """An item as lists know it: by the service's catalogue, and by that of the served version where it says
        nothing.
        """
        call = Call("GET", "/api/items/{item_id}", path={"item_id": item_id})
        return self.send(call, KnownItemBody)

    def get_profile(self, user_id: str) -> KnownProfileBody:
        """The declared profile of a user."""
        call = Call("GET", "/api/users/{user_id}/profile", path={"user_id": user_id})
        return self.send(call, KnownProfileBody)

    def get_rule(self, name: str) -> RuleBody:
        """A rule."""
        call = Call("GET", "/api/rules/{name}", path={"name": name})
        return self.send(call, RuleBody)

    def get_similar_items(
        self,
        item_id: str,
        *,
        limit: int | None = None,
        basket: Sequence[str] | None = None,
        lambda_: float | None = None,
        exclude: Sequence[str] | None = None,
        category: Sequence[str] | None = None,
        filter: Sequence[str] | None = None,
        explain: bool | None = None,
        fields: str | None = None,
        cursor: str | None = None,
        user_id: str | None = None,
    ) -> SimilarItemsBody:
        """Items similar to this one, or to all items of a basket. Hidden items are never listed."""
        call = Call(
            "GET",
            "/api/items/{item_id}/similar",
            path={"item_id": item_id},
            query={
                "limit": limit,
                "basket": basket,
                "lambda": lambda_,
                "exclude": exclude,
                "category": category,
                "filter": filter,
                "explain": explain,
                "fields": fields,
                "cursor": cursor,
                "user_id": user_id,
            },
        )
        return self.send(call, SimilarItemsBody)

    def item_statistics(self, item_id: str) -> StatisticsBody:
        """Counts by type, click-through rate, implementation rate, mean label."""
        call = Call("GET", "/api/items/{item_id}/stats", path={"item_id": item_id})
        return self.send(call, StatisticsBody)

    def label_item(self, *, item_id: str, categories: Sequence[str], new: bool | None = None) -> LabelledBody:
        """Label an item: it leaves the queue, and `mlflow run . -e classifier -P data=service` learns from it."""
        call = Call(
            "POST", "/api/classifier/labels", body=given({"item_id": item_id, "categories": categories, "new": new})
        )
        return self.send(call, LabelledBody)

    def label_queue(self, *, limit: int | None = None) -> LabelQueueBody:
        """Items that a person should label, the least sure first."""
        call = Call("GET", "/api/classifier/queue", query={"limit": limit})
        return self.send(call, LabelQueueBody)

    def latest(
        self,
        *,
        limit: int | None = None,
        window: Literal["hour", "day", "week", "month"] | None = None,
        category: Sequence[str] | None = None,
        filter: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        explain: bool | None = None,
        fields: str | None = None,
        cursor: str | None = None,
        user_id: str | None = None,
    ) -> TrendsBody:
        """The items that were first known last: by their first interaction in training, or when they were posted."""
        call = Call(
            "GET",
            "/api/latest",
            query={
                "limit": limit,
                "window": window,
                "category": category,
                "filter": filter,
                "exclude": exclude,
                "explain": explain,
                "fields": fields,
                "cursor": cursor,
                "user_id": user_id,
            },
        )
        return self.send(call, TrendsBody)

    def list_rules(self) -> RulesBody:
        """All rules, whether or not they hold now."""
        call = Call("GET", "/api/rules")
        return self.send(call, RulesBody)

    def live(self) -> Live:
        """Whether the process responds; touches nothing else."""
        call = Call("GET", "/health/live")
        return self.send(call, Live)

    def model(self, *, details: bool | None = None) -> ModelBody:
        """The model that serves now: what it is, since when and why, what it reached, and what is wrong."""
        call = Call("GET", "/api/model", query={"details": details})
        return self.send(call, ModelBody)

    def operations(self) -> OperationsBody:
        """What is served, why, and how well."""
        call = Call("GET", "/api/operations")
        return self.send(call, OperationsBody)

    def popular(
        self,
        *,
        limit: int | None = None,
        window: Literal["hour", "day", "week", "month"] | None = None,
        category: Sequence[str] | None = None,
        filter: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        explain: bool | None = None,
        fields: str | None = None,
        cursor: str | None = None,
        user_id: str | None = None,
    ) -> TrendsBody:
        """The items that most users chose within the window, each user once; recent choices count more."""
        call = Call(
            "GET",
            "/api/popular",
            query={
                "limit": limit,
                "window": window,
                "category": category,
                "filter": filter,
                "exclude": exclude,
                "explain": explain,
                "fields": fields,
                "cursor": cursor,
                "user_id": user_id,
            },
        )
        return self.send(call, TrendsBody)

    def post_feedback(
        self, *, request_id: str, outcomes: Sequence[OutcomeBody], user_id: str | Unset | None = UNSET
    ) -> FeedbackReceiptBody:
        """Store the outcomes of a shown list, joined to its impressions by the request id."""
        call = Call(
            "POST",
            "/api/recommendations/feedback",
            body=given({"request_id": request_id, "user_id": user_id, "outcomes": outcomes}, nullable=["user_id"]),
        )
        return self.send(call, FeedbackReceiptBody)

    def post_interactions(
        self, body: EventBody | BatchBody | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> ReceiptBody:
        """Store one event or a batch; the response is sent once they are on disk."""
        call = Call("POST", "/api/interactions", body=body, idempotency_key=idempotency_key, keyed=True)
        return self.send(call, ReceiptBody)

    def post_items(self, body: ItemBody | ItemsBody | Mapping[str, Any]) -> IngestedBody:
        """Store one item or several, replacing their earlier versions; a deleted item is restored."""
        call = Call("POST", "/api/items", body=body)
        return self.send(call, IngestedBody)

    def predict(self, *, user_id: str, item_ids: Sequence[str], strategy: str | None = None) -> PredictionBody:
        """Scores of the given items for one user, comparable with each other. Unknown items are refused by name."""
        call = Call(
            "POST", "/api/predict", body=given({"user_id": user_id, "item_ids": item_ids, "strategy": strategy})
        )
        return self.send(call, PredictionBody)

    def predict_for_many(
        self, *, user_ids: Sequence[str], item_ids: Sequence[str], strategy: str | None = None
    ) -> BatchPredictionBody:
        """Scores of the same items for many users. Unknown items are refused by name."""
        call = Call(
            "POST", "/api/predict/batch", body=given({"user_ids": user_ids, "item_ids": item_ids, "strategy": strategy})
        )
        return self.send(call, BatchPredictionBody)

    def promote(self, *, version: str, reason: str, force: bool | None = None) -> ChangedBody:
        """Make a version Production, if the gate of conf/promotion.yaml allows; a 409 has its reasons under
        `errors`.
        """
        call = Call(
            "POST", "/api/operations/promote", body=given({"version": version, "reason": reason, "force": force})
        )
        return self.send(call, ChangedBody)

    def put_profile(
        self,
        user_id: str,
        *,
        role: str | Unset | None = UNSET,
        categories: Sequence[str] | None = None,
        attributes: dict[str, str | float | bool | None] | None = None,
        opted_out: bool | None = None,
    ) -> KnownProfileBody:
        """Replace the declared profile of a user; it takes effect with the next request."""
        call = Call(
            "PUT",
            "/api/users/{user_id}/profile",
            path={"user_id": user_id},
            body=given(
                {"role": role, "categories": categories, "attributes": attributes, "opted_out": opted_out},
                nullable=["role"],
            ),
        )
        return self.send(call, KnownProfileBody)

    def rank(
        self,
        *,
        user_id: str,
        items: Sequence[str],
        limit: int | Unset | None = UNSET,
        strategy: str | None = None,
        lambda_: float | Unset | None = UNSET,
        exclude: Sequence[str] | None = None,
        category: Sequence[str] | None = None,
        filter: Sequence[str] | None = None,
        exclude_seen: bool | None = None,
        explain: bool | None = None,
        fields: Sequence[str] | None = None,
        context: dict[str, str | float | bool | None] | Unset | None = UNSET,
        profile: dict[str, str | float | bool | None] | Unset | None = UNSET,
    ) -> RankedBody:
        """The caller's candidates in the order of the user's preference, with scores; hidden items are left out."""
        call = Call(
            "POST",
            "/api/rank",
            body=given(
                {
                    "limit": limit,
                    "strategy": strategy,
                    "lambda": lambda_,
                    "exclude": exclude,
                    "category": category,
                    "filter": filter,
                    "exclude_seen": exclude_seen,
                    "explain": explain,
                    "fields": fields,
                    "context": context,
                    "profile": profile,
                    "user_id": user_id,
                    "items": items,
                },
                nullable=["limit", "lambda", "context", "profile"],
            ),
        )
        return self.send(call, RankedBody)

    def ready(self) -> Ready:
        """Whether recommendations can be made."""
        call = Call("GET", "/health/ready")
        return self.send(call, Ready)

    def recommend_to_many(
        self,
        *,
        user_ids: Sequence[str],
        limit: int | None = None,
        strategy: str | None = None,
        lambda_: float | Unset | None = UNSET,
        exclude: Sequence[str] | None = None,
        category: Sequence[str] | None = None,
        filter: Sequence[str] | None = None,
        exclude_seen: bool | None = None,
        explain: bool | None = None,
        fields: Sequence[str] | None = None,
        context: dict[str, str | float | bool | None] | Unset | None = UNSET,
        profile: dict[str, str | float | bool | None] | Unset | None = UNSET,
        shown: bool | None = None,
    ) -> ListsBody:
        """The lists of many users, ranked together; each equals the list that the user would get alone."""
        call = Call(
            "POST",
            "/api/recommendations/batch",
            body=given(
                {
                    "limit": limit,
                    "strategy": strategy,
                    "lambda": lambda_,
                    "exclude": exclude,
                    "category": category,
                    "filter": filter,
                    "exclude_seen": exclude_seen,
                    "explain": explain,
                    "fields": fields,
                    "context": context,
                    "profile": profile,
                    "user_ids": user_ids,
                    "shown": shown,
                },
                nullable=["lambda", "context", "profile"],
            ),
        )
        return self.send(call, ListsBody)

    def recommend_to_session(
        self,
        *,
        items: Sequence[SessionItem],
        limit: int | None = None,
        strategy: str | None = None,
        lambda_: float | Unset | None = UNSET,
        exclude: Sequence[str] | None = None,
        category: Sequence[str] | None = None,
        filter: Sequence[str] | None = None,
        exclude_seen: bool | None = None,
        explain: bool | None = None,
        fields: Sequence[str] | None = None,
        context: dict[str, str | float | bool | None] | Unset | None = UNSET,
        profile: dict[str, str | float | bool | None] | Unset | None = UNSET,
        store_as: str | Unset | None = UNSET,
        store_type: Literal["view", "click", "like", "save", "share", "rate", "implement", "dismiss"] | None = None,
    ) -> SessionListBody:
        """A list from a history in the request, without a user. Nothing is stored unless `store_as` asks for it."""
        call = Call(
            "POST",
            "/api/recommendations/session",
            body=given(
                {
                    "limit": limit,
                    "strategy": strategy,
                    "lambda": lambda_,
                    "exclude": exclude,
                    "category": category,
                    "filter": filter,
                    "exclude_seen": exclude_seen,
                    "explain": explain,
                    "fields": fields,
                    "context": context,
                    "profile": profile,
                    "items": items,
                    "store_as": store_as,
                    "store_type": store_type,
                },
                nullable=["lambda", "context", "profile", "store_as"],
            ),
        )
        return self.send(call, SessionListBody)

    def recommendations(
        self,
        *,
        user_id: str,
        limit: int | None = None,
        strategy: str | None = None,
        lambda_: float | None = None,
        exclude: Sequence[str] | None = None,
        category: Sequence[str] | None = None,
        filter: Sequence[str] | None = None,
        exclude_seen: bool | None = None,
        explain: bool | None = None,
        fields: str | None = None,
        context: dict[str, Any] | None = None,
        profile: dict[str, Any] | None = None,
        cursor: str | None = None,
    ) -> RecommendationsBody:
        """The best items for a user, from their history up to now; popularity for an unknown user."""
        call = Call(
            "GET",
            "/api/recommendations",
            query={
                "user_id": user_id,
                "limit": limit,
                "strategy": strategy,
                "lambda": lambda_,
                "exclude": exclude,
                "category": category,
                "filter": filter,
                "exclude_seen": exclude_seen,
                "explain": explain,
                "fields": fields,
                "context": context,
                "profile": profile,
                "cursor": cursor,
            },
        )
        return self.send(call, RecommendationsBody)

    def recommended_users(
        self,
        item_id: str,
        *,
        limit: int | None = None,
        role: str | None = None,
        segment: Literal["cold", "warm", "hot"] | None = None,
        exclude_known: bool | None = None,
        min_likes: int | None = None,
        min_score: float | None = None,
    ) -> RecommendedUsersBody:
        """Users to whom an item should be recommended. Users who opted out or were erased are never listed."""
        call = Call(
            "GET",
            "/api/items/{item_id}/recommended-users",
            path={"item_id": item_id},
            query={
                "limit": limit,
                "role": role,
                "segment": segment,
                "exclude_known": exclude_known,
                "min_likes": min_likes,
                "min_score": min_score,
            },
        )
        return self.send(call, RecommendedUsersBody)

    def reload(self) -> Reloading:
        """Poll the registry now, and try again versions that failed, in every worker."""
        call = Call("POST", "/api/model/reload")
        return self.send(call, Reloading)

    def revert_rules(self, version: int) -> RulesChangedBody:
        """Bring back all rules as they were at a version, as a new version; nothing is lost."""
        call = Call("POST", "/api/rules/versions/{version}/revert", path={"version": version}, repeatable=False)
        return self.send(call, RulesChangedBody)

    def rollback(self, *, reason: str, to: str | Unset | None = UNSET) -> ChangedBody:
        """Put back what was Production before, or another version, without asking the gate."""
        call = Call("POST", "/api/operations/rollback", body=given({"to": to, "reason": reason}, nullable=["to"]))
        return self.send(call, ChangedBody)

    def rule_versions(self, *, limit: int | None = None, before: int | None = None) -> RulesVersionsBody:
        """Who changed what and when, newest first."""
        call = Call("GET", "/api/rules/versions", query={"limit": limit, "before": before})
        return self.send(call, RulesVersionsBody)

    def rules_of_version(self, version: int) -> RulesBody:
        """The rules as they were at a version."""
        call = Call("GET", "/api/rules/versions/{version}", path={"version": version})
        return self.send(call, RulesBody)

    def session(self) -> SessionBody:
        """Who calls, what they may do, and what there is to show."""
        call = Call("GET", "/api/session")
        return self.send(call, SessionBody)

    def stream(
        self,
        *,
        user_id: str,
        limit: int | None = None,
        strategy: str | None = None,
        lambda_: float | None = None,
        exclude: Sequence[str] | None = None,
        category: Sequence[str] | None = None,
        filter: Sequence[str] | None = None,
        exclude_seen: bool | None = None,
        explain: bool | None = None,
        fields: str | None = None,
        context: dict[str, Any] | None = None,
        profile: dict[str, Any] | None = None,
    ) -> None:
        """The list of `GET /api/recommendations` as Server-Sent Events: at once, and again after each event of the
        user.
        """
        call = Call(
            "GET",
            "/api/recommendations/stream",
            query={
                "user_id": user_id,
                "limit": limit,
                "strategy": strategy,
                "lambda": lambda_,
                "exclude": exclude,
                "category": category,
                "filter": filter,
                "exclude_seen": exclude_seen,
                "explain": explain,
                "fields": fields,
                "context": context,
                "profile": profile,
            },
        )
        self.send_only(call)

    def trending(
        self,
        *,
        limit: int | None = None,
        window: Literal["hour", "day", "week", "month"] | None = None,
        category: Sequence[str] | None = None,
        filter: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        explain: bool | None = None,
        fields: str | None = None,
        cursor: str | None = None,
        user_id: str | None = None,
    ) -> TrendsBody:
        """The items that gained most over the window before, in standard deviations; popular ones where none
        gained.
        """
        call = Call(
            "GET",
            "/api/trending",
            query={
                "limit": limit,
                "window": window,
                "category": category,
                "filter": filter,
                "exclude": exclude,
                "explain": explain,
                "fields": fields,
                "cursor": cursor,
                "user_id": user_id,
            },
        )
        return self.send(call, TrendsBody)

    def user_history(self, user_id: str, *, limit: int | None = None, cursor: str | None = None) -> HistoryBody:
        """The events of a user, newest first, and the preferences by category that they show."""
        call = Call(
            "GET", "/api/users/{user_id}/history", path={"user_id": user_id}, query={"limit": limit, "cursor": cursor}
        )
        return self.send(call, HistoryBody)

    def user_patterns(self, user_id: str) -> UserPatternsBody:
        """Taste by category and activity of a user: stored, and refreshed after each event."""
        call = Call("GET", "/api/users/{user_id}/patterns", path={"user_id": user_id})
        return self.send(call, UserPatternsBody)

    def user_statistics(self, user_id: str) -> UserStatisticsBody:
        """Counts by type, distinct items, implementation rate and mean engagement of a user."""
        call = Call("GET", "/api/users/{user_id}/stats", path={"user_id": user_id})
        return self.send(call, UserStatisticsBody)
