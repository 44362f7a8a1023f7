"""Secrets that are none are refused at the start, without being repeated."""

import hashlib
import json

import pytest

from recstage.errors import ConfigError
from serving.secret_strength import is_digest_of_nothing, weakness_of
from serving.settings import load

STRONG = "Vq7-kT9xW2mZp4_hR8aD3sYf6uJ1cB5n"
WEAK = ["a" * 40, "changeme" * 5, "changeme-changeme-changeme-12345", "your-secret-key-here-please-change", "0123" * 10]


@pytest.mark.parametrize("secret", WEAK)
@pytest.mark.parametrize("setting", ["JWT_SECRET", "WEBHOOK_SECRET", "API_KEYS"])
def test_a_placeholder_is_refused_wherever_it_stands(monkeypatch, setting, secret):
    value = json.dumps([{"name": "web", "role": "admin", "key": secret}]) if setting == "API_KEYS" else secret
    monkeypatch.setenv(f"RECSTAGE_SERVING_{setting}", value)
    with pytest.raises(ConfigError) as caught:
        load([])
    assert "the secret" in str(caught.value)
    assert secret not in str(caught.value)


@pytest.mark.parametrize("secret", [STRONG, "a-client-key-of-24-chars", "correct horse battery staple"])
def test_what_is_a_secret_passes(secret):
    assert weakness_of(secret) is None


@pytest.mark.parametrize("text", ["", "changeme", "password"])
def test_the_digest_of_no_key_is_refused(monkeypatch, text):
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert is_digest_of_nothing(digest)
    monkeypatch.setenv("RECSTAGE_SERVING_API_KEYS", json.dumps([{"name": "a", "role": "admin", "sha256": digest}]))
    with pytest.raises(ConfigError, match="the digest of an empty text or a common word"):
        load([])


def test_one_key_has_one_holder(monkeypatch):
    digest = hashlib.sha256(STRONG.encode()).hexdigest()
    keys = [{"name": "web", "key": STRONG}, {"name": "ops", "role": "admin", "sha256": digest}]
    monkeypatch.setenv("RECSTAGE_SERVING_API_KEYS", json.dumps(keys))
    with pytest.raises(ConfigError, match="'web' and 'ops' are the same key"):
        load([])
