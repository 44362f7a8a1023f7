"""Which of an evaluation's numbers are metrics of a run, and under which names.

A run page of MLflow lists metrics in the order in which they were logged, and draws one chart a metric, in sections by
what stands before the slash. The ten figures that matter have no slash and are logged first; a few more stand in
sections whose names sort after them; everything else, each metric at each cutoff and segment with its interval, is the
table `evaluation/metrics.csv`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from recstage.data.segments import SEGMENTS

HEADLINES = (
    "ndcg_at_10",
    "hit_rate_at_10",
    "recall_at_20",
    "sampled_ndcg_at_10",
    "coverage_at_10",
    "gini_at_10",
    "novelty_at_10",
    "diversity_at_10",
    "latency_p95_ms",
    "fit_seconds",
)
"""What a run shows first."""
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "segment": tuple(f"{segment}_ndcg_at_10" for segment in SEGMENTS),
    "statistics": (
        "ndcg_at_10_low",
        "ndcg_at_10_high",
        "mrr_at_10",
        "map_at_10",
        "novelty_share_at_10",
        "sampled_hit_rate_at_10",
        "latency_p50_ms",
        "preset_gain",
    ),
    "training": (),
    "usage": ("wall_seconds", "peak_memory_mb", "bundle_bytes", "search_seconds", "evaluation_seconds", "index_recall"),
}
"""Metrics in sections of their own; `training` holds what a fit reports as it learns."""
TRAINING = "training"
_SECTION_OF = {name: section for section, names in SECTIONS.items() for name in names}


def sectioned(name: str) -> str:
    """The name that a metric has in MLflow: `bundle_bytes` is `usage/bundle_bytes`, a headline stays as it is."""
    section = _SECTION_OF.get(name)
    return name if section is None else f"{section}/{name}"


def in_training(name: str) -> str:
    """The name of a number that a fit reports, as a metric of the run."""
    return f"{TRAINING}/{name}"


def plain(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics of a run by their names without sections. Runs of earlier versions had none: theirs stay as they
    are, and where a run has both, the headline wins."""
    found = {name: value for name, value in metrics.items() if "/" not in name}
    for name, value in metrics.items():
        section, _, rest = name.partition("/")
        if section in SECTIONS and section != TRAINING:
            found.setdefault(rest, value)
    return found


def kept(names: Iterable[str]) -> list[str]:
    """Those of an evaluation's metrics that become metrics of the run. Where 10 (or 20) was not among the cutoffs, the
    greatest cutoff stands in for it."""
    there = list(names)
    cutoffs = sorted({int(name.rpartition("_at_")[2]) for name in there if name.rpartition("_at_")[2].isdigit()})
    wanted = [*HEADLINES, *_SECTION_OF]
    found = [name for name in wanted if name in there]
    for name in wanted:
        stem, at, rest = name.partition("_at_")
        if not at or name in there or not cutoffs:
            continue
        k, _, side = rest.partition("_")
        stand_in = f"{stem}_at_{cutoffs[-1]}" + (f"_{side}" if side else "")
        if int(k) not in cutoffs and stand_in in there and stand_in not in found:
            found.append(stand_in)
    return found
