"""Copies of objects on the local disk: streamed once, kept by their version, read by everything that reads files.

Preparing reads its events several times (ids, times, the sort), and a fingerprint is of all bytes, so that reading them
where they lie would fetch them several times. An object is copied whole, or is not there; a copy that broke off goes on
with the object that is missing.
"""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from recstage.data.files.object_store import SCHEME, WILD, ObjectStore, StoredObject
from recstage.errors import DataError, StoreError

FOLDER, OBJECTS = "s3", "objects"

log = logging.getLogger(__name__)


def copied(url: str, downloads: Path, timeout: float) -> Path:
    """What an s3:// URL names, as a local path that means the same: a file, a folder or a pattern, below a folder that
    is named by the versions of the objects and never changes. `timeout`: seconds that the store may be silent. Raises
    `DataError` where nothing is named, `StoreError` where the store or the disk refuses."""
    store = ObjectStore(url, timeout)
    objects = store.objects()
    for one in objects:
        if any(part in ("", ".", "..") for part in one.path.split("/")):
            raise DataError(
                SCHEME + one.path, rule="a key with empty or dotted folders is no file's name", fix="Rename the object"
            )
    folder = downloads / FOLDER / _named([store.endpoint, *((one.path, one.version, one.size) for one in objects)])
    try:
        (downloads / FOLDER / OBJECTS).mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.exists():
                _fetch(store, objects, folder)
    except OSError as error:
        raise StoreError(
            str(downloads), rule=f"cannot be written ({error.strerror})", fix="Free space or mend its permissions"
        ) from error
    place = url.removeprefix(SCHEME).rstrip("/")
    return Path(glob.escape(str(folder))) / place if WILD.search(url) else folder / place


def _fetch(store: ObjectStore, objects: Sequence[StoredObject], folder: Path) -> None:
    kept = folder.parent / OBJECTS
    places = {one: kept / _named([store.endpoint, one.path, one.version, one.size]) for one in objects}
    missing = [one for one in objects if not places[one].exists()]
    if missing:
        log.info("%s: copying %d of %d objects", store.url, len(missing), len(objects))
    total = sum(one.size for one in missing)
    with tqdm(total=total, unit="B", unit_scale=True, desc=store.url, delay=2, disable=None) as bar:
        for one in missing:
            _copy(store, one, places[one], bar)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".partial-"))
    try:
        for one, place in places.items():
            target = partial / one.path
            target.parent.mkdir(parents=True, exist_ok=True)
            _same_file(place, target)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy(store: ObjectStore, one: StoredObject, place: Path, bar: tqdm) -> None:
    with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".part-", delete=False) as part:
        try:
            for chunk in store.read(one):
                part.write(chunk)
                bar.update(len(chunk))
            part.close()
            os.replace(part.name, place)
        finally:
            Path(part.name).unlink(missing_ok=True)


def _same_file(place: Path, target: Path) -> None:
    try:
        os.link(place, target)
    except OSError:  # a disk without links
        shutil.copyfile(place, target)


def _named(of: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()[:16]
