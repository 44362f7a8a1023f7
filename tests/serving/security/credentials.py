"""API keys of each role, and tokens."""

from __future__ import annotations

import hashlib
import time

import jwt

KEYS = [
    {"name": "web", "role": "client", "key": "a-client-key-of-24-chars"},
    {"name": "shop", "role": "service", "sha256": hashlib.sha256(b"a-service-key-of-25-chars").hexdigest()},
    {"name": "ops", "role": "admin", "key": "an-admin-key-of-24-chars"},
]
CLIENT = {"x-api-key": "a-client-key-of-24-chars"}
SERVICE = {"x-api-key": "a-service-key-of-25-chars"}
ADMIN = {"x-api-key": "an-admin-key-of-24-chars"}
SECRET = "kT9-vQ2x.Lw7_hR4m+Zp1_aD8s/Yf3uJ6"
LIST = "/api/recommendations?user_id=u5"


def token(
    secret: object = SECRET, algorithm: str = "HS256", headers: dict | None = None, **claims: object
) -> dict[str, str]:
    """The header of a bearer token with these claims; a claim that is None is left out."""
    claims = {"role": "client", "exp": time.time() + 3600, **claims}
    made = jwt.encode({key: value for key, value in claims.items() if value is not None}, secret, algorithm, headers)  # type: ignore[arg-type]
    return {"authorization": f"Bearer {made}"}
