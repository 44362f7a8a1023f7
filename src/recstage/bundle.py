"""A fitted recommender on disk: a manifest and plain arrays, no pickle; all that serving needs in one folder.

    manifest.json     what it is, what it was trained on, SHA-256 of every other file, answers to check it against
    users.parquet     user ids in order of index
    items.parquet     item ids in order of index, with title, text, categories, availability
    train.npz         the training rows: histories, what is seen, popularity
    state.npz         fitted state of the model (a composite's parts below parts/NAME/state.npz)

Loading reads just these names, checks each digest first, maps the arrays into memory, and imports no class from outside
`recstage.models`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from recstage import verified_files
from recstage.config import Schema, keep_private
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions
from recstage.errors import BundleError, ConfigError, refuse_newer
from recstage.models import class_of, target_of
from recstage.models.base import Recommender
from recstage.verified_files import VerifiedFiles, write_arrays

FORMAT: Literal[1] = 1
MANIFEST = "manifest.json"
LIBRARIES = ("recstage", "numpy", "scipy", "scikit-learn", "implicit", "lightgbm", "torch")
GOLDEN_USERS, GOLDEN_ITEMS = 5, 10
GOLDEN_TOLERANCE = 1e-3


class Part(Schema):
    """One recommender of a bundle: its class, its hyperparameters and its own parts."""

    target: str
    params: dict[str, Any]
    parts: dict[str, Part] = Field(default_factory=dict)


class Golden(Schema):
    """A user's best items when the bundle was made: a loaded model must answer the same."""

    user_id: str
    item_ids: list[str]
    scores: list[float]


class Manifest(Schema):
    """What a bundle records about itself."""

    format: Literal[1] = FORMAT
    algorithm: str
    model: Part
    created_at: datetime
    trained_until: int = Field(description="latest timestamp of the training rows")
    n_users: int
    n_items: int
    n_interactions: int
    ordered: bool = Field(True, description="whether the training rows are in an order of time")
    train_fingerprint: str = Field(description="of the rows that the model was fitted on")
    metadata: dict[str, Any] = Field(default_factory=dict, description="data, split, fingerprint, run_id, metrics, ...")
    libraries: dict[str, str]
    golden: list[Golden]
    files: dict[str, str] = Field(description="SHA-256 of every file, by name")


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle; its arrays are read-only."""

    manifest: Manifest
    model: Recommender


def save(model: Recommender, folder: Path, *, metadata: Mapping[str, Any] | None = None) -> Manifest:
    """Write a fitted recommender into `folder`, which must be empty or absent."""
    folder.mkdir(parents=True, exist_ok=True)
    train = model.train_
    pd.DataFrame({"user_id": train.users.ids}).to_parquet(folder / "users.parquet", index=False)
    model.catalogue_.to_frame().to_parquet(folder / "items.parquet", index=False)
    rows = ("user_index", "item_index", "weight", "timestamp")
    write_arrays(folder / "train.npz", {name: getattr(train, name) for name in rows})
    part = _save_part(model, folder)
    files = {
        path.relative_to(folder).as_posix(): verified_files.digest_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = Manifest(
        algorithm=model.name,
        model=part,
        created_at=datetime.now(UTC),
        trained_until=int(train.timestamp.max(initial=0)),
        n_users=train.n_users,
        n_items=train.n_items,
        n_interactions=len(train),
        ordered=train.ordered,
        train_fingerprint=train.fingerprint,
        metadata=dict(metadata or {}),
        libraries=_library_versions(),
        golden=_golden(model),
        files=files,
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1))
    keep_private(folder)
    return manifest


def load(folder: Path) -> Bundle:
    """Read and verify a bundle. Raises `BundleError` where a file is missing, altered, or not what it should be."""
    manifest = read_manifest(folder)
    files = _files(folder, manifest)
    try:
        users = IdMap(pd.read_parquet(files.open("users.parquet"))["user_id"].astype(str).to_numpy(object))
        catalogue_frame = pd.read_parquet(files.open("items.parquet"))
        items = IdMap(catalogue_frame["item_id"].astype(str).to_numpy(object))
        rows = files.arrays("train.npz")
        user_index, item_index, weight, timestamp = (
            rows[name] for name in ("user_index", "item_index", "weight", "timestamp")
        )
        train = Interactions(users, items, user_index, item_index, weight, timestamp, manifest.ordered)
        model = _load_part(manifest.model, files, "", train, Catalogue.from_frame(catalogue_frame, items))
    except BundleError:
        raise
    except (KeyError, ValueError, TypeError, ConfigError, ValidationError, OSError, zipfile.BadZipFile) as error:
        raise _broken(folder, f"its content does not fit its manifest ({type(error).__name__}: {error})") from error
    return Bundle(manifest, model)


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone, nothing verified. Raises `BundleError` where it is missing or malformed."""
    try:
        text = (folder / MANIFEST).read_bytes()
        return Manifest.model_validate_json(text)
    except OSError as error:
        raise _broken(folder, f"{MANIFEST} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        refuse_newer(f"bundle {folder}", text, FORMAT)
        first = error.errors(include_url=False)[0]
        raise _broken(
            folder, f"{MANIFEST} is malformed ({'.'.join(map(str, first['loc']))}: {first['msg']})"
        ) from error


def ids_of(folder: Path) -> tuple[IdMap, IdMap]:
    """The users and items that a bundle's model was fitted on, without the model. Raises `BundleError`."""
    files = _files(folder, read_manifest(folder))
    try:
        users = pd.read_parquet(files.open("users.parquet"), columns=["user_id"])
        items = pd.read_parquet(files.open("items.parquet"), columns=["item_id"])
    except (KeyError, ValueError, OSError) as error:
        raise _broken(folder, f"its ids cannot be read ({type(error).__name__}: {error})") from error
    return IdMap(users["user_id"].astype(str).to_numpy(object)), IdMap(items["item_id"].astype(str).to_numpy(object))


def user_ids_of(folder: Path) -> NDArray[np.object_]:
    """The ids of the users that a bundle's model was fitted on, whichever way it ranks: a model from items to users has
    them where others have items. Raises `BundleError`."""
    rows, columns = ids_of(folder)
    try:
        reverse = class_of(read_manifest(folder).model.target).reverse
    except ConfigError as error:
        raise _broken(folder, f"its model is none that is known ({error.rule})") from error
    return (columns if reverse else rows).ids


def digest_of(folder: Path) -> str:
    """SHA-256 of the manifest, which holds those of all other files: one digest for the whole bundle."""
    return verified_files.digest_of(folder / MANIFEST)


def verify_answers(bundle: Bundle) -> None:
    """Score the manifest's golden users with the loaded model again. Raises `BundleError` where scores differ."""
    for golden in bundle.manifest.golden:
        scores = bundle.model.predict(golden.user_id, golden.item_ids)
        if not np.allclose(scores, golden.scores, rtol=GOLDEN_TOLERANCE, atol=GOLDEN_TOLERANCE):
            raise BundleError(
                f"bundle of {bundle.manifest.algorithm} made at {bundle.manifest.created_at:%Y-%m-%d %H:%M:%S}",
                rule="a loaded model must score as it did when it was saved",
                fix="Train it again with the libraries installed here",
            )


def size_of(folder: Path) -> int:
    """Bytes on disk."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _save_part(model: Recommender, folder: Path) -> Part:
    write_arrays(folder / "state.npz", _plain(model.state()))
    parts = {}
    for name, part in model.parts().items():
        (folder / "parts" / name).mkdir(parents=True)
        parts[name] = _save_part(part, folder / "parts" / name)
    return Part(target=target_of(type(model)), params=json.loads(model.params.model_dump_json()), parts=parts)


def _load_part(part: Part, files: VerifiedFiles, prefix: str, train: Interactions, catalogue: Catalogue) -> Recommender:
    kind = class_of(part.target)
    parts = {
        name: _load_part(inner, files, f"{prefix}parts/{name}/", train, catalogue) for name, inner in part.parts.items()
    }
    return kind.restore(kind.Params(**part.params), files.arrays(f"{prefix}state.npz"), train, catalogue, parts)


def _plain(state: Mapping[str, NDArray]) -> dict[str, NDArray]:
    for name, values in state.items():
        if values.dtype.hasobject:
            raise BundleError(name, rule="a model's state is plain arrays, no objects", fix="Store text as UTF-8 bytes")
    return dict(state)


def _golden(model: Recommender) -> list[Golden]:
    users = model.train_.users.ids
    chosen = users[np.linspace(0, len(users) - 1, min(GOLDEN_USERS, len(users))).astype(int)].tolist()
    lists = model.recommend_batch(chosen, GOLDEN_ITEMS, exclude_seen=False)
    return [
        Golden(
            user_id=one.user_id,
            item_ids=one.item_ids,
            scores=[float(score) for score in model.predict(one.user_id, one.item_ids)],
        )
        for one in lists
        if one.item_ids
    ]


def _library_versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _files(folder: Path, manifest: Manifest) -> VerifiedFiles:
    return VerifiedFiles(folder, manifest.files, partial(_broken, folder))


def _broken(folder: Path, what: str) -> BundleError:
    return BundleError(f"bundle {folder}", rule=what, fix="Train it again, or promote another version")
