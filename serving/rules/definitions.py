"""What an editor may write: a business rule as a value, checked when it is made and read from the database as it was.

    exclude   no item that the filter matches              include   only items that the filter matches
    cap       at most `most` items with the same value     pin       an item at a rank, 1 being the first
    boost     items that the filter matches move up        bury      ... move down
    floor     a share of the list of new items (or of items that a filter of its own matches)
    objective items move by a number of theirs (cost, quality, risk), weighted against relevance

A rule holds for all lists, or for those its target names; from `starts_at` until `ends_at`; while it is enabled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter

from recstage.errors import InputError
from serving.rules.query import Filter, InvalidFilter, parse

ListKind = Literal["recommendations", "similar", "popular", "trending", "latest", "session", "rank", "batch"]
LIST_KINDS: tuple[str, ...] = get_args(ListKind)
Segment = Literal["cold", "warm", "hot"]
NAME_PATTERN = "^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$"
RESERVED_NAMES = frozenset({"versions"})
NEW = "age_days<=30"
MAX_WEIGHT = 10.0


def _readable(text: str) -> str:
    try:
        parse(text)
    except InvalidFilter as error:
        raise ValueError(str(error)) from None
    return text


def _plain_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("This must be Unicode text without lone surrogates") from None
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("This must not hold control characters such as NUL or a line break")
    return text


_FILTER = Field(min_length=1, max_length=500, examples=["category=Horror and price<=20"])
FilterText = Annotated[str, AfterValidator(_plain_text), AfterValidator(_readable), _FILTER]
Weight = Annotated[float, Field(gt=0, le=MAX_WEIGHT, allow_inf_nan=False, examples=[0.3])]
_Name = Annotated[str, AfterValidator(_plain_text), Field(min_length=1, max_length=128)]
_ItemId = Annotated[str, AfterValidator(_plain_text), Field(min_length=1, max_length=256, examples=["2858"])]


class _Strict(BaseModel):
    """Base: immutable, unknown fields refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Exclude(_Strict):
    """No item that the filter matches is listed."""

    type: Literal["exclude"] = Field(examples=["exclude"])
    filter: FilterText


class Include(_Strict):
    """Only items that the filter matches are listed."""

    type: Literal["include"] = Field(examples=["include"])
    filter: FilterText


class Cap(_Strict):
    """At most `most` items of a list have the same value of an attribute; of a list attribute, each of its values."""

    type: Literal["cap"] = Field(examples=["cap"])
    attribute: _Name = Field(description="category, or any attribute of the catalogue", examples=["category"])
    most: int = Field(ge=1, le=1000, strict=True, examples=[2])


class Pin(_Strict):
    """An item at a rank. Hidden, excluded and seen items are not shown, pinned or not."""

    type: Literal["pin"] = Field(examples=["pin"])
    item_id: _ItemId
    rank: int = Field(ge=1, le=1000, strict=True, description="1 is the first", examples=[1])


class Boost(_Strict):
    """Items that the filter matches score higher, by `weight` times the range of the candidates' scores."""

    type: Literal["boost"] = Field(examples=["boost"])
    filter: FilterText
    weight: Weight = Field(description="1 lifts the last candidate to the first")


class Bury(_Strict):
    """Items that the filter matches score lower, by `weight` times the range of the candidates' scores."""

    type: Literal["bury"] = Field(examples=["bury"])
    filter: FilterText
    weight: Weight = Field(description="1 lowers the first candidate to the last")


class Floor(_Strict):
    """At least a share of a list is new items, as far as there are so many."""

    type: Literal["floor"] = Field(examples=["floor"])
    filter: FilterText = Field(NEW, description="which items are new")
    share: float = Field(gt=0, le=1, allow_inf_nan=False, description="of the list, rounded up", examples=[0.2])


class Objective(_Strict):
    """A further aim beside relevance: items move by their place among all items in one number of theirs."""

    type: Literal["objective"] = Field(examples=["objective"])
    attribute: _Name = Field(description="a number or a boolean of the catalogue, or age_days", examples=["margin"])
    weight: float = Field(
        ge=-MAX_WEIGHT,
        le=MAX_WEIGHT,
        allow_inf_nan=False,
        description="above 0: more is better, below: less; 1 weighs as much as the range of the candidates' scores",
        examples=[0.3],
    )


AnyAction = Exclude | Include | Cap | Pin | Boost | Bury | Floor | Objective
Action = Annotated[AnyAction, Field(discriminator="type")]
KINDS = ("exclude", "include", "cap", "pin", "boost", "bury", "floor", "objective")
_ACTION: TypeAdapter[Any] = TypeAdapter(Action)


class Target(_Strict):
    """The lists that a rule holds for; what is empty stands for all."""

    lists: tuple[ListKind, ...] = Field((), max_length=10, description="kinds of lists", examples=[["recommendations"]])
    segments: tuple[Segment, ...] = Field((), max_length=3, description="segments of users", examples=[["cold"]])
    categories: tuple[_Name, ...] = Field(
        (), max_length=20, description="lists filtered to one of these categories", examples=[["Drama"]]
    )

    def holds_for(self, list_kind: str, segment: str | None, categories: Iterable[str]) -> bool:
        """Whether a list is meant; `segment` None: a list of no user."""
        return (
            (not self.lists or list_kind in self.lists)
            and (not self.segments or segment in self.segments)
            and (not self.categories or not set(self.categories).isdisjoint(categories))
        )

    def overlaps(self, other: Target) -> bool:
        """Whether a list may be meant by both: one list may be filtered to the categories of both."""
        pairs: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
            (self.lists, other.lists),
            (self.segments, other.segments),
        )
        return all(not mine or not theirs or not set(mine).isdisjoint(theirs) for mine, theirs in pairs)


ALL_LISTS = Target()


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by its name. Times in milliseconds since 1970; None: always, or for ever."""

    name: str
    action: AnyAction
    target: Target = ALL_LISTS
    starts_at: int | None = None
    ends_at: int | None = None
    enabled: bool = True
    note: str = ""

    @property
    def filter(self) -> Filter | None:
        """The filter of its action, where it has one."""
        text = getattr(self.action, "filter", None)
        return None if text is None else parse(text)

    def active(self, now: int) -> bool:
        """Whether it holds at `now` (milliseconds since 1970)."""
        begun = self.starts_at is None or self.starts_at <= now
        return self.enabled and begun and (self.ends_at is None or now < self.ends_at)

    def meets(self, other: Rule) -> bool:
        """Whether both may hold for one list at one time."""
        ends = [one.ends_at if one.ends_at is not None else 1 << 62 for one in (self, other)]
        together = (self.starts_at or 0) < ends[1] and (other.starts_at or 0) < ends[0]
        return together and self.enabled and other.enabled and self.target.overlaps(other.target)

    def to_json(self) -> dict[str, Any]:
        """As the database keeps it."""
        return {
            "action": self.action.model_dump(),
            "target": self.target.model_dump(),
            "starts_at": self.starts_at,
            "ends_at": self.ends_at,
            "enabled": self.enabled,
            "note": self.note,
        }

    @classmethod
    def from_json(cls, name: str, stored: dict[str, Any]) -> Rule:
        """The inverse of `to_json`. Raises `pydantic.ValidationError` on what this version does not know."""
        return cls(
            name,
            _ACTION.validate_python(stored["action"]),
            Target.model_validate(stored["target"]),
            stored["starts_at"],
            stored["ends_at"],
            stored["enabled"],
            stored["note"],
        )


class InvalidRule(InputError):
    """A rule that cannot hold: of an unknown item, at a rank that is taken, in the past."""


def check_times(starts_at: int | None, ends_at: int | None, now: int) -> None:
    """Raise `InvalidRule` where a rule would never hold; milliseconds since 1970."""
    if ends_at is not None and ends_at <= now:
        raise InvalidRule(f"ends_at {_moment(ends_at)}", rule="the end is in the past", fix="Give a later end, or null")
    if starts_at is not None and ends_at is not None and starts_at >= ends_at:
        raise InvalidRule(
            f"starts_at {_moment(starts_at)}", rule=f"it ends before, at {_moment(ends_at)}", fix="Exchange the two"
        )


def check_together(rule: Rule, others: Iterable[Rule]) -> None:
    """Raise `InvalidRule` where the rule cannot hold beside the others: two pins at one rank, or of one item."""
    if not isinstance(rule.action, Pin):
        return
    for other in others:
        if other.name == rule.name or not isinstance(other.action, Pin) or not rule.meets(other):
            continue
        if other.action.rank == rule.action.rank:
            raise InvalidRule(
                f"a pin at rank {rule.action.rank}",
                rule=f"the rule '{other.name}' pins item '{other.action.item_id[:80]}' at that rank of the same lists",
                fix="Choose another rank, or other lists or times",
            )
        if other.action.item_id == rule.action.item_id:
            raise InvalidRule(
                f"a pin of item '{rule.action.item_id[:80]}'",
                rule=f"the rule '{other.name}' pins it at rank {other.action.rank} of the same lists",
                fix="Choose other lists or times, or change that rule",
            )


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
