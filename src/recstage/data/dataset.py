"""A data set made ready: read, checked, weighed, split, and kept as Parquet under a fingerprint of what decided it."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from recstage.config import DataConfig, root
from recstage.data import cache as prepared_cache
from recstage.data import event_weights, item_join, sources, validation
from recstage.data.cache import Dataset
from recstage.data.catalogue import Catalogue
from recstage.data.files.file_tree import damaged_is_an_error
from recstage.data.files.layout_detection import config_of
from recstage.data.negatives import given_candidates
from recstage.data.out_of_core import choice
from recstage.data.out_of_core.prepare import out_of_core
from recstage.data.report import distributions, drift
from recstage.data.report.summary import summary
from recstage.data.snapshots import exposures
from recstage.data.sources import user_profiles
from recstage.data.split import PARTS, cut
from recstage.data.tables.partitions import partitions_of

FORMAT = 4
"""Raise it when the same raw data would be prepared differently: every cached data set is then made anew."""
LATER: dict[str, Any] = {"users_path": None, "users_columns": {}, "users": False, "context": {}}
"""Settings of sources that fingerprints of earlier versions did not know, and their defaults."""
WHOLE = 1 << 30  # files up to so many bytes are hashed whole, larger ones by samples
SAMPLES = 256

log = logging.getLogger(__name__)


def load(config: DataConfig, *, cache: Path | None = None) -> Dataset:
    """The prepared data set, from the cache (`data/` in the repository by default) where it is there and undamaged.

    Raises `DataError` where the source cannot be read or used, `TooLittleData` below the configured minimum,
    `StoreError` where the cache cannot be written.
    """
    cache = cache if cache is not None else root() / "data"
    config = located(config, cache=cache)
    fingerprint = fingerprint_of(config)
    kept = prepared_cache.Folder(cache, config.name, fingerprint)
    found = _acceptable(kept.read(), config)
    if found is not None:
        return found
    with kept.lock():
        found = _acceptable(kept.read(), config)  # another process may have made it meanwhile
        if found is not None:
            return found
        memory = choice.out_of_core(config)
        with kept.making() as partial:
            made = prepare(config, fingerprint) if memory is None else out_of_core(config, fingerprint, partial, memory)
            made.report["drift"] = _drift(made, kept.previous())
            _tell(made)
            kept.finish(made, partial)
        log.info("%s: report in %s", config.name, kept.path / prepared_cache.PAGE)
    return made


def located(config: DataConfig, *, cache: Path | None = None) -> DataConfig:
    """The same data set with its source found, downloaded, or (a database) taken as a snapshot: loading it again gives
    the same data. Raises as `load` does."""
    cache = cache if cache is not None else root() / "data"
    return config.model_copy(update={"source": sources.located(config.source, cache / "downloads")})


def prepare(config: DataConfig, fingerprint: str) -> Dataset:
    """Everything from the raw files to the split, without the cache. The source must be located."""
    with tqdm(total=4, desc=f"prepare {config.name}", unit="step", delay=2, disable=None) as bar:
        raw = sources.read(config.source)
        bar.update()
        raw, findings = validation.clean(raw, config)
        bar.update()
        events = event_weights.to_log(raw, config)
        per_item = np.bincount(events.item_index, minlength=len(events.items))
        validation.refuse_too_little(
            config, users=len(events.users), items=int(np.count_nonzero(per_item)), interactions=len(events.first)
        )
        catalogue = (
            Catalogue.empty(events.items) if raw.items is None else Catalogue.from_frame(raw.items, events.items)
        )
        join = item_join.measured(events.items, per_item, raw.items, raw.items_rejected, config)
        bar.update()
        given = None if raw.negatives is None else given_candidates(raw.negatives, events.users, events.items)
        split = cut(events, config.split, rule=config.aggregate, time_is_clock=raw.time_is_clock, given_negatives=given)
        bar.update()
    split = split.with_profiles(user_profiles.of(raw.users, events.users, config.name))
    report = summary(
        findings,
        raw.notes,
        catalogue,
        events=len(events),
        users=len(events.users),
        pairs=len(events.first),
        ties=events.ties if events.ordered else None,
        parts={name: len(getattr(split, name)) for name in PARTS},
        left_out=split.left_out,
        profiles=split.train.profiles,
        context=split.train.context,
    )
    report |= join
    report["distributions"] = distributions.described(distributions.Counted.of(raw, events), catalogue)
    shown = None
    if raw.exposures is not None:
        shown, report["exposures"] = exposures.judged(
            raw.exposures, raw.events, events.users, events.items, config.negative_types
        )
    return Dataset(config.name, split, catalogue, fingerprint, raw.time_is_clock, report, shown)


def fingerprint_of(config: DataConfig) -> str:
    """16 hexadecimal digits of the configuration, the content of its files and the version of this code.

    Where the files lie, what the data set is called, whether it is strict and how it is prepared do not matter.
    """
    values = config.model_dump(mode="json", exclude={"name", "strict", "memory", "engine"})
    for place in (*sources.PATHS, "table", "query", "release", "s3_timeout"):
        values["source"].pop(place, None)
    if values["source"]["kind"] == "service":  # the content of its snapshot is what decides
        values["source"] = {"kind": "service"}
    if values["source"].get("zone") == "UTC":  # as of versions that lacked the setting
        values["source"].pop("zone")
    if values["split"]["test_from"] is None:
        values["split"].pop("test_from")
    if not config.split.folded:
        for name in ("folds", "fold"):
            values["split"].pop(name)
    if not config.split.newcomers:  # without them the fingerprint is that of versions that lacked the setting
        for name in ("newcomers", "newcomer_rows"):
            values["split"].pop(name)
    for name, default in LATER.items():
        if values["source"].get(name) == default:  # as of versions that lacked the setting
            values["source"].pop(name, None)
    digest = hashlib.sha256(json.dumps([FORMAT, values], sort_keys=True).encode())
    for content in sorted(_content_of(file) + _folders_of(file) for file in sources.files(config.source)):
        digest.update(content)
    return digest.hexdigest()[:16]


def _content_of(file: Path) -> bytes:
    """The digest of a file: of all its bytes, or, above `WHOLE`, of its size and evenly spaced samples."""
    with damaged_is_an_error(file), file.open("rb") as stream:
        size = file.stat().st_size
        if size <= WHOLE:
            return hashlib.file_digest(stream, "sha256").digest()
        digest = hashlib.sha256(str(size).encode())
        for start in np.linspace(0, size - (1 << 20), SAMPLES).astype(int):
            stream.seek(int(start))
            digest.update(stream.read(1 << 20))
        return digest.digest()


def _folders_of(file: Path) -> bytes:
    """What the names of a file's folders say of its rows; nothing where they are only names."""
    columns = partitions_of(file.as_posix())
    return json.dumps(columns, sort_keys=True).encode() if columns else b""


def _drift(made: Dataset, before: Dataset | None) -> dict[str, Any] | None:
    """How a data set differs from its last preparation; None where there is none."""
    if before is None:
        return None
    ids = [(one.split.train.users.ids.tolist(), one.split.train.items.ids.tolist()) for one in (made, before)]
    (users, items), (old_users, old_items) = ids
    found = drift.drift(made.report, before.report, users=(users, old_users), items=(items, old_items))
    return {"fingerprint": before.fingerprint, **found}


def _tell(dataset: Dataset) -> None:
    """What a user should know of how the data was read, a line each."""
    report, name = dataset.report, dataset.name
    for note in report["notes"]:
        log.info("%s: %s", name, note)
    for reason, count in report["dropped"].items():
        first = "; ".join(report["first_dropped"][reason])
        log.warning("%s: dropped %d of %d rows: %s (%s)", name, count, report["rows"], reason, first)
    for reason, count in report["items_dropped"].items():
        first = "; ".join(report["first_items_dropped"][reason])
        log.warning("%s: left out %d rows of the items file: %s (%s)", name, count, reason, first)
    if not dataset.ordered:
        method = dataset.split.method
        drawn = "the test rows are those given" if method == "given" else f"split {method} draws by its seed"
        log.warning("%s: unordered (nothing says what came first): %s, recency and sequence are off", name, drawn)
    elif report["ties"]:
        log.info("%s: %.1f %% of the events share their time with another of the same user: they keep the order of the"
                 " file", name, 100 * report["ties"])  # fmt: skip


def _acceptable(found: Dataset | None, config: DataConfig) -> Dataset | None:
    """What the cache holds, unless it is strictness that has to be asked again."""
    bad = found is not None and (found.report["dropped"] or found.report["items_dropped"])
    return None if config.strict and bad else found


__all__ = ["Dataset", "config_of", "fingerprint_of", "load", "located", "prepare"]
