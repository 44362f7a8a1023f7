"""What a training run of the classifier leaves besides its figures: tables, plots, its errors with their texts."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from recstage.classifier import measures
from recstage.classifier.data.samples import LabelledTexts
from recstage.classifier.model import Classifier
from recstage.plots.style import BLUE, INK, bars, panels

MOST_ERRORS = 500
LONGEST_SHOWN = 600


def calibration_plot(truth: NDArray, probabilities: NDArray) -> Figure:
    """Observed share of positives by predicted probability, all pairs of text and class."""
    table = measures.calibration_table(truth, probabilities)
    figure, (axis,) = panels("Calibration", "share of right categories by predicted probability", 1)
    axis.plot([0, 1], [0, 1], color=INK, linewidth=1)
    axis.plot(table["predicted"], table["observed"], "o-", color=BLUE)
    axis.set_xlabel("predicted")
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_formatter(PercentFormatter(1))
    return figure


def per_class_plot(table: pd.DataFrame) -> Figure:
    """F1 of each class."""
    figure, (axis,) = panels("F1 by class", "on the test texts", 1, height=0.3 * len(table) + 1.5)
    bars(axis, dict(zip(table["class"], table["f1"].fillna(0.0), strict=True)), top=len(table))
    return figure


def errors(data: LabelledTexts, probabilities: NDArray, predicted: NDArray) -> pd.DataFrame:
    """Test texts with a category missed or given wrongly, the most confident mistakes first: text, missed, wrong,
    surprise (the greatest distance of a probability from the truth)."""
    surprise = abs(probabilities - data.truth).max(axis=1)
    rows = []
    for place in (-surprise).argsort(kind="stable"):
        missed = [data.labels[k] for k in (data.truth[place] & ~predicted[place]).nonzero()[0]]
        wrong = [data.labels[k] for k in (~data.truth[place] & predicted[place]).nonzero()[0]]
        if missed or wrong:
            text = data.texts[place][:LONGEST_SHOWN]
            rows.append((text, "|".join(missed), "|".join(wrong), round(float(surprise[place]), 4)))
    return pd.DataFrame(rows[:MOST_ERRORS], columns=["text", "missed", "wrong", "surprise"])


def note(data: LabelledTexts, classifier: Classifier, metrics: dict[str, float], table: pd.DataFrame) -> str:
    """The description of the run, in Markdown."""
    worst = ", ".join(f"{row['class']} {row['f1']:.2f}" for _, row in table.sort_values("f1").head(3).iterrows())
    dropped = "; ".join(f"{n} samples: {reason}" for reason, n in data.dropped.items()) or "none"
    rare = ", ".join(f"{code} ({n})" for code, n in data.rare.items()) or "none"
    return "\n".join(
        [
            f"**{classifier.config.family}** on {len(data):,} texts of {data.name}, {len(data.labels)} classes: mean "
            f"average precision {metrics['mean_average_precision']:.4f}, macro F1 {metrics['macro_f1']:.4f}, micro F1 "
            f"{metrics['micro_f1']:.4f}, calibration error {metrics['calibration_error']:.4f}.",
            "",
            f"Weakest classes by F1: {worst}. Left out: {dropped}. Codes too rare to be a class: {rare}.",
            "",
            "Tables: `evaluation/per_class.csv`, `evaluation/confusion.csv`, `evaluation/errors.csv`.",
        ]
    )
