"""Whether a secret is one: no placeholder, no repetition, not a handful of characters."""

from __future__ import annotations

import hashlib
import re

LEAST_DISTINCT = 6
PLACEHOLDERS = (
    *("changeme", "change", "secret", "password", "passwort", "example", "placeholder", "replace", "insert", "your"),
    *("here", "admin", "test", "token", "apikey", "key", "default", "todo", "jwt", "this", "please", "dummy", "sample"),
)
_WORDS = re.compile("|".join(sorted(PLACEHOLDERS, key=len, reverse=True)))
_KNOWN = {hashlib.sha256(word.encode()).hexdigest() for word in ("", " ", *PLACEHOLDERS, *"0123456789")}


def weakness_of(secret: str) -> str | None:
    """Why a secret must not be used, in words that do not repeat it; None where nothing is wrong with it."""
    if len(set(secret)) < LEAST_DISTINCT:
        return f"has fewer than {LEAST_DISTINCT} different characters"
    if secret in (secret + secret)[1:-1]:
        return "is one short text repeated"
    rest = _WORDS.sub("", re.sub(r"[^a-z0-9]", "", secret.lower()))
    if len(set(rest)) < LEAST_DISTINCT and rest != secret.lower():
        return "is a placeholder"
    return None


def is_digest_of_nothing(sha256: str) -> bool:
    """Whether a digest is that of an empty text or of a single common word."""
    return sha256 in _KNOWN
