"""Structured logs: one JSON object a line on stderr, with the request id and never a user id."""

from __future__ import annotations

import logging
import sys
import time
from contextvars import ContextVar
from typing import Any

import orjson

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
request_details: ContextVar[dict[str, Any] | None] = ContextVar("request_details", default=None)
"""What the line of a request in the log says besides: the caller's key, where the list came from, its stages."""
LOG_LEVEL = "RECSTAGE_SERVING_LOG_LEVEL"
"""How a process that the service starts is told its level."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """A record as JSON: time, level, logger, message, request_id, and whatever `extra` holds."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        current = request_id.get()
        if current is not None:
            entry["request_id"] = current
        entry.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


def add_details(**details: Any) -> None:
    """Add to the line of the request under way."""
    found = request_details.get()
    if found is not None:
        found.update(details)


def configure(level: str) -> None:
    """Send the logs of the service and of uvicorn to stderr as JSON; called once by a process, never by a library."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("serving", "recstage", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
    access = logging.getLogger("uvicorn.access")  # its lines hold query strings, and with them user ids
    access.handlers, access.propagate = [], False
