"""Keys, tokens and roles: which callers may send a request, and for which user."""

from __future__ import annotations

import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from recstage.errors import ConfigError
from serving.security import authentication
from serving.settings import ServingSettings
from tests.serving.security.credentials import ADMIN, CLIENT, KEYS, LIST, SECRET, SERVICE, token


def test_without_a_key_every_request_is_refused(guarded):
    answered = guarded.get(LIST)
    assert (answered.status_code, answered.headers["www-authenticate"]) == (401, "Bearer")
    assert "X-API-Key" in answered.json()["detail"]
    assert guarded.get("/health/live").status_code == 200
    assert guarded.get("/health/ready").status_code == 200


@pytest.mark.parametrize("headers", [CLIENT, SERVICE, ADMIN, token(), token(role="admin")])
def test_a_key_or_token_is_accepted(guarded, headers):
    assert guarded.get(LIST, headers=headers).status_code == 200


def test_a_key_is_accepted_as_a_bearer_token(guarded):
    assert guarded.get(LIST, headers={"authorization": "Bearer a-client-key-of-24-chars"}).status_code == 200


def test_one_token_is_verified_once_and_cached_until_it_expires(guarded, monkeypatch):
    verified = []
    decode = jwt.decode
    monkeypatch.setattr(
        "serving.security.authentication.jwt.decode", lambda *given, **how: verified.append(1) or decode(*given, **how)
    )
    headers = token(exp=time.time() + 1.5)
    assert guarded.get(LIST, headers=headers).status_code == 200
    assert guarded.get(LIST, headers=headers).status_code == 200
    assert len(verified) == 1
    time.sleep(1.6)
    assert guarded.get(LIST, headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({"x-api-key": "wrong"}, "The API key is unknown"),
        ({"x-api-key": ""}, "The API key is empty."),
        ({"authorization": "Bearer "}, "The API key is empty."),
        ({"authorization": "Basic abc"}, "must read 'Bearer <token>'"),
        ({"authorization": "Bearer a.b.c"}, "The token is not valid"),
        (token(exp=time.time() - 5), "The token has expired"),
        (token(exp=None), "The token is not valid"),
        (token("x" * 40), "The token is not valid"),
        (token(role="root"), "claim 'role' must be one of client, service, admin"),
        (token(nbf=time.time() + 3000), "The token is not valid"),
        (token("x" * 64, "HS512"), "Tokens are signed with HS256"),
        (token("", "none"), "Tokens are signed with HS256"),
    ],
)
def test_a_wrong_key_or_token_is_refused(guarded, headers, sentence):
    answered = guarded.get(LIST, headers=headers)
    assert answered.status_code == 401
    assert answered.headers["content-type"] == "application/problem+json"
    assert sentence in answered.json()["detail"]


def test_rs256_tokens_are_checked_against_the_public_key_and_its_audience(pointer, serve, tmp_path):
    key, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    pem = tmp_path / "public.pem"
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem.write_bytes(public)
    with serve(pointer, jwt_public_key=str(pem), jwt_audience="recstage") as client:
        statuses = [
            client.get(LIST, headers=headers).status_code
            for headers in (
                token(key, "RS256", aud="recstage"),
                token(key, "RS256", aud="another"),
                token(key, "RS256"),
                token(other, "RS256", aud="recstage"),
                # the classic: the public key used as the secret of a symmetric signature
                {"authorization": "Bearer " + _forged(public)},
            )
        ]
    assert statuses == [200, 401, 401, 401, 401]


def _forged(public: bytes) -> str:
    import base64
    import hmac

    def part(value: dict) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "typ": "JWT"}) + b"." + part({"role": "admin", "exp": 4e9, "aud": "recstage"})
    signature = base64.urlsafe_b64encode(hmac.new(public, signed, "sha256").digest()).rstrip(b"=")
    return (signed + b"." + signature).decode()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("get", LIST, {"client", "service", "admin"}),
        ("get", "/api/model", {"client", "service", "admin"}),
        ("get", "/api/items/i1/recommended-users", {"service", "admin"}),
        ("get", "/metrics", {"service", "admin"}),
        ("post", "/api/model/reload", {"admin"}),
    ],
)
def test_each_route_needs_its_role(guarded, method, path, allowed):
    for role, headers in (("client", CLIENT), ("service", SERVICE), ("admin", ADMIN)):
        answered = guarded.request(method, path, headers=headers)
        assert (answered.status_code < 300) == (role in allowed), (role, answered.text)
        if role not in allowed:
            assert answered.status_code == 403
            assert f"the caller has the role {role}" in answered.json()["detail"]


def test_a_token_for_one_user_is_refused_for_another(guarded):
    mine = token(user_id="u5")
    assert guarded.get(LIST, headers=mine).status_code == 200
    assert guarded.get("/api/recommendations?user_id=u6", headers=mine).status_code == 403
    body = {"user_id": "u6", "item_ids": ["i1"]}
    assert guarded.post("/api/predict", json=body, headers=mine).status_code == 403


def test_an_unguarded_service_answers_to_local_names_only(pointer, serve):
    with serve(pointer) as client:
        assert client.get(LIST, headers={"host": "localhost:8000"}).status_code == 200
        assert client.get(LIST, headers={"host": "[::1]:8000"}).status_code == 200
        answered = client.get(LIST, headers={"host": "evil.example"})
    assert answered.status_code == 403
    assert "localhost and 127.0.0.1 only" in answered.json()["detail"]


def test_an_open_address_needs_a_key():
    with pytest.raises(ConfigError, match="binds to loopback only"):
        ServingSettings(host="0.0.0.0").check_binding()
    with pytest.raises(ConfigError, match="binds to loopback only"):
        ServingSettings(host="my-host").check_binding()
    ServingSettings(host="0.0.0.0", api_keys=KEYS).check_binding()
    ServingSettings(host="::1").check_binding()


def test_no_more_tokens_are_cached_than_the_bound(monkeypatch):
    monkeypatch.setattr(authentication, "MAX_TOKENS", 3)
    verified = []
    decode = jwt.decode
    monkeypatch.setattr(
        "serving.security.authentication.jwt.decode", lambda *given, **how: verified.append(1) or decode(*given, **how)
    )
    authenticate = authentication.Authenticator(ServingSettings(jwt_secret=SECRET))
    tokens = [token(sub=f"s{n}")["authorization"].encode() for n in range(5)]
    for one in tokens:
        assert authenticate(None, one).bucket
    assert (len(authenticate._tokens), len(verified)) == (3, 5)
    authenticate(None, tokens[4])
    assert len(verified) == 5, "the last is cached"
    authenticate(None, tokens[0])
    assert len(verified) == 6, "the first was dropped"
    assert len(authenticate._tokens) == 3
