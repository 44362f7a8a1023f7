"""An S3-compatible object store as a place of files: what a URL names there, and the bytes of one object.

Keys, region and address are those of MLflow's artifacts: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_SESSION_TOKEN`, `AWS_PROFILE`, `AWS_DEFAULT_REGION` and `MLFLOW_S3_ENDPOINT_URL`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeVar

from recstage.errors import ConfigError, DataError, RecstageError, StoreError

SCHEME = "s3://"
WILD = re.compile(r"[*?\[]")
ENDPOINTS = ("MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
ATTEMPTS, PAUSE = 3, 0.5  # of what broke off; seconds before the second attempt, twice that before the third
ASKED_AT_ONCE = 8
CHUNK = 8 << 20
SILENT, UNREACHABLE, BROKEN = ("curlCode: 28",), ("curlCode: 6,", "curlCode: 7,"), ("curlCode: 18", "curlCode: 56")
BUSY = ("SLOW_DOWN", "SERVICE_UNAVAILABLE", "INTERNAL_FAILURE", "REQUEST_TIMEOUT", "HTTP status 5")
REFUSED = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "HTTP status 401",
    "HTTP status 403",
)
Result = TypeVar("Result")


@dataclass(frozen=True)
class StoredObject:
    """One object: `path` is bucket and key, `version` what changes with its content (ETag), `size` in bytes."""

    path: str
    version: str
    size: int


def is_url(path: str) -> bool:
    """Whether a path is of an object store."""
    return path.startswith(SCHEME)


def without_wildcards(url: str) -> str:
    """The bucket, and the folders of a URL before the first one with a mark of a pattern."""
    parts = url.removeprefix(SCHEME).split("/")
    wild = next((at for at, part in enumerate(parts) if WILD.search(part)), len(parts))
    return "/".join(parts[:wild])


class ObjectStore:
    """The store that the environment names, for one URL. `timeout`: seconds that it may be silent."""

    def __init__(self, url: str, timeout: float) -> None:
        self.url, self._timeout = url, timeout
        self._bucket = url.removeprefix(SCHEME).partition("/")[0]
        if not self._bucket or re.search(r"[@:*?\[]", self._bucket):
            raise DataError(
                "an s3:// URL",
                rule="names a bucket and what lies in it, and neither keys nor an address",
                fix="Give s3://BUCKET/FOLDER; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        self.endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
        self._files = self._opened()

    def objects(self) -> list[StoredObject]:
        """What the URL names: one object, all below a folder, or all that match a pattern, in order of their keys.
        Raises `DataError` where there is none, `StoreError` where the store refuses or does not answer."""
        from pyarrow import fs

        place = without_wildcards(self.url).rstrip("/")
        wild = bool(WILD.search(self.url))
        single = not wild and place != self._bucket and not self.url.endswith("/")
        if single and self._asked(lambda: self._files.get_file_info(place)).type == fs.FileType.File:
            found = [place]
        else:
            below = fs.FileSelector(place, recursive=True, allow_not_found=True)
            listed = self._asked(lambda: self._files.get_file_info(below))
            found = [one.path for one in listed if one.type == fs.FileType.File and self._is_meant(one.path)]
        if not found:
            if self._asked(lambda: self._files.get_file_info(self._bucket)).type == fs.FileType.NotFound:
                raise self._no_bucket()
            rule = "no object matches it" if wild else "no such object or folder"
            raise DataError(self.url, rule=rule, fix="Correct the URL")
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            return list(pool.map(self._described, sorted(found)))

    def read(self, one: StoredObject) -> Iterator[bytes]:
        """The bytes of an object, 8 MB a request. Raises `StoreError` where they end too early or another version took
        its place."""
        with self._asked(lambda: self._files.open_input_file(one.path)) as file:
            for start in range(0, one.size, CHUNK):
                size = min(CHUNK, one.size - start)
                chunk = self._asked(partial(file.read_at, size, start))
                if len(chunk) < size:
                    raise self._truncated(one.path, f"{start + len(chunk)} of {one.size} bytes came")
                yield chunk
        if self._described(one.path).version != one.version:
            raise StoreError(
                SCHEME + one.path, rule="was replaced while it was read", fix="Run again when nothing is written"
            )

    # -- inside -----------------------------------------------------------------------------------------------------

    def _opened(self) -> Any:
        from pyarrow import fs

        scheme, _, host = self.endpoint.rpartition("://")
        if self.endpoint and (scheme not in ("http", "https") or not host.strip("/")):
            name = next(name for name in ENDPOINTS if os.environ.get(name))
            raise ConfigError(
                f"{name} = {self.endpoint}", rule="it is no address", fix="Give http://HOST:PORT or https://HOST"
            )
        region = next((os.environ[name] for name in REGIONS if os.environ.get(name)), None)
        options: dict[str, Any] = {
            "request_timeout": self._timeout,
            "connect_timeout": self._timeout,
            "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=1),  # `_asked` tries again
            "tls_ca_file_path": os.environ.get("AWS_CA_BUNDLE") or None,
            "force_virtual_addressing": os.environ.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE") == "virtual",
        }
        if self.endpoint:
            options |= {"scheme": scheme, "endpoint_override": host.rstrip("/"), "region": region or "us-east-1"}
        elif region:
            options |= {"region": region}
        else:
            options |= {"region": self._asked(lambda: fs.resolve_s3_region(self._bucket))}
        return self._asked(lambda: fs.S3FileSystem(**options))

    def _is_meant(self, path: str) -> bool:
        """Whether an object is what the URL asks for: markers (_SUCCESS) and hidden ones never are. Where a pattern
        goes through any folders (`**`), all are, and who reads the copies chooses among them."""
        pattern = self.url.removeprefix(SCHEME)
        below = path.removeprefix(without_wildcards(self.url).rstrip("/") + "/").split("/")
        if below[-1].startswith("_") or any(part.startswith(".") for part in below):
            return False
        if not WILD.search(pattern) or "**" in pattern:
            return True
        return path.count("/") == pattern.count("/") and PurePosixPath(path).match(pattern)

    def _described(self, path: str) -> StoredObject:
        def ask() -> StoredObject:
            with self._files.open_input_file(path) as file:
                return StoredObject(path, self._version(file.metadata()), file.size())

        return self._asked(ask)

    @staticmethod
    def _version(metadata: Any) -> str:
        found = {str(name).lower(): value for name, value in (metadata or {}).items()}
        told = found.get("etag", found.get("last-modified", b""))
        return told.decode() if isinstance(told, bytes) else str(told)

    def _asked(self, ask: Callable[[], Result]) -> Result:
        """An answer of the store; what broke off or was refused for being too much is asked for again."""
        for attempt in range(ATTEMPTS):
            try:
                time.sleep(PAUSE * attempt)
                return ask()
            except OSError as error:
                passing = any(sign in str(error) for sign in (*BROKEN, *BUSY))
                if not passing or attempt + 1 == ATTEMPTS:
                    raise self._refusal(error) from error
        raise AssertionError("unreachable")

    def _refusal(self, error: OSError) -> RecstageError:
        message = str(error)

        def tells(signs: tuple[str, ...]) -> bool:
            return any(sign in message for sign in signs)

        store = self._name
        if isinstance(error, FileNotFoundError):
            return DataError(self.url, rule="no such object or folder", fix="Correct the URL")
        if "NO_SUCH_BUCKET" in message:
            return self._no_bucket()
        if tells(REFUSED):
            return StoreError(
                self.url,
                rule=f"{store} refuses access",
                fix="Put keys that may list and read the bucket into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        if tells(SILENT):
            return StoreError(
                self.url,
                rule=f"{store} was silent for {self._timeout:g} seconds",
                fix="Try again later, or raise source.s3_timeout",
            )
        if tells(UNREACHABLE):
            return StoreError(
                self.url,
                rule=f"{store} cannot be reached",
                fix="Start it, or correct the address in MLFLOW_S3_ENDPOINT_URL",
            )
        if tells(BROKEN):
            return self._truncated(self.url.removeprefix(SCHEME), "the connection ended before its last byte")
        return StoreError(
            self.url, rule=f"cannot be read ({_reason(message)})", fix="Try again later, or see that the store is well"
        )

    @property
    def _name(self) -> str:
        return f"the object store {self.endpoint}" if self.endpoint else "the object store"

    def _no_bucket(self) -> DataError:
        return DataError(
            self.url,
            rule=f"{self._name} has no bucket '{self._bucket}'",
            fix="Correct the URL, or the address in MLFLOW_S3_ENDPOINT_URL",
        )

    @staticmethod
    def _truncated(path: str, what: str) -> StoreError:
        return StoreError(SCHEME + path, rule=f"is truncated: {what}", fix="Run again, or store the object again")


def _reason(message: str) -> str:
    """A message of the client without what it was doing."""
    return (message.partition("AWS Error ")[2] or message).partition(" (Request ID")[0][:200]
