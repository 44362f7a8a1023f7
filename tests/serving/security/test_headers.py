"""Security headers, and the origins that browsers may call from."""

from __future__ import annotations

from tests.serving.security.credentials import CLIENT, KEYS, LIST


def test_security_headers_are_on_every_response(guarded):
    for answered in (guarded.get(LIST, headers=CLIENT), guarded.get(LIST), guarded.get("/api/nothing", headers=CLIENT)):
        assert answered.headers["x-content-type-options"] == "nosniff"
        assert answered.headers["content-security-policy"] == "default-src 'none'"
        assert answered.headers["cache-control"] == "no-store"
        assert "server" not in answered.headers


def test_browsers_may_call_from_the_origins_of_the_setting_only(pointer, serve):
    preflight = {"access-control-request-method": "GET", "access-control-request-headers": "x-api-key"}
    with serve(pointer, api_keys=KEYS, cors_origins=["https://shop.example"]) as client:
        ours = client.options(LIST, headers={"origin": "https://shop.example", **preflight})
        theirs = client.options(LIST, headers={"origin": "https://evil.example", **preflight})
        read = client.get(LIST, headers={"origin": "https://shop.example", **CLIENT})
    assert ours.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in theirs.headers
    assert read.headers["access-control-allow-origin"] == "https://shop.example"
