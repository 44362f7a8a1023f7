"""Plots of the lists a model makes: whom and what they reach, how sure they are, where the items stand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from recstage.errors import DataError
from recstage.plots.style import BLUE, COLOURS, FAINT, INK, ORANGE, QUIET, SKY, heading, legend, panels

OTHER = "other"
BINS = 40
DEPTHS = (1, 2, 3, 5, 10, 20, 50)


def score_histogram(scores: ArrayLike, *, name: str, most: int = 10) -> Figure:
    """How a model's scores lie. `scores` float[n_users, k]: of each list, best first, NaN where it ends earlier. Left
    the first place beside all places, right the mean of each place with the middle half of the users: a flat line
    means that the model barely tells the places apart."""
    values = np.asarray(scores, float)
    values = values[:, :most] if values.ndim == 2 else values.reshape(len(values), -1)
    known = values[np.isfinite(values)]
    if not len(known):
        raise DataError("no scores", rule="a plot needs something to show", fix="Leave this plot out")
    figure, (histogram, places) = panels(f"Scores of {name}", f"lists of {len(values):,} test users", 2, width=4.4)
    edges = np.histogram_bin_edges(known, BINS).tolist()
    first = values[:, 0]
    histogram.hist(known, bins=edges, color=SKY, label=f"places 1 to {values.shape[1]}")
    histogram.hist(first[np.isfinite(first)], bins=edges, color=BLUE, label="place 1")
    histogram.set(xlabel="score", ylabel="items in lists")
    heading(histogram, "All scores")
    legend(histogram)
    columns = [column[np.isfinite(column)] for column in values.T]
    columns = [column for column in columns if len(column)]
    at = np.arange(1, len(columns) + 1)
    low, middle, high = np.array([np.quantile(column, (0.25, 0.5, 0.75)) for column in columns]).T
    places.fill_between(at, low, high, color=BLUE, alpha=0.15, linewidth=0)
    places.plot(at, middle, "o-", color=BLUE, linewidth=1.6, markersize=4)
    places.set(xlabel="place in the list", xticks=at)
    heading(places, "Median by place, middle half of the users")
    return figure


def coverage_curve(lists: ArrayLike, item_counts: ArrayLike, *, name: str) -> Figure:
    """What lists of k items reach, for k from 1. `lists` int[n_users, k]: items, -1 where a list ends earlier;
    `item_counts` int[n_items]: training interactions. Left the share of the catalogue in at least one list, right the
    mean percentile of popularity of what is shown (100 %: only the most popular item)."""
    shown, counts = np.asarray(lists), np.asarray(item_counts, float)
    depths = [k for k in DEPTHS if k <= shown.shape[1]] if shown.ndim == 2 else []
    if not depths or not len(counts):
        raise DataError("no lists", rule="a plot needs something to show", fix="Leave this plot out")
    order = np.argsort(np.argsort(counts, kind="stable"), kind="stable")
    percentile = order / max(len(counts) - 1, 1)
    reached, popular = [], []
    for k in depths:
        items = shown[:, :k]
        items = items[items >= 0]
        reached.append(len(np.unique(items)) / len(counts))
        popular.append(float(percentile[items].mean()) if len(items) else np.nan)
    chosen = float((percentile * counts).sum() / (counts.sum() or 1))
    subtitle = f"{len(shown):,} lists over {len(counts):,} items"
    figure, (coverage, popularity) = panels(f"Coverage and popularity of {name}", subtitle, 2, width=4.4)
    for axis, values, title in (
        (coverage, reached, "Share of the catalogue in a list"),
        (popularity, popular, "Mean percentile of popularity"),
    ):
        axis.plot(depths, values, "o-", color=BLUE, linewidth=1.8, markersize=5, label=name)
        axis.set(xlabel="length of the lists", ylim=(0, 1.03))
        axis.set_xscale("log")
        axis.set_xticks(depths, [str(k) for k in depths])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(PercentFormatter(1))
        heading(axis, title)
    popularity.axhline(chosen, color=QUIET, linewidth=1.4, linestyle=(0, (4, 3)), label="what users chose in training")
    legend(popularity)
    return figure


def item_map(
    points: NDArray[np.floating], names: NDArray[np.object_], counts: ArrayLike, *, name: str, kept: float
) -> Figure:
    """Items at `points` float[n_items, 2], coloured by `names` (a group each), larger where `counts` are."""
    sizes = np.asarray(counts, float)
    figure, (axis,) = panels(f"Items of {name}", f"near: similar; two dimensions with {kept:.0%} of the variance", 1)
    for group, colour in zip(sorted(set(names)), (*COLOURS, INK, BLUE), strict=False):
        mine = names == group
        area = 6 + 90 * sizes[mine] / max(sizes.max(), 1)
        axis.scatter(points[mine, 0], points[mine, 1], area, color=colour, alpha=0.6, linewidths=0, label=group)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    legend(axis)
    return figure


def popularity_against_exposure(item_counts: ArrayLike, shown: ArrayLike, *, name: str) -> Figure:
    """One point an item: histories that hold it against lists that show it, both plus one, logarithmic."""
    counts, lists = np.asarray(item_counts, float), np.asarray(shown, float)
    never = int((lists == 0).sum())
    figure, (axis,) = panels(
        f"Chosen and shown, {name}", f"one point an item; {never:,} of {len(lists):,} are in no list", 1
    )
    axis.scatter(counts + 1, lists + 1, s=14, color=BLUE, alpha=0.45, linewidths=0)
    most = max(counts.max(initial=1), lists.max(initial=1)) + 1
    axis.plot([1, most], [1, most], color=FAINT, linewidth=1.2, zorder=0)
    axis.axhline(1, color=ORANGE, linewidth=0.8, zorder=0)
    axis.set(xscale="log", yscale="log", xlabel="histories that hold the item, plus one")
    axis.set_ylabel("lists that show it, plus one")
    return figure


def two_dimensions(vectors: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Principal components: float[n, 2], and the share of the variance that they keep."""
    centred = np.asarray(vectors, float)
    centred = centred - centred.mean(0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(centred), 2))
    width = min(2, len(lengths))
    points[:, :width] = left[:, :width] * lengths[:width]
    total = float((lengths**2).sum())
    return points, float((lengths[:2] ** 2).sum() / total) if total else 0.0


def group_names(categories: Sequence[Sequence[str]], most: int) -> NDArray[np.object_]:
    """The first category of each item where it is among the `most` frequent, else "other"."""
    first = [names[0] if names else OTHER for names in categories]
    counted: dict[str, int] = {}
    for name in first:
        counted[name] = counted.get(name, 0) + 1
    kept = set(sorted((n for n in counted if n != OTHER), key=lambda n: (-counted[n], n))[:most])
    return np.array([name if name in kept else OTHER for name in first], dtype=object)
