"""A typed client of the service: `Client`, and `AsyncClient` with the same methods to be awaited (docs/client.md).

    with Client("http://127.0.0.1:8000", api_key="...") as client:
        for item in client.recommendations(user_id="42", limit=5).items:
            print(item.item_id, item.score)

It needs httpx and pydantic, and nothing else of recstage.
"""

from recstage.client.calls import UNSET, Unset
from recstage.client.client import AsyncClient, Client
from recstage.client.errors import (
    ClientError,
    Conflict,
    Forbidden,
    Invalid,
    NoAnswer,
    NotFound,
    ProblemError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnreadableAnswer,
)
from recstage.client.retries import Retries

__all__ = [
    "UNSET",
    "AsyncClient",
    "Client",
    "ClientError",
    "Conflict",
    "Forbidden",
    "Invalid",
    "NoAnswer",
    "NotFound",
    "ProblemError",
    "Retries",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnreadableAnswer",
    "Unset",
]
