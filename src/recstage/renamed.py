"""Old names that still work: one table for the service's settings, the commands, the metrics and the classes of models.

A name of version 0.1 is taken for its new one, with one warning line in each program that is started; the version after
this one removes this module's tables. `docs/upgrading.md` lists every entry; a test fails where one is missing there.
"""

from __future__ import annotations

import logging
import multiprocessing
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TypeVar

from recstage.errors import ConfigError

log = logging.getLogger("recstage.renamed")
V = TypeVar("V")

SETTINGS = {
    "body_seconds": "body_timeout_seconds",
    "bundles": "bundle_dir",
    "own_models_seconds": "fallback_refresh_seconds",
    "reverse_name": "reverse_model_name",
    "standing_lag_ms": "queue_lag_ms",
}
"""Of the service: in conf/serving.yaml, as RECSTAGE_SERVING_..., on the command line."""
COMMANDS = {
    "serving.database": "serving.store",
    "serving.drills": "experiments.benchmarks",
    "serving.store.drills": "experiments.benchmarks",
    "serving.watcher": "serving.models.registry_sync",
}
"""Of `python -m ...`."""
TARGETS = {
    "recstage.models.als:ALS": "recstage.models.factorization.als:ALS",
    "recstage.models.graph:Graph": "recstage.models.neighborhood.graph:Graph",
    "recstage.models.knn:Knn": "recstage.models.neighborhood.knn:Knn",
    "recstage.models.popularity:Popularity": "recstage.models.baselines.popularity:Popularity",
    "recstage.models.random:Random": "recstage.models.baselines.random:Random",
    "recstage.models.reverse_als:ReverseALS": "recstage.models.factorization.reverse_als:ReverseALS",
    "recstage.models.transitions:Transitions": "recstage.models.neighborhood.transitions:Transitions",
}
"""Classes of models, in `conf/model/*.yaml` and in bundles. The latter bring no warning, and stay when the rest goes: a
bundle cannot be edited."""
METRICS = {
    "recstage_answers_total": "recstage_recommendations_total",
    "recstage_registry_look_age_seconds": "recstage_registry_poll_age_seconds",
    "recstage_swap_seconds": "recstage_model_swap_seconds",
    "recstage_swapped_timestamp_seconds": "recstage_model_swapped_timestamp_seconds",
    "recstage_swaps_total": "recstage_model_swaps_total",
}
LABELS = {"why": "reason"}
"""Of `recstage_fallbacks_total` and `recstage_requests_refused_total`."""


@cache
def warn(old: str, new: str) -> None:
    """One line for each old name in each program, not in each of its worker processes."""
    if multiprocessing.parent_process() is None:
        log.warning("recstage: %s is called %s now; only this version still takes the old name", old, new)


def new_names(
    values: Mapping[str, V], table: Mapping[str, str], *, where: str = "", written: Callable[[str], str] = str
) -> dict[str, V]:
    """`values` by their new names. `where` they come from and how a name is `written` there is what messages say.

    Raises `ConfigError` where an old name and its new one are both given.
    """
    found = dict(values)
    for old, new in table.items():
        if old not in found:
            continue
        if new in found:
            raise ConfigError(
                f"{where}{written(old)} and {written(new)}",
                rule="the first is the old name of the second, so the setting is given twice",
                fix=f"Remove {written(old)}",
            )
        warn(f"{where}{written(old)}", written(new))
        found[new] = found.pop(old)
    return found


def new_options(arguments: Sequence[str], table: Mapping[str, str]) -> list[str]:
    """A command line with `--old value` and `--old=value` as `--new ...`."""
    words = []
    for word in arguments:
        name, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in table:
            warn(f"--{name}", f"--{table[name]}")
            word = f"--{table[name]}{equals}{value}"
        words.append(word)
    return words


def run_command(old: str) -> None:
    """Run `python -m OLD` as the command that took its place, with the same arguments and exit status."""
    new = COMMANDS[old]
    warn(f"python -m {old}", f"python -m {new}")
    sys.argv[0] = new
    runpy.run_module(new, run_name="__main__", alter_sys=True)
