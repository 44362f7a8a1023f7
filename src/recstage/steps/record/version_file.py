"""The file that holds a version: a zip of its bundle, of what its run logged, and `version.json` with every digest."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from recstage.bundle import MANIFEST
from recstage.errors import RegistryError, StoreError

FORMAT = 1
ABOUT, BUNDLE, RUN = "version.json", "bundle/", "run/"
LARGEST = 64 << 30


def write(target: Path, about: Mapping[str, Any], members: Mapping[str, Path]) -> None:
    """Write a file of that name, whole or not at all; `about` gets the format and the digest of each member. Raises
    `StoreError`."""
    partial = target.with_name(f".{target.name}.partial")
    files = {name: digest_of(path) for name, path in members.items()}
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(ABOUT, json.dumps({"format": FORMAT, **about, "files": files}, indent=1))
            for name, path in sorted(members.items()):
                archive.write(path, name)
        os.replace(partial, target)
    except OSError as error:
        raise StoreError(
            str(target), rule=f"cannot be written ({error.strerror})", fix="Give another file, or free space"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def read(file: Path, folder: Path) -> tuple[dict[str, Any], str]:
    """Unpack a file into `folder`: what it says of the version, and the digest of the whole. Raises `RegistryError`
    where it is none of `write`'s, or any digest does not fit."""
    try:
        about = _unpacked(file, folder)
        for part in (about["tags"], *(about["run"][key] for key in ("tags", "params", "metrics"))):
            dict(part)
        return about, digest_of(file)
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RegistryError(
            str(file), rule=f"is no file that export wrote ({reason})", fix="Give one, unchanged"
        ) from error


def _unpacked(file: Path, folder: Path) -> dict[str, Any]:
    """The members that the file lists, each checked against its digest; what is not listed is not read."""
    with zipfile.ZipFile(file) as archive:
        about: dict[str, Any] = json.loads(archive.read(ABOUT))
        if about.get("format") != FORMAT:
            raise ValueError(f"its format is {about.get('format')}, {FORMAT} is read here")
        files: dict[str, str] = about["files"]
        if sum(archive.getinfo(name).file_size for name in files) > LARGEST:
            raise ValueError(f"it unpacks to more than {LARGEST >> 30} GiB")
        for name, expected in files.items():
            if name.startswith("/") or ".." in PurePosixPath(name).parts or not name.startswith((BUNDLE, RUN)):
                raise ValueError(f"it lists {name}, which lies outside it")
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, path.open("wb") as target:
                while block := source.read(1 << 20):
                    target.write(block)
            if digest_of(path) != expected:
                raise ValueError(f"{name} does not match its SHA-256")
    if not (folder / BUNDLE / MANIFEST).is_file():
        raise ValueError("it holds no bundle")
    return about


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
