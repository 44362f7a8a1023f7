"""Plots of runs and of models: plain numbers in, a matplotlib `Figure` out, drawn by Agg without pyplot.

Every function raises `DataError` where there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from recstage.errors import DataError
from recstage.plots.style import (
    BLUE,
    COLOURS,
    FAINT,
    INK,
    ORANGE,
    QUIET,
    SKY,
    bar_label,
    bars,
    bars_height,
    explain,
    heading,
    horizontal_bars,
    label,
    legend,
    mean_line,
    panels,
    scale_to_longest,
    short,
)

if TYPE_CHECKING:
    from recstage.evaluation.protocol import Evaluation

STAGES = {
    "train_": "training",
    "validation_": "validation",
    "refit_train_": "refit, training",
    "refit_validation_": "refit, validation",
    "refit_": "refit",
    "": "training",
}
GAP = ("training", "validation")
LESS_IS_BETTER = ("gini", "latency")
SEGMENT_ORDER = ("cold", "warm", "hot", "all")
TENTHS = 10
S = TypeVar("S", bound=Sized)


# -- training and tuning -----------------------------------------------------------------------------------------------


def learning_curves(
    curves: Mapping[str, Sequence[tuple[int, float]]], *, step: str = "epoch", note: str = ""
) -> Figure:
    """Metrics over the steps of a fit: `curves` maps a metric's name to its (step, value) pairs. Metrics that differ
    only by their stage (train_, validation_, refit_) share a panel; the best step of each line is marked, and where
    training and validation share one, the heading says how far apart they are there. `note` explains more."""
    shared: dict[str, list[str]] = {}
    for name, points in _some(curves, "curves").items():
        shared.setdefault(_without_stage(name), []).append(name)
        _some(points, f"points of {name}")
    figure, axes = panels("Learning curves", f"by {step}; the ring marks the best of a line", len(shared))
    if note:
        explain(axes, note)
    for axis, (metric, names) in zip(axes, shared.items(), strict=True):
        for i, name in enumerate(names):
            _curve(
                axis, np.array(sorted(curves[name]), float), COLOURS[i % len(COLOURS)], _stage(name), "loss" in metric
            )
        heading(axis, label(metric) + _gap({_stage(name): dict(curves[name]) for name in names}, "loss" in metric))
        axis.set_xlabel(step)
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axis.margins(y=0.12)
        if len(names) > 1:
            legend(axis)
    return figure


def optuna_history(trials: Sequence[tuple[int, float | None]], *, metric: str = "validation score") -> Figure:
    """Every trial's (number, value), None where it was pruned or failed, and the best so far; more is better."""
    finished = np.array([(n, v) for n, v in _some(trials, "trials") if v is not None and np.isfinite(v)]).reshape(-1, 2)
    finished = finished[np.argsort(finished[:, 0])]
    ended = [number for number, value in trials if value is None or not np.isfinite(value)]
    subtitle = f"trials: {len(finished)} finished" + (f", {len(ended)} pruned or failed" if ended else "")
    figure, (axis,) = panels("Tuning history", subtitle, 1)
    if len(finished):
        best = np.maximum.accumulate(finished[:, 1])
        axis.step(finished[:, 0], best, where="post", color=ORANGE, linewidth=1.8, label="best so far")
        axis.plot(*finished.T, "o", color=BLUE, markersize=5.5, alpha=0.75, markeredgewidth=0, label="a trial")
        top = finished[finished[:, 1].argmax()]
        axis.annotate(
            f"{top[1]:.4g}", (top[0], top[1]), (0, 7), textcoords="offset points", ha="center", color=INK, fontsize=9
        )
    if ended:
        low = [0.02] * len(ended)
        base = axis.get_xaxis_transform()
        axis.plot(ended, low, "|", color=QUIET, markersize=9, transform=base, label="pruned or failed")
    axis.set_xlabel("trial")
    axis.set_ylabel(label(metric))
    axis.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axis.set_xlim(-0.5, max(number for number, _ in trials) + 0.5)
    axis.margins(y=0.15)
    legend(axis)
    return figure


def optuna_importances(importances: Mapping[str, float]) -> Figure:
    """How much each hyperparameter decided over the score: shares that sum to one."""
    n = len(_some(importances, "importances"))
    figure, (axis,) = panels(
        "Hyperparameter importance", "share of the variance of the score over all trials", 1, height=bars_height(n)
    )
    bars(axis, importances, n, percent=True)
    return figure


def feature_importance(gain: Mapping[str, float], shap: Mapping[str, float] | None = None, *, top: int = 25) -> Figure:
    """What a ranker listens to: each feature's share of the total gain of the splits and, where given, its mean
    absolute SHAP value (in units of the score). The greatest `top` of each."""
    shown = min(top, len(_some(gain, "features")))
    subtitle = f"the first {shown} of {len(gain)} features" if shown < len(gain) else f"all {shown} features"
    both = shap is not None
    width = 5.8 if both else None
    figure, axes = panels("Feature importance", subtitle, 1 + both, columns=2, width=width, height=bars_height(shown))
    total = sum(gain.values()) or 1
    bars(axes[0], {name: value / total for name, value in gain.items()}, top, percent=True)
    axes[0].set_xlabel("share of the total gain")
    if shap is not None:
        bars(axes[1], shap, top, colour=ORANGE)
        axes[1].set_xlabel("mean |SHAP value|, units of the score")
    return figure


# -- what a model is worth ---------------------------------------------------------------------------------------------


def metric_by_segment(
    evaluation: Evaluation,
    metrics: Sequence[str] = ("ndcg", "hit_rate", "novelty", "diversity"),
    *,
    k: int | None = None,
) -> Figure:
    """Means and confidence intervals for each segment of users and for all, at `k` (10 where it was measured, else the
    greatest)."""
    k = k or _cutoff(evaluation)
    names = _some([f"{m}_at_{k}" for m in metrics if f"{m}_at_{k}" in evaluation.metrics], f"metrics at {k}")
    n_users = {name: int(evaluation.metrics.get(_within(name, "n_users"), 0)) for name in SEGMENT_ORDER}
    segments = [name for name in SEGMENT_ORDER if n_users[name]]
    figure, axes = panels(
        "By segment of users", "mean and confidence interval; below each segment, how many users are in it", len(names),
        columns=4 if len(names) == 4 else 3, width=3.3,
    )  # fmt: skip
    for axis, name in zip(axes, names, strict=True):
        for place, segment in enumerate(segments):
            key = _within(segment, name)
            if key in evaluation.metrics:
                _mean_with_interval(
                    axis,
                    place,
                    evaluation.metrics[key],
                    evaluation.intervals.get(key),
                    QUIET if segment == "all" else BLUE,
                )
        axis.set_xticks(range(len(segments)), [f"{name}\n{n_users[name]:,}" for name in segments])
        axis.set_xlim(-0.6, len(segments) - 0.1)
        axis.set_ylim(0, 1.1 * axis.dataLim.y1 or 1)
        heading(axis, label(name, unit=True))
    return figure


def compare_models(
    values: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Mapping[str, tuple[float, float]]],
    metrics: Sequence[str] = ("ndcg_at_10", "hit_rate_at_10", "coverage_at_10"),
) -> Figure:
    """Several models: `values` and `intervals` map a model to its metrics, as an `Evaluation` holds them. Sorted
    by the first metric; the best of each panel is darker."""
    order = sorted(_some(values, "models"), key=lambda name: values[name].get(metrics[0], -np.inf))
    subtitle = f"sorted by {label(metrics[0])}; whiskers are confidence intervals"
    figure, axes = panels("Models compared", subtitle, len(metrics), columns=3, height=bars_height(len(order)))
    for i, (axis, metric) in enumerate(zip(axes, metrics, strict=True)):
        known = {place: values[name][metric] for place, name in enumerate(order) if metric in values[name]}
        best = (min if metric.startswith(LESS_IS_BETTER) else max)(known.values(), default=0)
        longest = max(known.values(), default=0)
        for place, value in known.items():
            low, high = intervals.get(order[place], {}).get(metric, (value, value))
            axis.barh(place, value, height=0.62, color=BLUE if value == best else SKY)
            if high > low:
                axis.plot([low, high], [place, place], color=INK, linewidth=1.2, solid_capstyle="butt")
            bar_label(axis, f"{value:.3f}", (max(value, high), place), bold=value == best)
            longest = max(longest, high)
        axis.set_yticks(range(len(order)), [short(name) if i % 3 == 0 else "" for name in order])
        axis.set_ylim(-0.6, len(order) - 0.4)
        scale_to_longest(axis, longest, 1.25)
        heading(axis, label(metric, unit=True))
        horizontal_bars(axis)
    return figure


def mmr_trade_off(curve: pd.DataFrame, *, k: int = 10, chosen: float = 0.7) -> Figure:
    """Accuracy against diversity: the table of `evaluation.trade_off.trade_off`, one point a lambda, `chosen`
    marked."""
    x, y = f"diversity_at_{k}", f"ndcg_at_{k}"
    curve = _some(curve, "lambdas").sort_values("lambda")
    figure, (axis,) = panels(
        "Relevance against diversity",
        "lists re-ranked by MMR, one point a lambda; the band is NDCG's confidence interval",
        1,
    )
    axis.fill_between(curve[x], curve["ndcg_low"], curve["ndcg_high"], color=BLUE, alpha=0.12, linewidth=0)
    axis.plot(curve[x], curve[y], color=BLUE, linewidth=1.6, zorder=2)
    for point in curve.to_dict("records"):
        mine = bool(np.isclose(point["lambda"], chosen))
        axis.plot(point[x], point[y], "o", color=ORANGE if mine else BLUE, markersize=9 if mine else 5, zorder=3)
        axis.annotate(
            f"λ = {point['lambda']:g}" if mine else f"{point['lambda']:g}", (point[x], point[y]),
            (0, -19) if mine else (5, 6), ha="center" if mine else "left", textcoords="offset points",
            fontsize=10 if mine else 8.5, color=INK if mine else QUIET,
        )  # fmt: skip
    axis.set_xlabel(label(x, unit=True))
    axis.set_ylabel(label(y))
    axis.margins(0.08, 0.12)
    return figure


def long_tail(item_counts: ArrayLike, shown: ArrayLike, novelty: ArrayLike, *, name: str = "the lists") -> Figure:
    """Whether the lists reach beyond the most popular items. `item_counts` int[n_items]: training interactions; `shown`
    int[n_items]: how many lists show the item (`metrics.exposure`); `novelty` float[n_users]: bits of each list."""
    counts = np.asarray(item_counts, float)
    order = np.argsort(-_some(counts, "items"), kind="stable")
    exposed = np.asarray(shown, float)[order]
    subtitle = f"{np.count_nonzero(exposed):,} of {len(exposed):,} items are in at least one list"
    figure, (cumulated, tenths, surprise) = panels("The long tail", subtitle, 3, width=3.9)
    shares = {"training": _share(counts[order]), name: _share(exposed)}
    for (what, share), colour in zip(shares.items(), (QUIET, BLUE), strict=True):
        upto = np.linspace(0, 1, len(order) + 1)
        cumulated.plot(upto, np.append(0, np.cumsum(share)), color=colour, linewidth=1.8, label=what)
        by_tenth = [part.sum() for part in np.array_split(share, TENTHS)]
        offset = -0.21 if what == "training" else 0.21
        tenths.bar(np.arange(1, TENTHS + 1) + offset, by_tenth, width=0.4, color=colour, label=what)
    cumulated.plot([0, 1], [0, 1], color=FAINT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=0)
    cumulated.set(xlabel="items, the most popular first", xlim=(0, 1), ylim=(0, 1.03))
    cumulated.xaxis.set_major_formatter(PercentFormatter(1))
    heading(cumulated, "Share of all that is taken or shown")
    tenths.set(xlabel="tenth of the catalogue by popularity", xticks=range(1, TENTHS + 1))
    heading(tenths, "The same by tenth")
    for axis in (cumulated, tenths):
        axis.yaxis.set_major_formatter(PercentFormatter(1))
        legend(axis)
    bits = np.asarray(novelty, float)
    bits = bits[np.isfinite(bits)]
    surprise.hist(bits, bins=30, color=BLUE)
    surprise.set(xlabel="mean self-information of a list, bits", ylabel="users")
    heading(surprise, f"Novelty, mean {bits.mean():.2f} bits" if len(bits) else "Novelty")
    if len(bits):
        mean_line(surprise, float(bits.mean()))
    return figure


# -- inside ------------------------------------------------------------------------------------------------------------


def _curve(axis: Axes, points: NDArray[np.float64], colour: str, name: str, less_is_better: bool) -> None:
    axis.plot(points[:, 0], points[:, 1], color=colour, linewidth=1.8, label=name)
    best = points[points[:, 1].argmin() if less_is_better else points[:, 1].argmax()]
    axis.plot(*best, "o", markersize=7, markerfacecolor="white", markeredgecolor=colour, markeredgewidth=1.6)


def _mean_with_interval(
    axis: Axes, place: int, value: float, interval: tuple[float, float] | None, colour: str
) -> None:
    if interval is not None:
        axis.plot([place, place], interval, color=colour, linewidth=5, alpha=0.3, solid_capstyle="butt")
    axis.plot(place, value, "o", color=colour, markersize=6.5)
    bar_label(axis, f"{value:#.3g}", (place, value))


def _share(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values / (values.sum() or 1)


def _within(segment: str, name: str) -> str:
    return name if segment == "all" else f"{segment}_{name}"


def _cutoff(evaluation: Evaluation) -> int:
    measured = [int(name.removeprefix("ndcg_at_")) for name in evaluation.metrics if name.startswith("ndcg_at_")]
    return 10 if 10 in measured or not measured else max(measured)


def _without_stage(name: str) -> str:
    stage = next(stage for stage in STAGES if name.startswith(stage))
    return name.removeprefix(stage)


def _stage(name: str) -> str:
    return next(said for stage, said in STAGES.items() if name.startswith(stage))


def _gap(lines: Mapping[str, Mapping[int, float]], less_is_better: bool) -> str:
    """How far training and validation are apart at the best step of the validation, and both as a second line."""
    training, validation = (lines.get(name, {}) for name in GAP)
    best = (min if less_is_better else max)(validation, key=validation.__getitem__, default=None)
    if best is None or best not in training:
        return ""
    apart = abs(training[best] - validation[best])
    return f", {apart:.2g} apart\ntraining {training[best]:.3g}, validation {validation[best]:.3g}"


def _some(values: S, what: str) -> S:
    if len(values) == 0:
        raise DataError(f"no {what}", rule="a plot needs something to show", fix="Leave this plot out")
    return values
