"""Recstage against other libraries: both in the same run, on the same rows, medians compared (`benchmark --against`).

A ratio is ours divided by theirs where it should be small (`als-fit`) or says how much better our lists are, and theirs
divided by ours where it says how many times faster recstage is; each title says which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from recstage.errors import ConfigError, ExternalToolError, valid_names
from recstage.steps.benchmarks import library_quality, library_speed
from recstage.steps.benchmarks.library_measurement import LibraryComparison

NAMES: dict[str, Callable[[str, int], list[LibraryComparison]]] = {
    "als-fit": library_speed.als_fit,
    "knn-fit": library_speed.knn_fit,
    "neumf-epoch": library_speed.neumf_epoch,
    "recbole": library_quality.recbole,
    "own-times": library_speed.own_times,
    "rectools": library_quality.rectools,
    "lenskit": library_quality.lenskit,
    "run-overhead": library_speed.run_overhead,
}
"""Each measurement: (name of conf/data, seed) -> its rows."""


def checked(names: Sequence[str]) -> Sequence[str]:
    """The same names. Raises `ConfigError` on an unknown one."""
    for name in names:
        if name not in NAMES:
            raise ConfigError(f"comparison '{name}'", rule="there is no such comparison", fix=valid_names(name, NAMES))
    return names


def run_comparisons(names: Sequence[str], data: str, seed: int) -> tuple[list[LibraryComparison], dict[str, str]]:
    """Run the comparisons one after the other: their rows; and by name, why one could not be run."""
    rows: list[LibraryComparison] = []
    failed = {}
    for name in names:
        try:
            rows += NAMES[name](data, seed)
        except ExternalToolError as error:
            failed[name] = str(error)
    return rows, failed
