"""Plots of a data set: plain numbers in, a matplotlib `Figure` out."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from recstage.errors import DataError
from recstage.plots.style import BLUE, FAINT, INK, ORANGE, QUIET, heading, panels

BINS = 30
PERIODS = 60


def activity(user_counts: ArrayLike, item_counts: ArrayLike) -> Figure:
    """How many rows a user and an item have (int[n_users], int[n_items]), on a logarithmic axis, with the median."""
    figure, axes = panels("Rows of each user and item", "the line is the median", 2, width=4.4)
    for axis, counts, what in zip(axes, (user_counts, item_counts), ("users", "items"), strict=True):
        some = _positive(counts, what)
        edges = np.unique(np.geomspace(1, max(some.max(), 2) + 1, BINS).round())
        axis.hist(some, bins=edges.tolist(), color=BLUE)
        axis.set_xscale("log")
        axis.axvline(float(np.median(some)), color=ORANGE, linewidth=1.6)
        axis.set(xlabel="rows", ylabel=what)
        heading(axis, f"{what}: median {np.median(some):g}, most {some.max():,.0f}")
    return figure


def concentration(item_counts: ArrayLike) -> Figure:
    """The long tail of a data set: the share of all rows that the most popular items have (int[n_items])."""
    counts = np.sort(_positive(item_counts, "items"))[::-1]
    share = np.append(0, np.cumsum(counts) / counts.sum())
    upto = np.linspace(0, 1, len(share))
    fifth = float(np.interp(0.2, upto, share))
    subtitle = f"the most popular fifth of the items has {fifth:.0%} of the rows"
    figure, (axis,) = panels("The long tail", subtitle, 1)
    axis.plot(upto, share, color=BLUE, linewidth=1.8)
    axis.plot([0, 1], [0, 1], color=FAINT, linewidth=1.2, linestyle=(0, (4, 3)))
    axis.plot([0.2, 0.2], [0, fifth], color=QUIET, linewidth=1)
    axis.set(xlabel="items, the most popular first", ylabel="share of the rows", xlim=(0, 1), ylim=(0, 1.03))
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def over_time(parts: dict[str, ArrayLike], *, clock: bool = True) -> Figure:
    """Rows of each part of a split over time. `parts`: times by name, seconds since 1970 (or, without a `clock`, places
    in an order)."""
    times = {name: np.asarray(values, float) for name, values in parts.items() if np.size(values)}
    if not times:
        raise DataError("no times", rule="a plot needs something to show", fix="Leave this plot out")
    low = min(values.min() for values in times.values())
    high = max(values.max() for values in times.values())
    edges = np.linspace(low, max(high, low + 1), PERIODS + 1)
    figure, (axis,) = panels(
        "Rows over time", f"{PERIODS} periods of equal length; colours are the parts of the split", 1
    )
    below = np.zeros(PERIODS)
    for (name, values), colour in zip(times.items(), (BLUE, QUIET, ORANGE), strict=False):
        height = np.histogram(values, edges)[0]
        _bars(axis, edges, height, below, colour, name, clock=clock)
        below += height
    axis.set_ylabel("rows")
    axis.set_xlabel("" if clock else "place in the order")
    axis.legend(frameon=False, fontsize=9, labelcolor=INK)
    return figure


def sessions(gaps: ArrayLike, lengths: ArrayLike, *, gap_minutes: float) -> Figure:
    """Time between the rows of one user (float, seconds) and rows a session (int), cut where it is longer than
    `gap_minutes`."""
    pauses = np.asarray(gaps, float) / 60
    pauses = pauses[pauses > 0]
    counts = _positive(lengths, "sessions")
    figure, (between, rows) = panels("Sessions", f"a new one after {gap_minutes:g} minutes without a row", 2, width=4.4)
    if len(pauses):
        between.hist(pauses, bins=np.geomspace(pauses.min(), pauses.max() * 1.01, BINS).tolist(), color=BLUE)
    between.set_xscale("log")
    between.axvline(gap_minutes, color=ORANGE, linewidth=1.6)
    between.set(xlabel="minutes between two rows of a user", ylabel="pairs of rows")
    heading(between, "Pauses")
    longest = int(min(counts.max(), np.quantile(counts, 0.99) + 1))
    rows.hist(np.minimum(counts, longest), bins=np.arange(0.5, longest + 1.5).tolist(), color=BLUE)
    rows.set(xlabel="rows of a session", ylabel="sessions")
    heading(rows, f"{len(counts):,} sessions, {counts.mean():.1f} rows on average")
    return figure


def _bars(
    axis: Axes,
    edges: NDArray[np.float64],
    height: NDArray[np.int64],
    below: NDArray[np.float64],
    colour: str,
    name: str,
    *,
    clock: bool,
) -> None:
    start: NDArray = edges[:-1]
    width = float(edges[1] - edges[0])
    if clock:
        start, width = start.astype("datetime64[s]"), width / 86400
        locator = AutoDateLocator(maxticks=8)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axis.bar(start, height, width=width, bottom=below, align="edge", color=colour, label=name)


def _positive(values: ArrayLike, what: str) -> NDArray[np.float64]:
    some = np.asarray(values, float)
    some = some[some > 0]
    if not len(some):
        raise DataError(f"no {what}", rule="a plot needs something to show", fix="Leave this plot out")
    return some
