"""Plots of what users are served: experiments, and which version was Production when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from recstage.errors import DataError
from recstage.experiments.reading import Measured
from recstage.plots.style import BLUE, INK, ORANGE, QUIET, SKY, horizontal_bars, label, panels


def confidence_sequence(looks: Sequence[tuple[int, float, float, float]], metric: str) -> Figure:
    """The difference over the lists shown, with the interval that holds at every look.

    Args:
        looks: (lists, difference, low, high) of each look, in order of time.
        metric: its name.
    """
    figure, (axis,) = panels(f"{label(metric)}: challenger less Production", "the band holds at every look at once", 1)
    lists, difference, low, high = np.array(looks, dtype=float).T
    axis.fill_between(lists, low, high, color=SKY, alpha=0.5, linewidth=0)
    axis.plot(lists, difference, "o-", color=BLUE, linewidth=1.8, markersize=5)
    axis.vlines(lists, low, high, color=BLUE, linewidth=1.2, alpha=0.6)  # a single look has no band
    axis.axhline(0, color=INK, linewidth=1)
    edge = 1.6 * max(abs(difference[-1]), abs(high[-1]), abs(low[-1])) or 1.0
    axis.set_ylim(-edge, edge)
    axis.set_xlabel("lists shown")
    return figure


def differences(measured: Sequence[Measured]) -> Figure:
    """Relative differences of all rates with their intervals, by segment."""
    shown = [one for one in measured if np.isfinite(one.low) and one.difference.production > 0] or list(measured)[:1]
    figure, (axis,) = panels("Challenger against Production", "relative difference; the bar holds at every look", 1)
    places = np.arange(len(shown))[::-1]
    for place, one in zip(places, shown, strict=True):
        base = one.difference.production or 1.0
        low, high = (float(np.clip(end / base, -2, 2)) for end in (one.low, one.high))
        colour = QUIET if low <= 0 <= high else BLUE if low > 0 else ORANGE
        axis.plot([low, high], [place, place], color=colour, linewidth=3, solid_capstyle="round")
        axis.plot([np.clip(one.difference.difference / base, -2, 2)], [place], "o", color=INK, markersize=4)
    names = [one.metric if one.segment == "all" else f"{one.metric}, {one.segment}" for one in shown]
    axis.set_yticks(places, [label(name) for name in names])
    axis.axvline(0, color=INK, linewidth=1)
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    horizontal_bars(axis)
    return figure


def production_over_time(stretches: Sequence[tuple[int | None, datetime, datetime]]) -> Figure:
    """Which version was Production from when to when: one row a version, None a time without one."""
    if not stretches:
        raise DataError("no change of Production", rule="a plot needs something to show", fix="Promote a version")
    names = list(dict.fromkeys("none" if np.isnan(v or np.nan) else f"version {v:.0f}" for v, _, _ in stretches))
    title = f"{len(stretches)} changes of Production"
    figure, (axis,) = panels("Production over time", title, 1, height=1.2 + 0.4 * len(names))
    for version, start, end in stretches:
        name = "none" if np.isnan(version or np.nan) else f"version {version:.0f}"
        place, (low, high) = len(names) - 1 - names.index(name), date2num([start, end])
        axis.barh(place, high - low, left=low, height=0.5, color=QUIET if name == "none" else BLUE)
        axis.plot([low], [place], "|", color=INK, markersize=14)
    axis.set_yticks(range(len(names) - 1, -1, -1), names)
    locator = AutoDateLocator(minticks=3, maxticks=8)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    horizontal_bars(axis)
    return figure


def click_through_by_stage(rows: pd.DataFrame) -> Figure:
    """What each version's lists earned in each stage of a simulated circle, beside what they truly earn.

    Args:
        rows: columns stage, version, lists, click_through, true_click_through; in order of time.
    """
    if rows.empty:
        raise DataError("no lists", rule="a plot needs something to show", fix="Let users visit the service")
    figure, (axis,) = panels("Lists with a click", "bar: measured; mark: by the users' true tastes", 1)
    places = np.arange(len(rows))[::-1]
    first = rows["version"].iloc[0]
    colours = [QUIET if version == first else BLUE for version in rows["version"]]
    axis.barh(places, rows["click_through"], color=colours, height=0.6)
    axis.plot(rows["true_click_through"], places, "|", color=INK, markersize=18, markeredgewidth=2)
    names = [f"{stage}, version {version}" for stage, version in zip(rows["stage"], rows["version"], strict=True)]
    axis.set_yticks(places, names)
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    horizontal_bars(axis)
    return figure
