"""How a request is written: UTF-8 in its address, and JSON, called so, in its body."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from serving.errors import Problem

JSON_TYPE = b"application/json"


def check_encoding(scope: Scope) -> None:
    """Raise a 400 problem where the path or the query is not UTF-8; it would be read with replacement characters."""
    for name, part in (("path", scope.get("raw_path") or b""), ("query", scope.get("query_string") or b"")):
        if b"%" not in part and part.isascii():
            continue
        try:
            unquote_to_bytes(part).decode()
        except UnicodeDecodeError as error:
            rule = f"The {name} of the address must be UTF-8, percent-encoded; this one holds other bytes."
            raise Problem(400, "invalid-request", rule) from error


def check_media_type(content_type: bytes) -> None:
    """Raise a 415 problem where a body is declared as anything but JSON. A body without a type is taken for JSON."""
    kind = content_type.partition(b";")[0].strip().lower()
    if kind and kind != JSON_TYPE and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
        given = kind.decode("ascii", "replace")[:80]
        raise Problem(
            415, "unsupported-media-type", f"A body is sent with Content-Type: application/json; this one is {given}."
        )
