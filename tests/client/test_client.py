"""The client against a transport of the test: what is sent, what is sent again, and what is raised."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from recstage.client import (
    AsyncClient,
    Client,
    Conflict,
    Forbidden,
    Invalid,
    NoAnswer,
    NotFound,
    Retries,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnreadableAnswer,
)
from recstage.client import client as module
from recstage.client.models import EventBody
from recstage.client.retries import NEVER

RECEIPT = {"stored": 1, "duplicates": 0, "ignored": 0}
EVENT = {"user_id": "ann", "item_id": "i1", "interaction_type": "like"}


class Service:
    """Answers as it is told, and keeps what it was sent."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers, self.sent = list(answers), []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def problem(status: int, kind: str = "x", **fields: Any) -> httpx.Response:
    headers = {"retry-after": str(fields.pop("retry_after"))} if "retry_after" in fields else {}
    body = {"type": f"/problems/{kind}", "title": "T", "status": status, "detail": "What is wrong.", **fields}
    return httpx.Response(status, json=body, headers=headers)


def client_of(service: Service, **options: Any) -> Client:
    http = httpx.Client(base_url="http://service", transport=httpx.MockTransport(service))
    return Client("http://service", http=http, **options)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; none takes time."""
    made: list[float] = []

    async def wait(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(module.time, "sleep", made.append)
    monkeypatch.setattr(module.asyncio, "sleep", wait)
    return made


OK = httpx.Response(201, json=RECEIPT)


def test_an_event_is_sent_again_with_the_same_idempotency_key(pauses):
    service = Service(problem(503, "store-away", retry_after=1), httpx.ReadTimeout("late"), OK)
    assert client_of(service).post_interactions(EVENT).stored == 1
    keys = [request.headers["idempotency-key"] for request in service.sent]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    assert [request.content for request in service.sent] == [service.sent[0].content] * 3
    assert pauses[0] >= 1.0  # as the service asked


def test_two_events_have_two_keys_and_a_key_that_is_given_is_used():
    service = Service(OK)
    client = client_of(service)
    client.post_interactions(EVENT)
    client.post_interactions(EventBody(**EVENT))
    client.post_interactions(EVENT, idempotency_key="mine")
    first, second, third = (request.headers["idempotency-key"] for request in service.sent)
    assert first != second
    assert third == "mine"
    assert service.sent[1].content == b'{"user_id":"ann","item_id":"i1","interaction_type":"like"}'


def test_pauses_double_up_to_the_longest_and_then_the_problem_is_raised(pauses):
    service = Service(problem(503, "overloaded"))
    with pytest.raises(Unavailable):
        client_of(service, retries=Retries(attempts=5, longest_pause=0.5)).model()
    assert len(service.sent) == 5
    for pause, full in zip(pauses, (0.2, 0.4, 0.5, 0.5), strict=True):
        assert full / 2 <= pause <= full


@pytest.mark.parametrize(
    ("call", "failure", "times"),
    [
        (lambda client: client.delete_user("ann"), httpx.ReadTimeout("late"), 1),
        (lambda client: client.delete_user("ann"), httpx.ConnectError("no route"), 4),
        (lambda client: client.delete_user("ann"), problem(504), 1),
        (lambda client: client.delete_user("ann"), problem(503), 4),
        (lambda client: client.revert_rules(1), httpx.ReadTimeout("late"), 1),
        (lambda client: client.model(), httpx.ReadTimeout("late"), 4),
        (lambda client: client.model(), problem(504), 4),
        (lambda client: client.model(), problem(500), 1),
        (lambda client: client.model(), problem(422), 1),
        (lambda client: client.model(), problem(429, retry_after=31), 1),
    ],
)
def test_a_call_is_sent_again_only_where_that_is_safe_and_may_help(call, failure, times):
    service = Service(failure)
    with pytest.raises((NoAnswer, Invalid, Unavailable, TooManyRequests)):
        call(client_of(service))
    assert len(service.sent) == times


def test_without_retries_a_call_is_sent_once():
    service = Service(problem(503))
    with pytest.raises(Unavailable):
        client_of(service, retries=NEVER).model()
    assert len(service.sent) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthenticated),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, Invalid),
        (422, Invalid),
        (429, TooManyRequests),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_a_problem_is_an_exception_with_its_fields(status, kind):
    fields = {"instance": "/api/model", "request_id": "r1", "errors": [{"where": "query.limit", "rule": "too long"}]}
    service = Service(problem(status, "some-kind", retry_after=3, **fields))
    with pytest.raises(kind) as raised:
        client_of(service, retries=NEVER).model()
    found = raised.value
    assert (found.status, found.kind, found.type) == (status, "some-kind", "/problems/some-kind")
    assert (found.title, found.detail, found.instance) == ("T", "What is wrong.", "/api/model")
    assert (found.request_id, found.retry_after) == ("r1", 3.0)
    assert [(one.where, one.rule) for one in found.errors] == [("query.limit", "too long")]
    assert str(found) == f"{status} some-kind: What is wrong."


def test_an_error_of_a_proxy_is_a_problem_too():
    service = Service(httpx.Response(502, text="<h1>Bad gateway</h1>", headers={"x-request-id": "r2"}))
    with pytest.raises(Unavailable) as raised:
        client_of(service).model()
    assert (raised.value.kind, raised.value.detail, raised.value.request_id) == ("http-error", "Bad Gateway", "r2")


def test_no_answer_names_the_call_and_its_cause():
    with pytest.raises(NoAnswer, match=r"GET /api/items/a%2Fb: no answer, sent once: refused") as raised:
        client_of(Service(httpx.ConnectError("refused")), retries=NEVER).get_item("a/b")
    assert isinstance(raised.value.__cause__, httpx.ConnectError)


def test_an_answer_that_the_document_does_not_know_is_refused_and_further_fields_are_kept():
    assert client_of(Service(httpx.Response(201, json={**RECEIPT, "more": 1}))).post_interactions(EVENT).more == 1
    with pytest.raises(UnreadableAnswer, match=r"POST /api/interactions: the answer is no ReceiptBody"):
        client_of(Service(httpx.Response(201, json={"stored": "many"}))).post_interactions(EVENT)


def test_the_query_holds_what_was_given_and_nothing_else():
    answer = {"user_id": "a", "items": [], "method_used": "als", "model_version": None, "diversity_score": None}
    answer |= {"degraded": False, "request_id": "r", "rules_applied": []}
    service = Service(httpx.Response(200, json=answer))
    client_of(service).recommendations(
        user_id="a&b",
        limit=3,
        lambda_=0.5,
        filter=["x<=1", "y=2"],
        exclude_seen=False,
        explain=None,
        context={"device": "phone", "kiosk": True},
    )
    query = dict(service.sent[0].url.params.multi_items())
    assert query == {"user_id": "a&b", "limit": "3", "lambda": "0.5", "filter": "y=2", "exclude_seen": "false",
                     "context[device]": "phone", "context[kiosk]": "true"}  # fmt: skip
    assert service.sent[0].url.params.get_list("filter") == ["x<=1", "y=2"]


def test_a_body_holds_what_was_given_and_null_where_it_means_something():
    known = {"item_id": "i", "title": "", "text": "", "categories": [], "hidden": False, "expires_at": None}
    service = Service(httpx.Response(200, json={**known, "deleted": False, "attributes": {}}))
    client = client_of(service)
    client.change_item("i", hidden=True)
    client.change_item("i", expires_at=None)
    client.change_item("i", expires_at=datetime(2030, 1, 1, tzinfo=UTC))
    assert [request.content for request in service.sent] == [
        b'{"hidden":true}',
        b'{"expires_at":null}',
        b'{"expires_at":"2030-01-01T00:00:00Z"}',
    ]


def test_a_key_and_a_token_are_sent(monkeypatch):
    headers = [Client("http://x", api_key="k")._http.headers, Client("http://x", token="t")._http.headers]
    assert headers[0]["x-api-key"] == "k"
    assert headers[1]["authorization"] == "Bearer t"


def test_the_asynchronous_client_does_the_same(pauses):
    service = Service(problem(503, retry_after=2), httpx.ReadError("gone"), OK)

    async def post() -> int:
        transport = httpx.MockTransport(service)
        async with AsyncClient("http://x", http=httpx.AsyncClient(base_url="http://x", transport=transport)) as client:
            return (await client.post_interactions(EVENT)).stored

    assert asyncio.run(post()) == 1
    assert len({request.headers["idempotency-key"] for request in service.sent}) == 1
    assert pauses[0] >= 2.0


def methods(kind: type) -> dict[str, Callable]:
    return {name: value for name, value in vars(kind.__mro__[1]).items() if inspect.isfunction(value)}


def test_both_clients_have_the_same_methods_with_the_same_arguments():
    one, other = methods(Client), methods(AsyncClient)
    assert one.keys() == other.keys()
    assert len(one) > 25
    for name, method in one.items():
        assert inspect.signature(method) == inspect.signature(other[name]), name
        assert inspect.iscoroutinefunction(other[name]), name
        assert not inspect.iscoroutinefunction(method), name


def test_the_client_loads_nothing_else_of_recstage():
    import subprocess
    import sys

    code = "import sys, recstage.client; print(sorted(name for name in sys.modules if name.startswith('recstage.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name.startswith("recstage.client") for name in eval(done.stdout)), done.stdout  # noqa: S307
