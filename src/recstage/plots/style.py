"""The look of every plot: a title that names what is shown, a pale line below it that explains how to read it, no
frame, colours that the colour-blind can distinguish. All by objects: nothing global is touched."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

INK, QUIET, FAINT = "#22262b", "#6b7280", "#e3e6ea"
BLUE, ORANGE, GREEN, ROSE, VIOLET, SKY = "#2f6db2", "#d97a1e", "#2c8f6a", "#b8476b", "#7a67b3", "#9dbfe0"
COLOURS = (BLUE, ORANGE, GREEN, ROSE, VIOLET, QUIET)
DPI = 144
HEADER = 0.68  # inches of title and explanation
LONGEST_NAME = 40
LETTERS_PER_INCH = 15
FEWEST_BARS = 3  # the least that a panel is drawn for
PANEL_WIDTH, PANEL_HEIGHT = 3.6, 3.0
SINGLE_WIDTH, SINGLE_HEIGHT = 7.2, 4.2
SPELLED = {"ndcg": "NDCG", "map": "MAP", "mrr": "MRR", "gini": "Gini"}
UNITS = {"novelty": "bits", "diversity": "1 − mean cosine", "coverage": "share of items"}


def label(name: str, *, unit: bool = False) -> str:
    """A logged name as it is usually written: ndcg_at_10 as NDCG@10, sampled_hit_rate_at_5 as Sampled hit rate@5."""
    plain, _, k = name.partition("_at_")
    text = " ".join(SPELLED.get(word, word) for word in plain.split("_"))
    text = text[:1].upper() + text[1:] + (f"@{k}" if k else "")
    return f"{text}, {UNITS[plain]}" if unit and plain in UNITS else text


def short(name: str) -> str:
    """A name next to a bar: of a long one, its beginning and its end."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 12]}…{name[-11:]}"


class NotebookFigure(Figure):
    """A figure that shows itself in Jupyter: without pyplot nothing else draws it there."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png")
        return stream.getvalue()


def panels(
    title: str, subtitle: str, n: int, *, columns: int = 3, width: float | None = None, height: float | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure of n panels in rows of at most `columns`, of `width` x `height` inches each, under its title."""
    columns = min(n, columns)
    rows = -(-n // columns)
    wide = (width or (SINGLE_WIDTH if n == 1 else PANEL_WIDTH)) * columns
    high = (height or (SINGLE_HEIGHT if n == 1 else PANEL_HEIGHT)) * rows
    wide = max(wide, 5.5)
    figure = NotebookFigure(
        figsize=(wide, high + HEADER),
        dpi=DPI,
        layout=ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.08),
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    header, body = figure.subfigures(2, 1, height_ratios=[HEADER, high])  # type: ignore[misc]
    header.text(0.14 / wide, 0.84, title, fontsize=14, fontweight="bold", color=INK, va="top")
    header.text(0.14 / wide, 0.36, subtitle, fontsize=9.5, color=QUIET, va="top")
    axes = body.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axis in axes[n:]:
        axis.remove()
    for axis in axes[:n]:
        _style_axis(axis)
    return figure, axes[:n]


def heading(axis: Axes, text: str) -> None:
    """The title of one panel."""
    axis.set_title(text, loc="left", fontsize=10.5, color=INK, pad=8)


def explain(axes: list[Axes], text: str) -> None:
    """A few pale lines below the panels."""
    body = axes[0].figure
    width = int(LETTERS_PER_INCH * body.get_figure(root=True).get_figwidth())
    lines = textwrap.fill(text, width)
    body.supxlabel(lines, x=0.02, ha="left", fontsize=8.5, color=QUIET)


def legend(axis: Axes) -> None:
    """A legend without a frame."""
    axis.legend(frameon=False, fontsize=9, labelcolor=INK, handlelength=1.6)


def horizontal_bars(axis: Axes) -> None:
    """For horizontal bars: the grid is vertical, and names need no ticks."""
    axis.grid(False)
    axis.grid(axis="x", color=FAINT, linewidth=0.8)
    axis.tick_params(axis="y", length=0, labelcolor=INK)
    axis.spines["bottom"].set_visible(False)
    axis.spines["left"].set_visible(True)
    axis.spines["left"].set_color(QUIET)


def bars(axis: Axes, values: Mapping[str, float], top: int, *, percent: bool = False, colour: str = BLUE) -> None:
    """The `top` greatest values as horizontal bars, greatest first, each with its number."""
    chosen = sorted(values.items(), key=lambda pair: pair[1], reverse=True)[:top]
    names, lengths = [name for name, _ in chosen], np.array([value for _, value in chosen], dtype=float)
    places = np.arange(len(names))[::-1]
    axis.barh(places, lengths, height=0.66, color=colour)
    for place, length in zip(places, lengths, strict=True):
        text = f"{100 * length:.1f}%" if percent else f"{length:#.3g}"
        bar_label(axis, text, (length, place))
    axis.set_yticks(places, [short(name) for name in names])
    axis.set_ylim(len(names) - max(len(names), FEWEST_BARS) - 0.6, len(names) - 0.4)
    scale_to_longest(axis, float(lengths.max(initial=0)), 1.18)
    if percent:
        axis.xaxis.set_major_formatter(PercentFormatter(1))
    horizontal_bars(axis)


def scale_to_longest(axis: Axes, longest: float, margin: float) -> None:
    """Scale an x axis to its longest bar, with space for the number next to it and no tick beyond the bar."""
    longest = longest or 1
    axis.set_xlim(0, margin * longest)
    axis.set_xticks([tick for tick in MaxNLocator(4).tick_values(0, longest) if 0 <= tick <= 1.001 * longest])


def bar_label(axis: Axes, text: str, point: tuple[float, float], *, bold: bool = False) -> None:
    """A number to the right of a bar's end."""
    axis.annotate(
        text,
        point,
        (5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=INK,
        fontweight="bold" if bold else "normal",
    )


def bars_height(n_bars: int) -> float:
    """Height in inches of so many horizontal bars."""
    return 0.9 + 0.27 * max(n_bars, FEWEST_BARS)


def mean_line(axis: Axes, mean: float) -> None:
    """A vertical line at the mean of what a histogram shows. Its number stands in the heading, where no bar is."""
    axis.axvline(mean, color=ORANGE, linewidth=1.6)


def _style_axis(axis: Axes) -> None:
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(QUIET)
    axis.tick_params(colors=QUIET, labelsize=9, length=3)
    axis.tick_params(axis="y", length=0)
    axis.xaxis.label.set(color=QUIET, fontsize=9.5)
    axis.yaxis.label.set(color=QUIET, fontsize=9.5)
    axis.grid(axis="y", color=FAINT, linewidth=0.8)
    axis.set_axisbelow(True)
