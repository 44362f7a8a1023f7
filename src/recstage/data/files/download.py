"""MovieLens from GroupLens: resumed where it broke off, verified, and in place only when whole."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from pathlib import Path

import httpx
from filelock import FileLock
from tqdm import tqdm

from recstage.errors import DataError, StoreError

GROUPLENS = "https://files.grouplens.org/datasets/movielens"
ARCHIVES = {
    "100k": "ml-100k.zip",
    "1m": "ml-1m.zip",
    "10m": "ml-10m.zip",
    "20m": "ml-20m.zip",
    "25m": "ml-25m.zip",
    "32m": "ml-32m.zip",
    "latest-small": "ml-latest-small.zip",
}
PUBLISHED_MD5 = {
    "100k": "0e33842e24a9c977be4e0107933c0723",
    "1m": "c4d9eecfca2ab87c1945afe126590906",
    "25m": "6b51fb2759a8657d3bfcbfc42b592ada",
}
"""Digests of releases that never change. For the others, the file that GroupLens publishes beside the archive is
read."""
ATTEMPTS = 4
PAUSE = 1.0  # seconds before the second attempt, twice that before the third
TIMEOUT = httpx.Timeout(30.0, connect=10.0)

log = logging.getLogger(__name__)


def release(name: str, folder: Path, *, base: str = GROUPLENS) -> Path:
    """The archive of a MovieLens release in `folder`, downloaded unless it is there.

    Raises `DataError` where it cannot be had or is not what GroupLens published, `StoreError` where the disk refuses.
    """
    archive = folder / ARCHIVES[name]
    if archive.exists():
        return archive
    url = f"{base}/{archive.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{archive.name}.lock"):
            if not archive.exists():
                log.info("ml-%s: downloading %s, because RECSTAGE_SHARED_DATA names no folder with it", name, url)
                fetch(url, archive, md5=PUBLISHED_MD5.get(name) or published_md5(f"{url}.md5"))
    except OSError as error:
        raise StoreError(
            str(folder), rule=f"cannot be written ({error.strerror})", fix="Free space or mend its permissions"
        ) from error
    return archive


def published_md5(url: str) -> str:
    """The digest in a .md5 file, in any of the usual spellings."""
    try:
        answer = httpx.get(url, timeout=TIMEOUT, follow_redirects=True)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise _unreachable(url, error) from error
    digest = re.search(r"\b[0-9a-fA-F]{32}\b", answer.text)
    if digest is None:
        raise DataError(url, rule="holds no MD5 digest", fix="Download the archive by hand and give its path")
    return digest[0].lower()


def fetch(url: str, target: Path, *, md5: str) -> None:
    """`url` as `target`. Bytes gather in `target`.part, from which an interrupted download goes on; `target` itself
    appears only when its digest is right. Raises `DataError` otherwise."""
    part = target.with_name(target.name + ".part")
    resumed = part.exists()
    _gather(url, part)
    found = digest_of(part)
    if found != md5 and resumed:  # the beginning was of another version: once more from the start
        part.unlink()
        _gather(url, part)
        found = digest_of(part)
    if found != md5:
        part.unlink()
        raise DataError(
            url,
            rule=f"its MD5 must be {md5}, and what came has {found}",
            fix="Try again later, or download it by hand and give its path",
        )
    part.replace(target)


def digest_of(path: Path) -> str:
    """The MD5 of a file, as GroupLens publishes it: a check against accidents, not against malice."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _gather(url: str, part: Path) -> None:
    """Appends what is missing of `url` to `part`, going on after broken connections."""
    failure: Exception | None = None
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        for attempt in range(ATTEMPTS):
            try:
                time.sleep(attempt * PAUSE)
                _stream(client, url, part)
                return
            except (httpx.HTTPStatusError, httpx.ConnectError) as error:
                raise _unreachable(url, error) from error
            except httpx.HTTPError as error:
                failure = error
    assert failure is not None
    raise _unreachable(url, failure) from failure


def _stream(client: httpx.Client, url: str, part: Path) -> None:
    begun = part.stat().st_size if part.exists() else 0
    with client.stream("GET", url, headers={"Range": f"bytes={begun}-"} if begun else {}) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing: the digest will tell whether it is right
        answer.raise_for_status()
        going_on = answer.status_code == httpx.codes.PARTIAL_CONTENT
        length = answer.headers.get("Content-Length")
        total = int(length) + (begun if going_on else 0) if length else None
        bar = tqdm(
            total=total, initial=begun if going_on else 0, unit="B", unit_scale=True, desc=part.stem, disable=None
        )
        with part.open("ab" if going_on else "wb") as file, bar:
            for chunk in answer.iter_raw():
                file.write(chunk)
                bar.update(len(chunk))


def _unreachable(url: str, error: Exception) -> DataError:
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError):
        reason = f"{httpx.URL(url).host} cannot be reached: offline, or a firewall or proxy is between"
    return DataError(
        url,
        rule=f"cannot be downloaded ({reason})",
        fix="Data that needs no download: --data synthetic, or your own file. Else set RECSTAGE_SHARED_DATA to a "
        "folder with it, check the connection, or download it by hand and give its path",
    )
