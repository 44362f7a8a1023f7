"""Plots of a tuning study: which parameters lead to which score."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from recstage.errors import DataError
from recstage.plots.style import BLUE, INK, ORANGE, QUIET, heading, label, panels

FACTS = ("trial", "value", "state", "number")
Column = tuple[str, NDArray[np.float64], list[str]]
"""A parameter: its name, the place of each trial, and the words of the places where they are none but names."""


def finished(trials: pd.DataFrame) -> tuple[pd.DataFrame, list[Column]]:
    """The finished trials, and their parameters as places on an axis. Raises `DataError` where none finished."""
    rows = trials[trials["value"].notna()].reset_index(drop=True) if "value" in trials else trials.iloc[:0]
    if rows.empty:
        raise DataError("no finished trial", rule="a plot needs something to show", fix="Leave this plot out")
    return rows, list(_columns(rows))


def parallel_coordinates(trials: pd.DataFrame, *, metric: str = "validation score") -> Figure:
    """One line a finished trial through its parameters to its score; the darker, the better, the best one orange.
    `trials` has the columns trial, value, state and one a parameter."""
    rows, columns = finished(trials)
    values = rows["value"].to_numpy(float)
    axes = [*columns, (label(metric), values, [])]
    figure, (axis,) = panels("Trials", f"{len(rows)} finished, from their parameters to the score; orange: the best", 1,
                             width=max(7.2, 1.7 * len(axes)))  # fmt: skip
    heights = np.array([_scaled(places) for _, places, _ in axes])
    rank = _scaled(values)
    for trial in np.argsort(values, kind="stable"):
        best = trial == int(values.argmax())
        colour = ORANGE if best else colormaps["Blues"](0.25 + 0.65 * rank[trial])
        axis.plot(
            range(len(axes)), heights[:, trial], color=colour, linewidth=2.4 if best else 1.2, zorder=3 if best else 2
        )
    for at, (_, places, words) in enumerate(axes):
        axis.axvline(at, color=QUIET, linewidth=0.8, zorder=1)
        shown = words or [f"{end:.3g}" for end in (places.min(), places.max())]
        stands = _scaled(np.arange(len(words), dtype=float)) if words else np.array([0.0, 1.0])
        if not words and places.min() == places.max():
            shown, stands = shown[:1], np.array([0.5])
        for text, height in zip(shown, stands, strict=True):
            axis.annotate(text, (at, height), (4, 3), textcoords="offset points", fontsize=8.5, color=INK)
    axis.set_xticks(range(len(axes)), [name for name, _, _ in axes])
    axis.set_yticks([])
    axis.grid(False)
    axis.set(xlim=(-0.2, len(axes) - 0.4), ylim=(-0.05, 1.12))
    return figure


def slices(trials: pd.DataFrame, *, metric: str = "validation score") -> Figure:
    """The score of the finished trials over each parameter by itself."""
    rows, columns = finished(trials)
    values = rows["value"].to_numpy(float)
    if not columns:
        raise DataError("no parameter", rule="a plot needs something to show", fix="Leave this plot out")
    figure, axes = panels("Score by parameter", "one point a finished trial; orange: the best", len(columns))
    for axis, (name, places, words) in zip(axes, columns, strict=True):
        axis.plot(places, values, "o", color=BLUE, markersize=5.5, alpha=0.7, markeredgewidth=0)
        axis.plot(places[values.argmax()], values.max(), "o", color=ORANGE, markersize=8)
        if words:
            axis.set_xticks(range(len(words)), words)
        elif _by_order_of_magnitude(places):
            axis.set_xscale("log")
        else:
            axis.xaxis.set_major_locator(MaxNLocator(5))
        heading(axis, name)
    axes[0].set_ylabel(label(metric))
    return figure


def _columns(rows: pd.DataFrame) -> Iterator[Column]:
    for name in rows.columns:
        if name in FACTS:
            continue
        numbers = pd.to_numeric(rows[name], errors="coerce")
        if numbers.notna().all() and not any(isinstance(value, bool) for value in rows[name]):
            yield str(name), numbers.to_numpy(float), []
        else:
            words = sorted({str(value) for value in rows[name]})
            yield str(name), np.array([words.index(str(value)) for value in rows[name]], float), words


def _scaled(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 to 1; all in the middle where all are equal; by logarithm over orders of magnitude."""
    if _by_order_of_magnitude(places):
        places = np.log(places)
    spread = float(np.ptp(places)) if len(places) else 0.0
    return np.full(len(places), 0.5) if spread == 0 else (places - places.min()) / spread


def _by_order_of_magnitude(places: NDArray[np.float64]) -> bool:
    return bool(len(places) and places.min() > 0 and places.max() / places.min() > 30)
