"""Plots to move about in, for notebooks: a Plotly figure where the front end draws one, and the same as a picture
everywhere else (on a page of a repository, in a PDF, in MLflow).

Plotly is loaded only here, and only when a plot is asked for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recstage.data.catalogue import Catalogue
from recstage.errors import ConfigError
from recstage.models.base import Recommender
from recstage.plots import list_figures, tuning_figures
from recstage.plots.style import BLUE, COLOURS, INK, QUIET, NotebookFigure, label
from recstage.rerank import unit_rows, vectors_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

PLOTLY = "application/vnd.plotly.v1+json"


class InteractiveFigure:
    """`plotly` is the figure to move about in, `picture` what is shown where that cannot be drawn."""

    def __init__(self, plotly: PlotlyFigure, picture: Figure) -> None:
        self.plotly, self.picture = plotly, picture

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        assert isinstance(self.picture, NotebookFigure)
        return {
            PLOTLY: json.loads(self.plotly.to_json()),
            "image/png": self.picture._repr_png_(),
            "text/plain": f"<{self.plotly.layout.title.text}>",
        }


def item_map(model: Recommender, *, groups: int = 5) -> InteractiveFigure:
    """The items of a fitted model in two dimensions: near each other where their vectors point the same way. The
    area of a point is the item's popularity, its colour the first category (the `groups` most frequent); the pointer
    shows the title."""
    graph = _plotly()
    known = model.catalogue_
    own = model.item_vectors()
    vectors = vectors_of(model, Catalogue.empty(known.items)).vectors if own is None else unit_rows(own)
    points, kept = list_figures.two_dimensions(vectors)
    counts = np.asarray(model.train_.item_counts)
    names = list_figures.group_names(known.categories, groups)
    figure = graph.Figure(
        layout=_layout(
            f"Items of {model.name}",
            f"{'its vectors' if own is not None else 'who chose what'}; {kept:.0%} of the variance",
        )
    )
    for name, colour in zip(dict.fromkeys(sorted(names)), (*COLOURS, INK, BLUE), strict=False):
        mine = names == name
        figure.add_scatter(
            x=points[mine, 0].tolist(),
            y=points[mine, 1].tolist(),
            mode="markers",
            name=name,
            marker={
                "size": (4 + 16 * np.sqrt(counts[mine] / max(counts.max(), 1))).tolist(),
                "color": colour,
                "opacity": 0.7,
            },
            text=_titles(known, np.flatnonzero(mine)),
            customdata=counts[mine].tolist(),
            hovertemplate="%{text}<br>%{customdata} users<extra></extra>",
        )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return InteractiveFigure(figure, list_figures.item_map(points, names, counts, name=model.name, kept=kept))


def parallel_coordinates(trials: pd.DataFrame, *, metric: str = "validation score") -> InteractiveFigure:
    """One line a finished trial through its parameters to its score: select a range of an axis to see what it leads
    to. `trials` is the table of a tuning run: trial, value, state, and a column a parameter."""
    graph = _plotly()
    finished, columns = tuning_figures.finished(trials)
    axes = [
        {
            "label": name,
            "values": places.tolist(),
            **({"tickvals": list(range(len(words))), "ticktext": words} if words else {}),
        }
        for name, places, words in columns
    ]
    values = finished["value"].tolist()
    figure = graph.Figure(layout=_layout("Trials", f"{len(values)} finished; select a range of an axis"))
    figure.add_parcoords(
        dimensions=[*axes, {"label": label(metric), "values": values}],
        line={"color": values, "colorscale": "Viridis", "showscale": True},
        domain={"y": [0, 0.86]},
    )
    return InteractiveFigure(figure, tuning_figures.parallel_coordinates(trials, metric=metric))


def popularity_against_exposure(model: Recommender, shown: np.ndarray) -> InteractiveFigure:
    """One point an item: in how many histories, in how many lists (`shown`, int[n_items]); the pointer shows the
    title. Below the diagonal: items that the lists leave out."""
    graph = _plotly()
    counts = np.asarray(model.train_.item_counts)
    figure = graph.Figure(layout=_layout(f"Chosen and shown, {model.name}", "one point an item, with its title"))
    figure.add_scatter(
        x=(counts + 1).tolist(),
        y=(shown + 1).tolist(),
        mode="markers",
        marker={"color": BLUE, "opacity": 0.5},
        text=_titles(model.catalogue_, np.arange(len(counts))),
        hovertemplate="%{text}<br>in %{x} histories and %{y} lists, plus one<extra></extra>",
    )
    figure.update_xaxes(type="log", title="histories that hold the item, plus one")
    figure.update_yaxes(type="log", title="lists that show the item, plus one")
    return InteractiveFigure(figure, list_figures.popularity_against_exposure(counts, shown, name=model.name))


def _titles(known: Catalogue, items: np.ndarray) -> list[str]:
    return [str(known.titles[item]) or f"item {known.items.ids[item]}" for item in items]


def _layout(title: str, subtitle: str) -> dict[str, Any]:
    return {
        "title": {"text": title, "subtitle": {"text": subtitle, "font": {"color": QUIET}}},
        "template": "plotly_white",
        "font": {"color": INK},
        "height": 520,
        "margin": {"t": 80, "l": 60, "r": 40, "b": 50},
    }


def _plotly() -> Any:
    try:
        import plotly.graph_objects as graph
    except ImportError as error:
        raise ConfigError(
            "an interactive plot", rule="it needs plotly", fix="pip install 'recstage[notebooks]'"
        ) from error
    return graph
