"""Authentication and roles: API keys and JWT bearer tokens, each with one role.

Roles contain each other: admin > service > client. `client`: read recommendations and post events. `service`: the
catalogue, profiles, metrics. `admin`: erasure, reload. Without any key or token set, the service binds to loopback only
(`ServingSettings.check_binding`) and all callers there are admin.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
from cachetools import LRUCache
from fastapi import Request

from serving.errors import Problem
from serving.settings import Role, ServingSettings

_RANK: dict[Role, int] = {"client": 1, "service": 2, "admin": 3}
MAX_TOKENS = 1024
"""Verified tokens that are cached; the one used least recently is dropped first."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller. `name`: the key's name or 'token', never a user's id; `bucket`: identifies their rate limit.

    `user_id` is set where a token is valid for one user only.
    """

    name: str
    role: Role
    user_id: str | None = None
    bucket: str = ""

    def require(self, role: Role) -> None:
        """Raise a 403 problem unless this principal has at least `role`."""
        if _RANK[self.role] < _RANK[role]:
            raise Problem(403, "forbidden", f"This needs the role {role}; the caller has the role {self.role}.")

    def require_user(self, user_id: str) -> None:
        """Raise a 403 problem where the token is of another user."""
        if self.user_id is not None and self.user_id != user_id and self.role == "client":
            raise Problem(403, "forbidden", "This token is for another user_id.")


OPEN = Principal("open", "admin")


class Authenticator:
    """Identifies principals by request headers."""

    def __init__(self, settings: ServingSettings) -> None:
        self._guarded = settings.guarded
        self._keys = {key.digest: Principal(key.name, key.role, bucket=f"key {key.name}") for key in settings.api_keys}
        self._verifiers: dict[str, Any] = {}
        if settings.jwt_secret is not None:
            self._verifiers["HS256"] = settings.jwt_secret.get_secret_value()
        if settings.jwt_public_key is not None:
            self._verifiers["RS256"] = settings.jwt_public_key.read_text()
        self._audience, self._issuer = settings.jwt_audience, settings.jwt_issuer
        self._tokens: LRUCache[bytes, tuple[Principal, float]] = LRUCache(MAX_TOKENS)

    def __call__(
        self,
        api_key: bytes | None,
        authorization: bytes | None,
        before_verifying: Callable[[], None] = lambda: None,
    ) -> Principal | None:
        """The principal of the headers `X-API-Key` and `Authorization`; None where both are missing but required.

        Raises a 401 problem on a wrong key or token. `before_verifying` is called before a new token is verified.
        """
        if not self._guarded:
            return OPEN
        if api_key is not None:
            return self._by_key(api_key)
        if authorization is None:
            return None
        scheme, _, credentials = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            raise _refused("The Authorization header must read 'Bearer <token>'.")
        credentials = credentials.strip()
        if credentials.count(b".") == 2:
            return self._by_token(credentials, before_verifying)
        return self._by_key(credentials)

    def _by_key(self, key: bytes) -> Principal:
        if not key:
            raise _refused("The API key is empty.")
        # looked up by digest, so that timing reveals nothing about the key
        principal = self._keys.get(hashlib.sha256(key).hexdigest())
        if principal is None:
            raise _refused("The API key is unknown.")
        return principal

    def _by_token(self, token: bytes, before_verifying: Callable[[], None]) -> Principal:
        digest = hashlib.sha256(token).digest()
        cached = self._tokens.get(digest)
        if cached is not None and cached[1] > time.time():
            return cached[0]
        before_verifying()
        principal, expires_at = self._verified(token)
        self._tokens[digest] = (principal, expires_at)
        return principal

    def _verified(self, token: bytes) -> tuple[Principal, float]:
        try:
            algorithm = jwt.get_unverified_header(token).get("alg")
            key = self._verifiers.get(str(algorithm))
            if key is None:
                raise _refused(f"Tokens are signed with {' or '.join(self._verifiers) or 'nothing here: use a key'}.")
            claims = jwt.decode(
                token,
                key,
                algorithms=[str(algorithm)],
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp"], "verify_aud": self._audience is not None},
            )
        except jwt.ExpiredSignatureError as error:
            raise _refused("The token has expired.") from error
        except jwt.InvalidTokenError as error:
            raise _refused(f"The token is not valid: {error}.") from error
        role = claims.get("role")
        if not isinstance(role, str) or role not in _RANK:
            raise _refused(f"The token's claim 'role' must be one of {', '.join(_RANK)}.")
        user_id = claims.get("user_id")
        owner = claims.get("sub", user_id)
        bucket = f"token {hashlib.sha256(token).hexdigest() if owner is None else owner}"
        return Principal("token", role, None if user_id is None else str(user_id), bucket), float(claims["exp"])


def _refused(detail: str) -> Problem:
    return Problem(401, "unauthenticated", detail, headers={"www-authenticate": "Bearer"})


def missing() -> Problem:
    """The problem of a request with neither key nor token."""
    return _refused("Show an API key in X-API-Key, or a token as 'Authorization: Bearer <token>'.")


def principal_of(request: Request) -> Principal:
    """The principal that the middleware identified, as a dependency of routes. Raises a 401 problem without one."""
    principal: Principal | None = request.scope.get("principal")
    if principal is None:
        raise missing()
    return principal


def requires(role: Role) -> Callable[[Request], Principal]:
    """A dependency that raises a 401 or 403 problem unless the caller has at least this role."""

    async def check(request: Request) -> Principal:
        principal = principal_of(request)
        principal.require(role)
        return principal

    return check  # type: ignore[return-value]
