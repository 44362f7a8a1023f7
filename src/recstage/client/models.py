"""What the service is sent and answers, one model a schema.

Written from the OpenAPI document of the service by `make api-types`; do not edit.
"""
# ruff: noqa: E501

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """Base of all: fields that a newer service adds are kept, not refused."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, protected_namespaces=())


class AlertBody(Model):
    """An alert of the live figures."""

    name: str = Field(description="as in conf/monitoring/alerts.yml")
    text: str


class BatchBody(Model):
    """Several events, stored together or not at all."""

    events: list[EventBody]


class BatchListBody(Model):
    """The users, and the parameters of all their lists."""

    limit: int = Field(10, description="items wanted; at most `max_limit` of the settings")
    strategy: str = Field("auto", description="as for recommendations")
    lambda_: float | None = Field(
        None,
        alias="lambda",
        description="maximal marginal relevance: 1 the model's order, 0 the most varied; none: the setting `diversity`",
    )
    exclude: list[str] = Field(default_factory=list, description="items to leave out")
    category: list[str] = Field(default_factory=list, description="only items of these categories")
    filter: list[str] = Field(
        default_factory=list, description="only items that match all of them, such as `price<=20 and tags=a|b`"
    )
    exclude_seen: bool = Field(True, description="leave out items that the user has seen")
    explain: bool = Field(False, description="a reason for each item")
    fields: list[str] = Field(
        default_factory=list,
        description="fields of the catalogue that each item carries: title, text, categories, or any attribute",
    )
    context: dict[str, str | float | bool | None] | None = Field(
        None, description="what is known of this request: features of versions that learned them"
    )
    profile: dict[str, str | float | bool | None] | None = Field(
        None, description="attributes of the user, in place of the stored ones"
    )
    user_ids: list[str] = Field(description="at most `max_users` of the settings; one given twice counts once")
    shown: bool = Field(True, description="the lists count as shown, and are stored as impressions")


class BatchPredictBody(Model):
    """The users, and the items to score for each of them."""

    user_ids: list[str] = Field(description="at most `max_users` of the settings")
    item_ids: list[str]
    strategy: str = Field("auto", description="as for recommendations")


class BatchPredictionBody(Model):
    """Scores for each user, in the order of the request, each user's by exactly one model version."""

    item_ids: list[str]
    users: list[UserScores]
    model_version: str | None = Field(None, description="null: made from the service's own data")
    degraded: bool = Field(description="made without live histories: the database was unavailable")


class Boost(Model):
    """Items that the filter matches score higher, by `weight` times the range of the candidates' scores."""

    type: Literal["boost"]
    filter: str
    weight: float = Field(description="1 lifts the last candidate to the first")


class Bury(Model):
    """Items that the filter matches score lower, by `weight` times the range of the candidates' scores."""

    type: Literal["bury"]
    filter: str
    weight: float = Field(description="1 lowers the first candidate to the last")


class Cap(Model):
    """At most `most` items of a list have the same value of an attribute; of a list attribute, each of its
    values.
    """

    type: Literal["cap"]
    attribute: str = Field(description="category, or any attribute of the catalogue")
    most: int


class CategoriesBody(Model):
    """All categories, those with the most items first."""

    categories: list[CategoryCount]
    model_version: str | None = Field(None, description="whose catalogue is part of it; null: of no version")
    degraded: bool = Field(description="hidden items and the service's catalogue are those last read: no database")


class CategoryCount(Model):
    """A category."""

    name: str
    items: int = Field(description="items of it that can be listed: hidden ones are not counted")


class ChangeBodyInput(Model):
    """The fields to change; the others stay."""

    title: str = ""
    text: str = ""
    categories: list[str] | None = None
    hidden: bool = Field(False, description="a hidden item is in no list")
    expires_at: datetime | None = Field(None, description="null: never")
    attributes: dict[str, Any] | None = Field(
        None, description="numbers, booleans, texts and lists of texts, for filters and rules"
    )


class ChangeBodyOutput(Model):
    """One change of Production."""

    version: str | None = Field(None, description="null: nothing was Production from then on")
    previous: str | None = None
    at: datetime
    by: str
    how: str = Field(description="promote, rollback, stage, alias, deleted or unset")
    reason: str


class ChangeOfRuleBody(Model):
    """What one rule became in a version."""

    name: str
    change: Literal["create", "update", "delete", "revert"]
    rule: RuleContentBodyOutput | None = Field(None, description="null: it was deleted")


class ChangedBody(Model):
    """Production was changed; every worker follows within two seconds."""

    version: int = Field(description="what is Production now")
    previous: int | None = None
    gate: str | None = Field(None, description="passed, forced, or unchanged; null: a rollback, which asks no gate")
    checks: list[str] = Field(description="what the gate found")


class ClassifiedBody(Model):
    """The categories of one text, the most probable first."""

    categories: list[LabelBody]
    confidence: float = Field(description="mean of the categories', that is, the share to expect right")
    uncertain: bool = Field(description="whether a person should label it")


class ClassifiedTextsBody(Model):
    """One result a text, in their order."""

    model_version: str
    results: list[ClassifiedBody]


class ClassifyBody(Model):
    """The texts, title first."""

    texts: list[str]


class ClickThroughBody(Model):
    """Lists of one version in the last week, and those that led to a click or to more than a click."""

    version: str | None = Field(None, description="null: fallback models")
    lists: int
    clicked: int
    rate: float
    low: float = Field(description="95 % interval of the rate (Wilson)")
    high: float


class ConditionBody(Model):
    """Something that is wrong; docs/monitoring.md lists all."""

    name: str = Field(description="stable name, also in metrics and logs")
    model: str | None = Field(None, description="the registered model it is of; null: the service")
    text: str
    remedy: str


class DriftBody(Model):
    """Whether users choose other items now than in training; docs/pages.md says how it is measured."""

    verdict: Literal["unknown", "stable", "noted", "drifted"]
    psi: float | None = Field(None, description="population stability index; null: too few events")
    events: int = Field(description="events of the last week")
    unknown_share: float | None = Field(None, description="of the events: items that the version lacks")
    then: list[float] = Field(description="share of training interactions in ten groups of items, most popular first")
    now: list[float] = Field(description="share of the events in the same groups")


class ErasureBody(Model):
    """What was removed, and how far the erasure is."""

    user_id: str
    erased_at: datetime
    finished_at: datetime | None = Field(
        None,
        description="null: the log of the database is not emptied yet, or the registered versions are being searched",
    )
    trained_versions: list[TrainedVersion] = Field(
        description="registered versions trained on this user; retrain and prune them to erase fully"
    )
    complete: bool = Field(description="whether every registered version was checked")
    incomplete_because: str | None = None
    removed: dict[str, int] = Field(description="rows by table")


class ErasureStateBody(Model):
    """How far an erasure is, and which registered versions were trained on the user."""

    user_id: str
    erased_at: datetime
    finished_at: datetime | None = Field(
        None,
        description="null: the log of the database is not emptied yet, or the registered versions are being searched",
    )
    trained_versions: list[TrainedVersion] = Field(
        description="registered versions trained on this user; retrain and prune them to erase fully"
    )
    complete: bool = Field(description="whether every registered version was checked")
    incomplete_because: str | None = None


class EventBody(Model):
    """One event of a user with an item; users and items that are unknown yet are created."""

    user_id: str
    item_id: str
    interaction_type: Literal["view", "click", "like", "save", "share", "rate", "implement", "dismiss"]
    value: float | None = Field(None, description="seconds of a view, stars of a rating (0.5 to 5)")
    occurred_at: datetime | None = Field(None, description="when it happened; now, where it is missing")
    context: dict[str, str | float | bool | None] | None = Field(None, description="any flat object")
    request_id: str | None = Field(None, description="the request_id of the list that led to it")
    idempotency_key: str | None = Field(None, description="an event with a key that is known is not stored again")


class Exclude(Model):
    """No item that the filter matches is listed."""

    type: Literal["exclude"]
    filter: str


class ExperimentBody(Model):
    """The experiment that the list is part of."""

    name: str
    arm: str = Field(description="`production`, `challenger` or `interleaved`")
    chance: float = Field(description="probability with which this arm was given")


class ExperimentStateBody(Model):
    """The experiment that this process follows: Production against the version in Staging."""

    name: str
    mode: str = Field(description="`split`, `shadow`, `bandit`, `contextual` or `interleave`")
    share: float = Field(description="of the users, 0 to 1")
    production: str
    challenger: str


class Failing(Model):
    """A version that is staged and cannot be served."""

    version: str
    reason: str
    tries: int


class FeedbackBody(Model):
    """Outcomes of one list; items without an entry had none."""

    request_id: str = Field(description="the request_id that the list came with")
    user_id: str | None = Field(None, description="the user; needed only where the list may be unknown")
    outcomes: list[OutcomeBody] = Field(description="each (item, outcome) counts once")


class FeedbackReceiptBody(Model):
    """The outcomes are on disk."""

    matched: bool = Field(description="whether the list is known; false where its impressions were not kept (yet)")
    model_version: str | None = Field(None, description="the version that made the list")
    stored: int
    duplicates: int = Field(description="outcomes that were known already")
    ignored: int = Field(description="outcomes of users about whom nothing is stored")


class FieldError(Model):
    """One field that broke a rule."""

    where: str
    rule: str


class Floor(Model):
    """At least a share of a list is new items, as far as there are so many."""

    type: Literal["floor"]
    filter: str = Field("age_days<=30", description="which items are new")
    share: float = Field(description="of the list, rounded up")


class HistoryBody(Model):
    """A page of events, newest first, and the preferences they show."""

    user_id: str
    events: list[PastEventBody]
    next: str | None = Field(None, description="the `cursor` of the next page; null: no more")
    trained: list[TrainedRowBody] = Field(
        description="what the served version was trained on of this user, newest first, at most `limit`; on page one, and never of users who opted out or were erased"
    )
    preferences: dict[str, float] = Field(description="share of each category in what this user liked, greatest first")


class Include(Model):
    """Only items that the filter matches are listed."""

    type: Literal["include"]
    filter: str


class IngestedBody(Model):
    """The items are on disk; every worker lists or hides them accordingly."""

    created: int
    replaced: int = Field(description="items that were known, even if only by events")


class ItemBody(Model):
    """A complete item; fields that are not given are empty."""

    item_id: str
    title: str = ""
    text: str = ""
    categories: list[str] | None = None
    hidden: bool = Field(False, description="a hidden item is in no list")
    expires_at: datetime | None = Field(None, description="it is not served from this time on")
    attributes: dict[str, Any] | None = Field(
        None, description="numbers, booleans, texts and lists of texts, for filters and rules"
    )


class ItemsBody(Model):
    """Several items, stored together or not at all."""

    items: list[ItemBody]


class KnownItemBody(Model):
    """An item as the catalogue knows it."""

    item_id: str
    title: str
    text: str
    categories: list[str]
    predicted: dict[str, float] | None = Field(
        None, description="confidences, where the classifier gave the categories; null where a person did"
    )
    hidden: bool
    expires_at: datetime | None = Field(None, description="null: never")
    deleted: bool
    attributes: dict[str, Any]


class KnownProfileBody(Model):
    """The declared profile of a user, and since when."""

    user_id: str
    role: str | None = None
    categories: list[str] = Field(description="preferred categories, strongest first")
    attributes: dict[str, Any] = Field(description="by name")
    opted_out: bool
    known_since: datetime | None = None
    changed_at: datetime | None = Field(None, description="null: nothing was ever declared")


class LabelBody(Model):
    """A category and how probable it is."""

    category: str
    confidence: float


class LabelQueueBody(Model):
    """The least sure items first."""

    items: list[UncertainBody]


class LabelledBody(Model):
    """They are stored, and the next training learns from them."""

    item_id: str
    categories: list[str]


class LeftOut(Model):
    """A candidate that is not in the list."""

    item_id: str
    cause: Literal["unknown", "hidden", "seen", "excluded", "filtered", "rule"] = Field(
        description="unknown to the served version; hidden; excluded by the request; seen; of another category, or not matched by a filter; ruled out by a business rule"
    )


class ListsBody(Model):
    """A list for each user, in the order of the request; in an experiment by the version of each user's group."""

    lists: list[RecommendationsBody]


class Live(Model):
    """The process responds."""

    status: Literal["live"] = "live"


class LiveBody(Model):
    """The last five minutes; where the page was just opened, since the service started."""

    seconds: float = Field(description="length of the window")
    lists: int
    p50: float | None = Field(None, description="milliseconds; null: no list was requested")
    p95: float | None = None
    p99: float | None = None
    failed: int = Field(description="requests that ended in a 5xx")
    methods: dict[str, int] = Field(description="lists by the model used")
    fallbacks: dict[str, int] = Field(description="lists made without something, by what")
    refused: dict[str, int] = Field(description="requests refused before a route")
    cache_hits: int
    cache_misses: int
    events: int = Field(description="events stored")
    points: list[PointBody] = Field(description="readings of the last half hour, oldest first")


class ModelBody(Model):
    """The model that serves; without a version it is made from the service's own data. What is marked
    (details) is there with `details=true` only.
    """

    name: str
    version: str | None = Field(None, description="null: models made from the service's own data")
    algorithm: str
    served_since: datetime = Field(description="when this process swapped it in")
    promotion: Promotion | None = Field(None, description="null: fallback models serve")
    staged_version: str | None = Field(None, description="Production in the registry at the last poll; null: none")
    created_at: datetime | None = Field(None, description="when it was trained")
    data_set: str | None = Field(None, description="what it was trained on")
    metrics: dict[str, float] = Field(description="a few of its figures on test rows that it never saw")
    n_users: int = Field(description="users it was trained on")
    n_items: int = Field(description="items it can list")
    failing: Failing | None = Field(None, description="a staged version that cannot be served, and why")
    experiment: ExperimentStateBody | None = Field(None, description="null: no version in Staging, or it is in none")
    degraded: list[str] = Field(description="what is wrong, one sentence each")
    conditions: list[ConditionBody] = Field(description="the same, with names and remedies")
    methods: list[str] | None = Field(None, description="(details) strategies that this version has models for")
    registry_looked_at: datetime | None = Field(None, description="(details) when the registry was last polled")
    trained_until: int | None = Field(None, description="(details) time of the newest interaction it was trained on")
    data: dict[str, Any] | None = Field(
        None, description="(details) the training, as recorded in the bundle: data, split, all metrics, run"
    )
    reverse: ReverseModelBody | None = Field(None, description="(details) the model that ranks users for an item")


class NewLabelsBody(Model):
    """The categories that a person gives an item; they replace the predicted ones for good."""

    item_id: str
    categories: list[str]
    new: bool = Field(False, description="take categories that no item has yet")


class NewRuleBody(Model):
    """A new rule; its name stays for good, and lists tell it in `rules_applied`."""

    action: Exclude | Include | Cap | Pin | Boost | Bury | Floor | Objective
    target: Target | None = Field(None, description="the lists it holds for; all by default")
    starts_at: datetime | None = Field(None, description="from when on; null: at once")
    ends_at: datetime | None = Field(None, description="until when; null: until it is deleted")
    enabled: bool = True
    note: str = Field("", description="for other editors")
    name: str


class Objective(Model):
    """A further aim beside relevance: items move by their place among all items in one number of theirs."""

    type: Literal["objective"]
    attribute: str = Field(description="a number or a boolean of the catalogue, or age_days")
    weight: float = Field(
        description="above 0: more is better, below: less; 1 weighs as much as the range of the candidates' scores"
    )


class OperationsBody(Model):
    """The state of the service in one response. What cannot be read now is null, and `conditions` says why."""

    role: str = Field(description="of the caller: an admin may promote and roll back")
    served: ServedBody | None = Field(None, description="null: neither a version nor data to make lists from")
    registry: RegistryBody | None = Field(
        None, description="null: the service follows no registry, or has not read it yet"
    )
    conditions: list[ConditionBody] = Field(description="what is wrong now")
    alerts: list[AlertBody] = Field(description="what the live figures give rise to")
    live: LiveBody
    click_through: list[ClickThroughBody] | None = Field(None, description="null: without a database")
    drift: DriftBody | None = Field(None, description="null: without a database")


class OutcomeBody(Model):
    """What was done with one item of the list."""

    item_id: str
    outcome: Literal["view", "click", "like", "save", "share", "rate", "implement", "dismiss"]
    value: float | None = Field(None, description="seconds of a view, stars of a rating")
    occurred_at: datetime | None = Field(None, description="when it happened; now, where it is missing")


class PastEventBody(Model):
    """An event of this user."""

    item_id: str
    interaction_type: str
    value: float | None = Field(None, description="seconds of a view, stars of a rating")
    occurred_at: datetime
    context: dict[str, Any] | None = None
    request_id: str | None = Field(None, description="of the list that led to it")


class Pin(Model):
    """An item at a rank. Hidden, excluded and seen items are not shown, pinned or not."""

    type: Literal["pin"]
    item_id: str
    rank: int = Field(description="1 is the first")


class PointBody(Model):
    """One point of the chart."""

    at: datetime
    rate: float = Field(description="lists a second")
    p95: float | None = Field(None, description="milliseconds")


class PredictBody(Model):
    """The user, and the items to score."""

    user_id: str
    item_ids: list[str]
    strategy: str = Field("auto", description="as for recommendations")


class PredictionBody(Model):
    """Scores in the order of the request, by exactly one model version: in a split that of the user's group."""

    user_id: str
    items: list[ScoredItem]
    method_used: str = Field(description="a model, `popularity`, or `preferences` (declared ones)")
    model_version: str | None = Field(None, description="null: made from the service's own data")
    degraded: bool = Field(description="made without the live history (no database), or without the strategy asked for")


class ProblemBody(Model):
    """The body of every error response (RFC 9457)."""

    type: str = Field(description="stable name of the kind of problem")
    title: str
    status: int
    detail: str
    instance: str = Field(description="the path of the request")
    request_id: str | None = None
    errors: list[FieldError] | None = Field(None, description="each field that broke a rule")


class ProfileBody(Model):
    """The profile a user declares."""

    role: str | None = None
    categories: list[str] | None = Field(None, description="preferred categories, strongest first")
    attributes: dict[str, str | float | bool | None] | None = Field(
        None,
        description="texts, numbers and truth values by name: `@profile.NAME` of filters and rules, features of versions that learned them",
    )
    opted_out: bool = Field(False, description="no personalisation: popularity only, and nothing personal is recorded")


class PromoteBody(Model):
    """Which version is to be Production, and why."""

    version: str
    reason: str = Field(description="why, for the history")
    force: bool = Field(False, description="promote even if the gate refuses; that is recorded")


class Promotion(Model):
    """The registry operation that made the version Production."""

    at: str | None = None
    by: str | None = None
    reason: str | None = None
    previous_version: str | None = Field(
        None, description="where a rollback, or a deletion of this version, leads; null: nowhere"
    )


class RankBody(Model):
    """The user, the candidates, and the parameters of the list."""

    limit: int | None = Field(None, description="of the best; null: all of them")
    strategy: str = Field("auto", description="as for recommendations")
    lambda_: float | None = Field(
        None,
        alias="lambda",
        description="maximal marginal relevance: 1 the model's order, 0 the most varied; none: the setting `diversity`",
    )
    exclude: list[str] = Field(default_factory=list, description="items to leave out")
    category: list[str] = Field(default_factory=list, description="only items of these categories")
    filter: list[str] = Field(
        default_factory=list, description="only items that match all of them, such as `price<=20 and tags=a|b`"
    )
    exclude_seen: bool = Field(False, description="leave out candidates that the user has seen")
    explain: bool = Field(False, description="a reason for each item")
    fields: list[str] = Field(
        default_factory=list,
        description="fields of the catalogue that each item carries: title, text, categories, or any attribute",
    )
    context: dict[str, str | float | bool | None] | None = Field(
        None, description="what is known of this request: features of versions that learned them"
    )
    profile: dict[str, str | float | bool | None] | None = Field(
        None, description="attributes of the user, in place of the stored ones"
    )
    user_id: str
    items: list[str] = Field(description="candidates; one that is given twice counts once")


class RankedBody(Model):
    """The candidates, best first, ordered by exactly one model version."""

    user_id: str
    items: list[RecommendedItem]
    left_out: list[LeftOut] = Field(description="candidates that are not listed, and why")
    method_used: str = Field(description="a model, `popularity`, or `preferences` (declared ones)")
    model_version: str | None = Field(None, description="null: made from the service's own data")
    diversity_score: float | None = Field(
        None, description="1 minus the mean similarity of the items' pairs; null for fewer than two items"
    )
    rules_applied: list[str] = Field(description="business rules that had a part in this list, by name")
    degraded: bool = Field(description="made without the live history: the database was unavailable")
    experiment: ExperimentBody | None = Field(None, description="null: outside any experiment")
    request_id: str = Field(description="to be sent with feedback on this list")
    unlearned: list[str] | None = Field(
        None,
        description="names of `context` and `profile` that the version does not look at, and values that it was not trained with; only where there are any",
    )


class RankedItem(Model):
    """One item of a list made for a user."""

    item_id: str
    score: float = Field(description="comparable within one list only")
    title: str | None = None
    reason: str | None = None
    fields: dict[str, Any] | None = Field(None, description="those that the request named")
    rank: int = Field(description="1 is the best")
    propensity: float = Field(1.0, description="chance with which the item is shown at this rank")


class Ready(Model):
    """The service can make lists. `degraded`: what is unavailable, and what it does without."""

    status: Literal["ready"] = "ready"
    model_version: str | None = Field(None, description="null: fallback models serve")
    degraded: list[str] = Field(description="what is wrong, one sentence each")
    conditions: list[ConditionBody] = Field(description="the same, with names and remedies")


class ReceiptBody(Model):
    """The events are on disk."""

    stored: int = Field(description="events that are new")
    duplicates: int = Field(description="events whose idempotency key was known")
    ignored: int = Field(description="events of users who opted out, or from before they were erased: nothing was kept")


class RecommendationsBody(Model):
    """A list, best item first, made by exactly one model version."""

    user_id: str
    items: list[RankedItem]
    method_used: str = Field(description="a model, `popularity`, or `preferences` (declared ones)")
    model_version: str | None = Field(None, description="null: made from the service's own data")
    diversity_score: float | None = Field(
        None, description="1 minus the mean similarity of the items' pairs; null for fewer than two items"
    )
    rules_applied: list[str] = Field(description="business rules that had a part in this list, by name")
    degraded: bool = Field(description="made without the live history (no database), or without the strategy asked for")
    experiment: ExperimentBody | None = Field(None, description="null: outside any experiment")
    request_id: str = Field(description="to be sent with feedback on this list")
    unlearned: list[str] | None = Field(
        None,
        description="names of `context` and `profile` that the version does not look at, and values that it was not trained with; only where there are any",
    )
    next: str | None = Field(
        None, description="the `cursor` of the next page; null: no more. Only where the request has a `cursor`"
    )


class RecommendedItem(Model):
    """One item of a list."""

    item_id: str
    score: float = Field(description="comparable within one list only")
    title: str | None = None
    reason: str | None = None
    fields: dict[str, Any] | None = Field(None, description="those that the request named")


class RecommendedUser(Model):
    """One user."""

    user_id: str
    score: float = Field(description="comparable within one list only")


class RecommendedUsersBody(Model):
    """Users to whom the item should be recommended, best first, by exactly one model version."""

    item_id: str
    users: list[RecommendedUser]
    method_used: str = Field(description="the reverse model; content or activity where too few users liked the item")
    model_name: str
    model_version: str | None = None


class RegistryBody(Model):
    """The registry, as the sync process last copied it."""

    copied_at: datetime
    versions: list[VersionBody] = Field(description="newest first")
    changes: list[ChangeBodyOutput] = Field(description="newest first, at most 20")


class Reloading(Model):
    """A poll of the registry was requested."""

    status: str = "looking"
    version: str | None = Field(None, description="the version that serves now")


class ReverseModelBody(Model):
    """The model that ranks users for an item; without a version they are ranked by content."""

    name: str
    version: str | None = Field(None, description="null: none is served; users are ranked by content")
    algorithm: str | None = None
    served_since: datetime | None = Field(None, description="when this process swapped it in")
    promotion: Promotion | None = Field(None, description="null: none is served")
    staged_version: str | None = Field(None, description="Production in the registry at the last poll; null: none")
    registry_looked_at: datetime | None = Field(None, description="when the registry was last polled")
    trained_until: int | None = Field(None, description="time of the newest interaction it was trained on")
    n_items: int | None = Field(None, description="items it can rank users for")
    n_users: int | None = Field(None, description="users it can list")
    failing: Failing | None = Field(None, description="a staged version that cannot be served, and why")


class RollbackBody(Model):
    """Where to go back to, and why."""

    to: str | None = Field(None, description="a version; null: what was Production before")
    reason: str = Field(description="why, for the history")


class RuleBody(Model):
    """A rule as it is."""

    name: str
    action: Exclude | Include | Cap | Pin | Boost | Bury | Floor | Objective
    target: Target
    starts_at: datetime | None = Field(None, description="null: at once")
    ends_at: datetime | None = Field(None, description="null: until it is deleted")
    enabled: bool
    note: str
    state: Literal["active", "scheduled", "ended", "disabled"] = Field(description="whether it holds now")
    version: int = Field(description="of all rules, when this one was changed last")
    changed_at: datetime
    changed_by: str = Field(description="name of the API key, or token")


class RuleContentBodyInput(Model):
    """A rule without its name."""

    action: Exclude | Include | Cap | Pin | Boost | Bury | Floor | Objective
    target: Target | None = Field(None, description="the lists it holds for; all by default")
    starts_at: datetime | None = Field(None, description="from when on; null: at once")
    ends_at: datetime | None = Field(None, description="until when; null: until it is deleted")
    enabled: bool = True
    note: str = Field("", description="for other editors")


class RuleContentBodyOutput(Model):
    """A rule without its name."""

    action: Exclude | Include | Cap | Pin | Boost | Bury | Floor | Objective
    target: Target | None = Field(None, description="the lists it holds for; all by default")
    starts_at: datetime | None = Field(None, description="from when on; null: at once")
    ends_at: datetime | None = Field(None, description="until when; null: until it is deleted")
    enabled: bool = True
    note: str = Field("", description="for other editors")


class RulesBody(Model):
    """All rules, in the order of their names."""

    version: int = Field(description="of the rules: every change makes one")
    rules: list[RuleBody]


class RulesChangedBody(Model):
    """The change is on disk, and holds for the next list of every worker."""

    version: int = Field(description="of the rules, after the change")


class RulesVersionBody(Model):
    """A version of the rules: what changed, when, and by whom."""

    version: int
    changed_at: datetime
    changed_by: str
    changes: list[ChangeOfRuleBody]


class RulesVersionsBody(Model):
    """A page of versions, newest first."""

    versions: list[RulesVersionBody]
    next: int | None = Field(None, description="`before` of the next page; null: no more")


class SampleUser(Model):
    """A user that the served version was trained on."""

    user_id: str
    interactions: int = Field(description="interactions it was trained on")


class ScoredItem(Model):
    """An item and its score."""

    item_id: str
    score: float = Field(description="comparable within one response only")


class ServedBody(Model):
    """The version that serves."""

    version: str | None = Field(None, description="null: models made from the service's own data")
    algorithm: str
    served_since: datetime = Field(description="when this process swapped it in")
    promotion: Promotion | None = Field(None, description="null: fallback models serve")
    trained_at: datetime | None = None
    n_users: int
    n_items: int


class SessionBody(Model):
    """The caller and the service, as a page needs to know them."""

    role: Literal["client", "service", "admin"] = Field(description="what the caller may do")
    name: str = Field(description="name of the key, or `open` where none is needed")
    user_id: str | None = Field(None, description="the user of the caller's token; null: any")
    guarded: bool = Field(description="whether the service wants a key or token")
    database: bool = Field(description="whether events and profiles can be stored")
    model_version: str | None = Field(None, description="null: fallback models serve, or nothing")
    users: list[SampleUser] = Field(
        description="some users with long, usual and short histories; empty below the role service"
    )
    categories: list[str] = Field(description="those of most items, at most 50")


class SessionHistoryBody(Model):
    """The history, and the parameters of the list."""

    limit: int = Field(10, description="items wanted; at most `max_limit` of the settings")
    strategy: str = Field("auto", description="as for recommendations")
    lambda_: float | None = Field(
        None,
        alias="lambda",
        description="maximal marginal relevance: 1 the model's order, 0 the most varied; none: the setting `diversity`",
    )
    exclude: list[str] = Field(default_factory=list, description="items to leave out")
    category: list[str] = Field(default_factory=list, description="only items of these categories")
    filter: list[str] = Field(
        default_factory=list, description="only items that match all of them, such as `price<=20 and tags=a|b`"
    )
    exclude_seen: bool = Field(True, description="leave out items that the user has seen")
    explain: bool = Field(False, description="a reason for each item")
    fields: list[str] = Field(
        default_factory=list,
        description="fields of the catalogue that each item carries: title, text, categories, or any attribute",
    )
    context: dict[str, str | float | bool | None] | None = Field(
        None, description="what is known of this request: features of versions that learned them"
    )
    profile: dict[str, str | float | bool | None] | None = Field(
        None, description="attributes of the user, in place of the stored ones"
    )
    items: list[SessionItem]
    store_as: str | None = Field(
        None,
        description="store the items as events of this user, and the list as shown to them; null: nothing is stored",
    )
    store_type: Literal["view", "click", "like", "save", "share", "rate", "implement", "dismiss"] = Field(
        "click", description="the type of the events that `store_as` stores"
    )


class SessionItem(Model):
    """An item of the session."""

    item_id: str
    weight: float = Field(1.0, description="how much it was liked; 0 or less: dismissed, it counts as seen alone")
    occurred_at: datetime | None = Field(
        None, description="when; without it the items are in their order, oldest first"
    )


class SessionListBody(Model):
    """A list, best item first, made by exactly one model version."""

    user_id: str | None = Field(None, description="`store_as` of the request")
    items: list[RecommendedItem]
    unknown_items: list[str] = Field(description="items of the session that were of no use")
    method_used: str = Field(description="a model, or `popularity`")
    model_version: str | None = Field(None, description="null: made from the service's own data")
    diversity_score: float | None = Field(
        None, description="1 minus the mean similarity of the items' pairs; null for fewer than two items"
    )
    rules_applied: list[str] = Field(description="business rules that had a part in this list, by name")
    degraded: bool = Field(description="hidden items are those last read, because the database was unavailable")
    request_id: str = Field(description="to be sent with feedback on this list")
    unlearned: list[str] | None = Field(
        None,
        description="names of `context` and `profile` that the version does not look at, and values that it was not trained with; only where there are any",
    )


class ShareBody(Model):
    """Which users the version in Staging is shown to."""

    share: float = Field(description="of the users; 0 ends the experiment")
    mode: Literal["split", "shadow", "bandit", "contextual", "interleave"] = Field(
        "split", description="how the two are compared"
    )


class ShareSetBody(Model):
    """The experiment as the service follows it, within two seconds."""

    experiment: str
    production: int
    challenger: int
    share: float
    mode: str


class SimilarItemsBody(Model):
    """Items similar to the given ones, most similar first, by exactly one model version."""

    item_ids: list[str] = Field(description="the item, and the rest of the basket")
    items: list[RecommendedItem] = Field(description="`score` is the mean cosine with the given items")
    method_used: str = Field(description="what similarity is made of: item vectors, categories, or co-occurrence")
    model_version: str | None = Field(None, description="null: made from the service's own data")
    diversity_score: float | None = Field(
        None, description="1 minus the mean similarity of the items' pairs; null for fewer than two items"
    )
    rules_applied: list[str] = Field(description="business rules that had a part in this list, by name")
    degraded: bool = Field(description="hidden items are those last read, because the database was unavailable")
    user_id: str | None = Field(None, description="null where the request names no user")
    request_id: str = Field(description="to be sent with feedback on this list")
    next: str | None = Field(None, description="the `cursor` of the next page, where the request has a `cursor`")


class StatisticsBody(Model):
    """Statistics of an item."""

    item_id: str
    total: int = Field(description="events")
    counts: dict[str, int] = Field(description="events by type")
    users: int = Field(description="distinct users with an event")
    shown: int = Field(description="times it was in a list")
    clicked: int = Field(description="lists that led to a click on it")
    click_through_rate: float | None = Field(None, description="clicked / shown; null before it was shown")
    implementation_rate: float | None = Field(None, description="share of its users who implemented it")
    mean_label: float | None = Field(None, description="mean weight of its events")


class Target(Model):
    """The lists that a rule holds for; what is empty stands for all."""

    lists: list[Literal["recommendations", "similar", "popular", "trending", "latest", "session", "rank", "batch"]] = (
        Field(default_factory=list, description="kinds of lists")
    )
    segments: list[Literal["cold", "warm", "hot"]] = Field(default_factory=list, description="segments of users")
    categories: list[str] = Field(default_factory=list, description="lists filtered to one of these categories")


class TrainedRowBody(Model):
    """An interaction that the served version was trained on."""

    item_id: str
    weight: float = Field(description="0 or less: seen, and not liked")
    occurred_at: datetime


class TrainedVersion(Model):
    """A registered version that was trained on this user."""

    name: str
    version: str


class TrendsBody(Model):
    """A list, best item first."""

    items: list[RecommendedItem]
    method_used: Literal["popular", "trending", "latest", "popularity"] = Field(
        description="popular where nothing is trending, popularity (in training) where no event is in the window"
    )
    model_version: str | None = Field(None, description="null: made from live events or the catalogue")
    diversity_score: float | None = Field(
        None, description="1 minus the mean similarity of the items' pairs; null for fewer than two items"
    )
    rules_applied: list[str] = Field(description="business rules that had a part in this list, by name")
    degraded: bool = Field(description="events or hidden items are those last read: the database was unavailable")
    user_id: str | None = Field(None, description="null where the request names no user")
    request_id: str = Field(description="to be sent with feedback on this list")
    next: str | None = Field(None, description="the `cursor` of the next page, where the request has a `cursor`")


class UncertainBody(Model):
    """An item that waits for a person's label."""

    item_id: str
    title: str
    text: str
    predicted: dict[str, float] = Field(description="categories with their confidences")
    confidence: float
    model_version: str


class UserPatternsBody(Model):
    """What is learned of a user from training and from events up to now; all empty where they opted out."""

    user_id: str
    taste: dict[str, float] = Field(
        description="share of each category in what this user liked, by weight, greatest first"
    )
    liked: int = Field(description="items that the taste is made from")
    events: int = Field(description="live events, at most the newest 2,000")
    by_type: dict[str, int] = Field(description="these events by type")
    by_hour: list[int] = Field(description="by hour of the day, UTC, from 0")
    by_weekday: list[int] = Field(description="by day of the week, Monday first")
    active_days: int = Field(description="days (UTC) with an event")
    last_at: datetime | None = Field(None, description="of the last event")
    updated_at: datetime = Field(description="when this was learned")


class UserScores(Model):
    """The scores of one user, in the order of the items."""

    user_id: str
    scores: list[float] = Field(description="comparable within one user only")
    method_used: str = Field(description="a model, `popularity`, or `preferences` (declared ones)")
    model_version: str | None = Field(None, description="in a split the one of the user's group")


class UserStatisticsBody(Model):
    """Counts and rates of a user's events."""

    user_id: str
    total: int = Field(description="events")
    counts: dict[str, int] = Field(description="events by type")
    items: int = Field(description="distinct items with an event")
    implementation_rate: float | None = Field(None, description="share of these items that were implemented")
    mean_engagement: float | None = Field(None, description="mean weight of the events; null without one")
    first_at: datetime | None = Field(None, description="of the first event")
    last_at: datetime | None = Field(None, description="of the last event")


class VersionBody(Model):
    """A registered version, as the registry had it when it was last copied."""

    version: str
    stage: str = Field(description="Production, Staging, Archived or None")
    algorithm: str
    created_at: datetime
    data: str
    comparable: bool = Field(description="whether it was tested on the same rows as Production")
    figures: dict[str, float] = Field(description="metrics of its test rows")
    gate: str = Field(description="passed, refused or forced; empty before it was judged")
    gate_at: str
    gate_reasons: list[str]
    experiment: dict[str, str] = Field(description="tags of its experiment")
