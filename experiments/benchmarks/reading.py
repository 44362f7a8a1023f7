"""Seconds and memory of reading and checking a CSV: python -m experiments.benchmarks.reading [ROWS]"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from recstage.config import DataConfig, EventsSource
from recstage.data import sources, validation

TYPES = ("view", "click", "like", "share")


def write(path: Path, rows: int, seed: int = 1) -> None:
    """`rows` events of 200,000 users and 50,000 items, both long-tailed, in the order of their times."""
    rng = np.random.default_rng(seed)
    kinds = pa.DictionaryArray.from_arrays(pa.array(rng.integers(0, len(TYPES), rows).astype(np.int8)), pa.array(TYPES))
    table = {
        "user_id": (rng.zipf(1.3, rows) % 200_000).astype(np.int32),
        "item_id": (rng.zipf(1.2, rows) % 50_000).astype(np.int32),
        "timestamp": np.sort(rng.integers(1_600_000_000, 1_700_000_000, rows)),
        "event": kinds.cast(pa.string()),
    }
    csv.write_csv(pa.table(table), path, csv.WriteOptions(quoting_style="none"))


def measure(path: Path) -> None:
    """Reads and checks the file, and prints what it took."""
    began, cpu = time.perf_counter(), time.process_time()
    config = DataConfig(name="reading", source=EventsSource(path=str(path)), weights=dict.fromkeys(TYPES, 1.0))
    raw, findings = validation.clean(sources.read(config.source), config)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{findings.rows} rows read, {len(raw.events)} kept, {findings.dropped}: "
        f"{time.perf_counter() - began:.1f} s, {time.process_time() - cpu:.1f} s of CPU, {memory} MiB at most"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.csv"
        write(file, int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
        measure(file)
