"""The files of the pages, read once: content, type and ETag. There is no build step: what is in `web/` is served."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "web"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class WebFile:
    """One file as it is sent. `etag` changes with its content, so that a browser asks again and gets 304."""

    content: bytes
    media_type: str
    etag: str


@cache
def web_file(name: str) -> WebFile:
    """A file of `web/`. Raises `KeyError` where there is none of this name; a name is never a path."""
    return web_files()[name]


@cache
def web_files() -> dict[str, WebFile]:
    """Every file of `web/` by name."""
    return {path.name: _read(path) for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}


def _read(path: Path) -> WebFile:
    content = path.read_bytes()
    return WebFile(content, TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:20]}"')
