"""From raw files to the split without ever holding the events: the same data set, report and files as in memory."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recstage.config import DataConfig, EventsSource, SplitConfig, SyntheticSource
from recstage.data import item_join, sources, validation
from recstage.data.cache import Dataset
from recstage.data.catalogue import Catalogue
from recstage.data.event_log import TEST
from recstage.data.interactions import IdMap
from recstage.data.negatives import given_candidates
from recstage.data.out_of_core import arrays, candidates, figures
from recstage.data.out_of_core.codes import Columns, columns_of
from recstage.data.out_of_core.cut_blocks import Cut, cutting_of, pairs_in, write_parts
from recstage.data.out_of_core.engine import Engine, opened
from recstage.data.out_of_core.reading import raw_events, streamed_files, times
from recstage.data.out_of_core.reading.column_forms import NeedsWholeColumns
from recstage.data.out_of_core.reading.raw_events import RawEvents
from recstage.data.out_of_core.sorted_log import SortedLog, Sorting
from recstage.data.out_of_core.user_blocks import UserBlocks
from recstage.data.report import distributions
from recstage.data.report.summary import summary
from recstage.data.schema import ITEM, USER, Rejected
from recstage.data.sources import user_profiles
from recstage.data.sources.events import cut_off_note
from recstage.data.split.cutting import method_of, refuse_nothing_liked
from recstage.data.tables.values.ids import nothing_note
from recstage.data.tables.values.spellings import one_spelling, spelling_note

MOST_THREADS = 4
LIBRARIES = 350 << 20
"""Bytes of the process before it reads anything."""
LEAST_OF_ENGINE = 256 << 20
FEW_EVENTS = 100_000

log = logging.getLogger(__name__)


def out_of_core(config: DataConfig, fingerprint: str, folder: Path, memory: int) -> Dataset:
    """The parts of the split as files in `folder` and a data set over them, within some `memory` bytes. Raises as
    `recstage.data.dataset.prepare`, `OutOfMemory`, and `StoreError` where the disk is full."""
    work = folder / "work"
    work.mkdir()
    try:
        of_engine = max(LEAST_OF_ENGINE, (memory - LIBRARIES) // 2)
        with opened(work, of_engine, _threads(), config.name) as engine:
            raw = _raw(config, engine, work)
            columns = columns_of(engine, raw, _also(raw, config))
            spellings = one_spelling(map(str, columns.kinds.ids), validation.known_types(config))
            raw = replace(raw, notes_behind=(*raw.notes_behind, *spelling_note(spellings)))
            columns = replace(columns, kinds=columns.kinds.respelt(spellings))
            sorting = Sorting(engine, raw, columns, config, work)
            sorted_log = sorting.run()
            rejected = sorting.bad.rejected(engine)
        return _cut(config, fingerprint, folder, raw, sorting, sorted_log, rejected)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _raw(config: DataConfig, engine: Engine, work: Path) -> RawEvents:
    """The events as the engine sees them: streamed where each value can be read for itself."""
    if isinstance(config.source, SyntheticSource):
        return raw_events.generated(config.source, work)
    if isinstance(config.source, EventsSource):
        try:
            return times.in_seconds(engine, streamed_files.streamed(config.source, work))
        except NeedsWholeColumns as reason:
            log.info("%s: read in memory before it is sorted on disk (%s)", config.name, reason)
    return raw_events.of_frames(sources.read(config.source), work)


def _also(raw: RawEvents, config: DataConfig) -> list[str]:
    """Items that are in the id map with or without events."""
    also = [] if raw.negatives is None else raw.negatives[ITEM].tolist()
    return also + (raw.items[ITEM].tolist() if raw.items is not None and config.catalogue == "all" else [])


def _cut(
    config: DataConfig,
    fingerprint: str,
    folder: Path,
    raw: RawEvents,
    sorting: Sorting,
    sorted_log: SortedLog,
    rejected: Rejected,
) -> Dataset:
    kept = sorted_log.kept
    rows = raw.rows_read if raw.rows_read is not None else kept + rejected.total
    findings = validation.Findings(rows, kept, dict(rejected.counts), dict(rejected.first))
    validation.refuse(findings, config, sorted_log.kept_events)
    ordered = raw.ordered and sorted_log.tells_an_order
    columns = sorting.columns
    users, items, blocks = _indexed(columns, sorted_log, set(_also(raw, config)), ordered)
    per_item = np.bincount(blocks.item_of[sorted_log.per_item > 0], sorted_log.per_item[sorted_log.per_item > 0])
    per_item = np.append(per_item, np.zeros(len(items) - len(per_item))).astype(np.int64)
    found = {"users": len(users), "items": int(np.count_nonzero(per_item))}
    pairs = sum(pairs_in(blocks).values()) if kept < FEW_EVENTS else config.minimum.interactions
    validation.refuse_too_little(config, **found, interactions=pairs)
    catalogue = Catalogue.empty(items) if raw.items is None else Catalogue.from_frame(raw.items, items)
    join = item_join.measured(items, per_item, raw.items, raw.items_rejected, config)
    method = method_of(config.split, ordered=ordered, brings_test=TEST in sorted_log.held_out)
    split = config.split.model_copy(update={"method": method})
    cutting = cutting_of(blocks, split, config.aggregate, raw.time_is_clock)
    draws = raw.negatives is None and bool(split.negatives)
    of_pairs = folder / "work" / "pairs.npy" if draws else None
    done = write_parts(blocks, cutting, folder, of_pairs)
    refuse_nothing_liked(done.positive, split.label, done.liked, len(users))
    negatives = None
    if raw.negatives is not None:
        negatives = given_candidates(raw.negatives, users, items)
    elif of_pairs is not None:
        negatives = _drawn(split, folder, of_pairs, done, np.flatnonzero(per_item))
    profiles = user_profiles.of(raw.users, users, config.name)
    report = summary(
        findings,
        (*raw.notes, *_of_ids(columns), *raw.notes_behind),
        catalogue,
        events=kept,
        users=len(users),
        pairs=done.pairs,
        ties=done.ties / kept if ordered else None,
        parts=done.rows,
        left_out=done.left_out,
        profiles=profiles,
    )
    report |= join
    report["distributions"] = distributions.described(_counted(raw, sorting, blocks, per_item, done), catalogue)
    parts = arrays.mapped_split(folder, split.label, users, items, negatives, done.left_out, ordered, profiles)
    return Dataset(config.name, parts, catalogue, fingerprint, raw.time_is_clock, report)


def _indexed(columns: Columns, sorted_log: SortedLog, also: set[str], ordered: bool) -> tuple[IdMap, IdMap, UserBlocks]:
    """Id maps of what is left after bad rows, and the blocks of users in their indices."""
    of_users = sorted_log.per_user > 0
    of_items = sorted_log.per_item > 0
    if also:
        of_items |= np.fromiter((name in also for name in columns.items.ids), bool, len(of_items))
    users, items = IdMap(columns.users.ids[of_users]), IdMap(columns.items.ids[of_items])
    user_of, item_of = (np.cumsum(used).astype(np.int32) - np.int32(1) for used in (of_users, of_items))
    return users, items, UserBlocks(sorted_log, user_of, item_of, len(items), ordered, _threads())


def _threads() -> int:
    """Blocks worked on at once, and threads of the engine: each takes memory."""
    return min(MOST_THREADS, int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))


def _drawn(split: SplitConfig, folder: Path, of_pairs: Path, done: Cut, with_events: np.ndarray) -> np.ndarray:
    items = np.load(of_pairs, mmap_mode="r")
    asked = np.flatnonzero(np.concatenate(done.asked))
    path = folder / arrays.NEGATIVES
    return candidates.sampled(
        path, items, np.concatenate(done.pairs_of), with_events, asked, split.negatives, split.seed
    )


def _of_ids(columns: Columns) -> list[str]:
    of_both = ((columns.users, USER), (columns.items, ITEM))
    told = ((*cut_off_note(codes.cut_off, name), *nothing_note(codes.nothing, name)) for codes, name in of_both)
    return [note for notes in told for note in notes]


def _counted(
    raw: RawEvents, sorting: Sorting, blocks: UserBlocks, per_item: np.ndarray, done: Cut
) -> distributions.Counted:
    shown: dict[str, Any] | None = None
    if raw.time_is_clock:
        chosen = blocks.log.column("part") == 0 if blocks.log.has_held_out else None
        shown = figures.times_of(blocks.log.column("time"), chosen, *blocks.log.times)
    return distributions.Counted(
        blocks.per_user, per_item, done.pairs, sorting.figures.types, shown, sorting.figures.values()
    )
