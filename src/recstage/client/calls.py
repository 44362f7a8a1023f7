"""One request as a value, and what sends it."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter

T = TypeVar("T", bound=BaseModel)
_JSON: TypeAdapter[Any] = TypeAdapter(Any)


class Unset(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Stands for a field that is not sent, where None is sent as null."""


@dataclass(frozen=True)
class Call:
    """A request. `keyed`: it takes an idempotency key; `repeatable`: it may be sent again where no answer came."""

    method: str
    template: str
    path: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    idempotency_key: str | None = None
    keyed: bool = False
    repeatable: bool = True

    @property
    def url(self) -> str:
        """The path with its ids: any characters of them are theirs, slashes included."""
        return self.template.format_map({name: quote(str(value), safe="") for name, value in self.path.items()})

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """The query: what is None is left out, a sequence is repeated, and of a mapping each entry is name[key]."""
        pairs: list[tuple[str, str]] = []
        flat: dict[str, Any] = {}
        for name, value in self.query.items():
            flat |= (
                {f"{name}[{key}]": one for key, one in value.items()} if isinstance(value, Mapping) else {name: value}
            )
        for name, value in flat.items():
            several = isinstance(value, Sequence) and not isinstance(value, str)
            values = [one for one in (value if several else [value]) if one is not None]
            pairs += [(name, str(one).lower() if isinstance(one, bool) else str(one)) for one in values]
        return tuple(pairs)

    @property
    def content(self) -> bytes | None:
        """The body as JSON; None where there is none. Fields that were not given are left out."""
        return None if self.body is None else _JSON.dump_json(_plain(self.body))


def _plain(value: Any) -> Any:
    """A body without what was not given: UNSET, and fields of models that were not set."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {name: _inside(one) for name, one in value.items() if one is not UNSET}
    return _inside(value)


def _inside(value: Any) -> Any:
    if isinstance(value, BaseModel | Mapping):
        return _plain(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_inside(one) for one in value]
    return value


def given(fields: Mapping[str, Any], nullable: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a body that were given: not UNSET, and not None but where null is a value."""
    return {
        name: value for name, value in fields.items() if value is not UNSET and (value is not None or name in nullable)
    }


class Sender:
    """Sends calls, and waits for the answers."""

    def send(self, call: Call, answer: type[T]) -> T:
        """The answer to a call. Raises `ClientError`."""
        raise NotImplementedError

    def send_only(self, call: Call) -> None:
        """Send a call that is answered without a body. Raises `ClientError`."""
        raise NotImplementedError


class AsyncSender:
    """Sends calls; the answers are to be awaited."""

    async def send(self, call: Call, answer: type[T]) -> T:
        """The answer to a call. Raises `ClientError`."""
        raise NotImplementedError

    async def send_only(self, call: Call) -> None:
        """Send a call that is answered without a body. Raises `ClientError`."""
        raise NotImplementedError
