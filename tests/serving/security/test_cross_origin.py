"""Pages of other origins can change nothing in a service without keys."""

from __future__ import annotations

import pytest

from serving.errors import Problem
from serving.security.cross_origin import check_origin
from tests.serving.doubles import FakePointer

HOST = {b"host": b"127.0.0.1:8000"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"sec-fetch-site": b"same-origin"},
        {b"sec-fetch-site": b"none"},
        {b"origin": b"http://127.0.0.1:8000"},
        {b"sec-fetch-site": b"cross-site", b"origin": b"https://shop.example"},
    ],
    ids=["program", "own page", "typed in", "own page of an old browser", "allowed origin"],
)
def test_these_may_change_something(headers):
    check_origin("POST", {**HOST, **headers}, {b"https://shop.example"})


@pytest.mark.parametrize(
    "headers",
    [
        {b"sec-fetch-site": b"cross-site"},
        {b"sec-fetch-site": b"same-site", b"origin": b"http://127.0.0.1:9999"},
        {b"origin": b"http://127.0.0.1:9999"},
        {b"origin": b"null"},
        {b"sec-fetch-site": b"cross-site", b"origin": b"http://127.0.0.1:8000"},
    ],
    ids=["other site", "other port", "other port of an old browser", "sandboxed frame", "contradiction"],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_these_may_not(method, headers):
    with pytest.raises(Problem, match="cors_origins") as refused:
        check_origin(method, {**HOST, **headers}, {b"https://shop.example"})
    assert refused.value.status == 403
    check_origin("GET", {**HOST, **headers}, frozenset())


def test_a_service_without_keys_refuses_them_and_one_with_keys_trusts_the_key(serve):
    forged = {"sec-fetch-site": "cross-site"}
    with serve(FakePointer()) as client:
        assert client.post("/api/model/reload", headers=forged).status_code == 403
        assert client.post("/api/model/reload").status_code == 202
    keys = [{"name": "a", "role": "admin", "key": "a-Strong-one-4-tests9"}]
    with serve(FakePointer(), api_keys=keys) as client:
        headers = {**forged, "x-api-key": "a-Strong-one-4-tests9"}
        assert client.post("/api/model/reload", headers=headers).status_code == 202
