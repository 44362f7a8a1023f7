"""The split of a log on disk: what all users decide together is found first, then each block is cut and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recstage.config import SplitConfig
from recstage.data.event_log import VALIDATION, EventLog, Rule
from recstage.data.interactions import Interactions
from recstage.data.out_of_core.arrays import FIT, ArrayFile, PartFiles
from recstage.data.out_of_core.user_blocks import Cutting, UserBlocks
from recstage.data.split import PARTS
from recstage.data.split.cutting import is_drawn
from recstage.data.split.parts import rows_of_newcomers
from recstage.data.split.places import Together


@dataclass
class Cut:
    """What cutting came to. `lengths`: rows of each user in each part; `positive`: liked rows of each part;
    `pairs_of`: pairs of each user, whose items lie in `pairs`."""

    pairs: int = 0
    liked: int = 0
    ties: int = 0
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    positive: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    left_out: dict[str, int] = field(default_factory=dict)
    asked: list[NDArray[np.bool_]] = field(default_factory=list)
    pairs_of: list[NDArray[np.int64]] = field(default_factory=list)


def pairs_in(blocks: UserBlocks) -> dict[int, int]:
    """How many pairs each block has, by its first user."""
    return dict(blocks.each(lambda first, log: (first, len(log.first))))


def cutting_of(blocks: UserBlocks, config: SplitConfig, rule: Rule, time_is_clock: bool) -> Cutting:
    """What all users decide together, found in a pass of its own each: the order that is drawn, the moments of a
    temporal split, the cold-start users. Raises as `recstage.data.split.cut`."""
    cutting = Cutting(config, rule)
    if is_drawn(config, blocks.ordered):
        counts = pairs_in(blocks)
        ends = np.cumsum(list(counts.values()))
        drawn = np.random.default_rng(config.seed).permutation(int(ends[-1]))
        cutting = replace(cutting, drawn=drawn, first_pair=dict(zip(counts, [0, *ends[:-1].tolist()], strict=True)))
    times = np.empty(0, np.int64)
    if config.method == "temporal":
        times = np.concatenate(list(blocks.each(cutting.times_of_candidates)))
    brings = VALIDATION in blocks.log.held_out
    together = Together.of(times, config, brings_validation=brings, time_is_clock=time_is_clock)
    cutting = replace(cutting, together=together)
    if config.newcomers:
        tested = np.concatenate(list(blocks.each(lambda first, log: cutting.cut(first, log)[2].test.lengths)))
        cutting = replace(cutting, kept=rows_of_newcomers(tested, config))
    return cutting


def write_parts(blocks: UserBlocks, cutting: Cutting, folder: Path, pairs: Path | None) -> Cut:
    """Cuts every block and appends its rows to the files of the parts in `folder`; items of all pairs to `pairs`."""
    files = {name: PartFiles(folder, name, matrix=name == "train") for name in PARTS}
    files[FIT] = PartFiles(folder, FIT, parquet=False, matrix=True)
    of_pairs = None if pairs is None else ArrayFile(pairs, np.int32)
    done = Cut()

    def work(first: int, log: EventLog) -> dict[str, Any]:
        ties = log.tied if log.ordered else 0
        log, liked, split = cutting.cut(first, log)
        return {
            "first": first,
            "parts": {name: getattr(split, name) for name in PARTS} | {FIT: split.train_and_validation},
            "ties": ties,
            "liked": liked,
            "left_out": split.left_out,
            "keys": log.pair_keys,
            "users": len(log.users),
        }

    try:
        for block in blocks.each(work):
            _count(done, block, blocks.n_items)
            for name, rows in block["parts"].items():
                files[name].append(rows, block["first"])
            if of_pairs is not None:
                of_pairs.append(block["keys"] % blocks.n_items)
    finally:
        for file in files.values():
            file.close()
        if of_pairs is not None:
            of_pairs.close()
    return done


def _count(done: Cut, block: Mapping[str, Any], n_items: int) -> None:
    parts: Mapping[str, Interactions] = block["parts"]
    done.pairs += len(block["keys"])
    done.liked += block["liked"]
    done.ties += block["ties"]
    for name in PARTS:
        done.rows[name] += len(parts[name])
        done.positive[name] += int((parts[name].weight > 0).sum())
    for reason, count in block["left_out"].items():
        done.left_out[reason] = done.left_out.get(reason, 0) + count
    done.asked.append((parts["test"].lengths + parts["validation"].lengths) > 0)
    done.pairs_of.append(np.bincount(block["keys"] // n_items, minlength=block["users"]))
