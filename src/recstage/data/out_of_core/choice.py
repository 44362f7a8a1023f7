"""Whether a data set is prepared in memory or out of core: what it would take, against what it may."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from recstage.config import DataConfig, SyntheticSource
from recstage.config.memory_size import bytes_of, shown
from recstage.data import sources
from recstage.data.out_of_core import engine
from recstage.errors import ConfigError

BYTES_AN_EVENT = 330
"""In memory, at the most: 3.3 GB of 10 million events."""
TIMES_THE_FILE, TIMES_THE_PACKED_FILE = 10, 40
"""Of delimited text and JSON; a row of 33 bytes takes as much as an event."""
LEAST = 1 << 30
"""Less than this does not hold the libraries, DuckDB and one block of users."""
KINDS = ("events", "synthetic", "movielens", "json", "ncf")
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """Bytes that preparing may take, and whether it was said."""

    amount: int
    given: bool

    @classmethod
    def of(cls, config: DataConfig) -> Budget:
        """`memory`, or half of what is free."""
        if config.memory:
            return cls(bytes_of(config.memory), True)
        return cls(psutil.virtual_memory().available // 2, False)


def out_of_core(config: DataConfig) -> int | None:
    """The bytes that preparing out of core may take; None: prepare in memory. Says which in a line where there was a
    choice. Raises `ConfigError` where the bound is below what is possible, or the engine is missing."""
    budget = Budget.of(config)
    if what := _always_in_memory(config):
        if budget.given or config.engine == "duckdb":
            log.info("%s: prepared in memory, as every %s", config.name, what)
        return None
    needed = estimated(config)
    if config.engine == "memory" or (config.engine == "auto" and needed <= budget.amount):
        if budget.given:
            _tell(config, "in memory", needed, budget)
        return None
    if not engine.is_installed():
        if config.engine == "auto" and not budget.given:
            log.warning(
                "%s: preparing takes some %s of memory, and %s are free; pip install 'recstage[scale]' prepares it "
                "out of core",
                config.name,
                shown(needed),
                shown(2 * budget.amount),
            )
            return None
        raise engine.missing()
    if budget.amount < LEAST:
        if budget.given:
            raise ConfigError(
                f"memory = {config.memory}",
                rule=f"preparing out of core takes {shown(LEAST)} at least: libraries, DuckDB and a block of users",
                fix=f"Give {shown(LEAST).replace(' ', '')} or more",
            )
        budget = Budget(LEAST, False)
    _tell(config, "out of core by DuckDB", needed, budget)
    return budget.amount


def _always_in_memory(config: DataConfig) -> str:
    """What of a data set only memory does; empty: nothing."""
    if config.source.kind not in KINDS:
        return f"source of kind {config.source.kind}"
    if config.split.folded:
        return f"split of method {config.split.method}"
    return "data set with a context of events" if getattr(config.source, "context", None) else ""


def estimated(config: DataConfig) -> int:
    """Bytes that preparing in memory would take, from the number of events or the size of the files."""
    if isinstance(config.source, SyntheticSource):
        return BYTES_AN_EVENT * config.source.interactions
    return sum(_of_file(file) for file in sources.files(config.source))


def _of_file(file: Path) -> int:
    size = file.stat().st_size if file.is_file() else 0
    if file.suffix.lower() in (".parquet", ".pq", ".parq"):
        try:
            return BYTES_AN_EVENT * int(pq.read_metadata(file).num_rows)
        except (OSError, pa.ArrowException):  # reading it says what is wrong
            return size
    return size * (TIMES_THE_PACKED_FILE if file.suffix.lower() in PACKED else TIMES_THE_FILE)


def _tell(config: DataConfig, how: str, needed: int, budget: Budget) -> None:
    bound = f"memory={config.memory}" if budget.given else f"half of what is free, {shown(budget.amount)}"
    log.info("%s: prepared %s (in memory it would take some %s; %s)", config.name, how, shown(needed), bound)
