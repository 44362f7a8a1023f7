"""The code that a worker runs: it must be the caller's."""

from __future__ import annotations

import hashlib
import socket
from functools import cache
from pathlib import Path

from recstage.errors import ConfigError


@cache
def code_digest() -> str:
    """Changes with every line of the library."""
    digest = hashlib.sha256()
    folder = Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def other_code(callers: str) -> ConfigError | None:
    """What is wrong where a worker's code is not the caller's, given the digest of that."""
    if callers == code_digest():
        return None
    return ConfigError(
        f"recstage on {socket.gethostname()}",
        rule=f"its code ({code_digest()}) is not that of the caller ({callers})",
        fix="Install the same version on every node",
    )
