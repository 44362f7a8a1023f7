"""Requests that a page of another origin makes with its visitor's browser (cross-site request forgery).

A service with keys needs no protection: keys travel in headers, which no other origin can set. One without keys on the
loopback does: any page that is open on the same machine could post to it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from serving.errors import Problem

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITE = frozenset({b"same-origin", b"none"})


def check_origin(method: str, headers: Mapping[bytes, bytes], allowed: Collection[bytes]) -> None:
    """Raise a 403 problem where a page of another origin sends a request that may change something.

    Browsers say where a request comes from (`Sec-Fetch-Site`, older ones `Origin`); programs say nothing. Follows
    CrossOriginProtection of Go's net/http (F. Valsorda, 2025).

    Args:
        method: of HTTP.
        headers: with names in lower case.
        allowed: origins that may (the setting `cors_origins`).
    """
    if method in SAFE_METHODS:
        return
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if origin in allowed or site in _OWN_SITE:
        return
    if site is None and (origin is None or origin.partition(b"://")[2] == headers.get(b"host")):
        return
    raise Problem(
        403, "cross-origin", "A page of another origin may change nothing here; cors_origins lists those that may."
    )
