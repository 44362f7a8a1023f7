"""Plots: what they show is right, and nothing of it is cut off."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from recstage.config import EvaluationConfig
from recstage.errors import DataError
from recstage.evaluation.protocol import evaluate
from recstage.plots import figures as plots
from recstage.plots.style import label, short

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(0)
LONG = {
    f"cosine_between_the_last_items_and_the_candidate_{i}": float(v) for i, v in enumerate(RANDOM.exponential(size=40))
}
CURVES = {
    "train_loss": [(1, 0.9), (2, 0.5), (3, 0.4)],
    "validation_loss": [(1, 1.0), (2, 0.6), (3, 0.7)],
    "ndcg_at_10": [(1, 0.1), (2, 0.3), (3, 0.2)],
}
BOOSTING = {"train_ndcg_at_10": [(5, 0.5), (10, 0.7)], "validation_ndcg_at_10": [(5, 0.3), (10, 0.25)]}
TRIALS = [(0, 0.2), (1, None), (2, 0.1), (3, float("nan")), (4, 0.4), (5, 0.3)]
TRADE_OFF = pd.DataFrame(
    {
        "lambda": [0.0, 0.3, 0.7, 1.0],
        "ndcg_at_10": [0.1, 0.15, 0.2, 0.19],
        "ndcg_low": [0.09, 0.14, 0.19, 0.18],
        "ndcg_high": [0.11, 0.16, 0.21, 0.2],
        "diversity_at_10": [0.9, 0.8, 0.7, 0.6],
    }
)
VALUES = {
    "als, version 3": {"ndcg_at_10": 0.2, "gini_at_10": 0.9, "coverage_at_10": 0.1},
    "popularity": {"ndcg_at_10": 0.1, "gini_at_10": 0.99, "coverage_at_10": 0.01},
    "random": {"ndcg_at_10": 0.01, "gini_at_10": 0.2},
}
INTERVALS = {"als, version 3": {"ndcg_at_10": (0.15, 0.25)}}


@pytest.fixture(scope="module")
def evaluation(interactions, written):
    pairs = [(u, i) for u in range(40) for i in range(1 + u)]
    model = written(RANDOM.random((40, 60)), interactions(40, 60, pairs), RANDOM.normal(size=(60, 4)))
    test = interactions(40, 60, [(u, 50) for u in range(40)])
    return evaluate(model, test, config=EvaluationConfig(latency_requests=0, bootstrap=200))


@pytest.fixture(scope="module")
def figures(evaluation):
    counts, shown = RANDOM.integers(0, 50, 200), RANDOM.integers(0, 9, 200)
    return {
        "learning curves": plots.learning_curves(CURVES),
        "boosting": plots.learning_curves(
            BOOSTING, step="boosting round", note="training: " + "rows that are seen " * 9
        ),
        "a single epoch": plots.learning_curves({"ndcg_at_10": [(1, 0.3)]}),
        "history": plots.optuna_history(TRIALS, metric="ndcg_at_10"),
        "a single trial": plots.optuna_history([(0, 0.4)]),
        "nothing but pruned trials": plots.optuna_history([(0, None)]),
        "importances": plots.optuna_importances({"factors": 0.7, "regularization": 0.3}),
        "gain": plots.feature_importance(LONG),
        "gain and SHAP": plots.feature_importance(LONG, LONG),
        "segments": plots.metric_by_segment(evaluation),
        "models": plots.compare_models(VALUES, INTERVALS, ("ndcg_at_10", "gini_at_10", "coverage_at_10", "ndcg_at_10")),
        "trade-off": plots.mmr_trade_off(TRADE_OFF),
        "long tail": plots.long_tail(counts, shown, RANDOM.normal(3, 1, 500), name="als"),
    }


def panel(figure: Figure, title: str) -> Axes:
    return next(axis for axis in figure.findobj(Axes) if axis.get_title(loc="left") == title)


def test_no_text_is_cut_off(figures):
    for name, figure in figures.items():
        figure.draw_without_rendering()
        whole = figure.bbox
        for text in figure.findobj(Text):
            if text.get_text() and text.get_visible():
                box = text.get_window_extent()
                inside = whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
                # a tick outside of its axis' range is never drawn
                assert inside or _tick_out_of_range(figure, text), f"{name}: {text.get_text()!r}"


def _tick_out_of_range(figure, text):
    for axis in figure.findobj(Axes):
        for dimension, (low, high) in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
            if any(tick.label1 is text and not low <= tick.get_loc() <= high for tick in dimension.get_major_ticks()):
                return True
    return False


def test_every_plot_becomes_a_png_with_a_title(figures, tmp_path):
    for name, figure in figures.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        bold = [text.get_text() for text in figure.findobj(Text) if text.get_fontsize() == 14]
        assert len(bold) == 1
        assert bold[0]


def test_plotting_touches_no_pyplot():
    code = (
        "import sys, recstage.plots.figures as p; p.optuna_importances({'a': 1.0}); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_stages_of_a_metric_share_a_panel_and_the_best_is_least_for_a_loss(figures):
    loss = panel(figures["learning curves"], "Loss, 0.1 apart\ntraining 0.5, validation 0.6")
    rings = [line.get_xydata()[0].tolist() for line in loss.lines if line.get_marker() == "o"]
    assert rings == [[3, 0.4], [2, 0.6]]
    ring = [line for line in panel(figures["learning curves"], "NDCG@10").lines if line.get_marker() == "o"]
    assert ring[0].get_xydata().tolist() == [[2, 0.3]]


def test_the_gap_between_training_and_validation_is_told_at_the_best_step(figures):
    axis = panel(figures["boosting"], "NDCG@10, 0.2 apart\ntraining 0.5, validation 0.3")
    assert axis.get_xlabel() == "boosting round"
    assert [line.get_label() for line in axis.lines if line.get_marker() != "o"] == ["training", "validation"]


def test_the_history_shows_the_best_so_far_and_marks_what_did_not_finish(figures):
    axis = figures["history"].findobj(Axes)[0]
    lines = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
    assert lines["best so far"] == [[0, 0.2], [2, 0.2], [4, 0.4], [5, 0.4]]
    assert [x for x, _ in lines["pruned or failed"]] == [1, 3]


def test_only_the_greatest_features_are_shown_as_shares_of_all(figures):
    axis = figures["gain"].findobj(Axes)[0]
    assert len(axis.patches) == 25
    assert axis.patches[0].get_width() == pytest.approx(max(LONG.values()) / sum(LONG.values()))
    assert axis.get_yticklabels()[0].get_text() == short(max(LONG, key=LONG.__getitem__))


def test_segments_come_with_their_means_and_sizes(figures, evaluation):
    axis = panel(figures["segments"], "NDCG@10")
    points = [line.get_ydata()[0] for line in axis.lines if line.get_marker() == "o"]
    names = ["cold_ndcg_at_10", "warm_ndcg_at_10", "hot_ndcg_at_10", "ndcg_at_10"]
    assert points == [evaluation.metrics[name] for name in names]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["cold\n4", "warm\n15", "hot\n21", "all\n40"]


def test_models_are_sorted_and_the_best_stands_out_even_where_less_is_better(figures):
    ndcg, gini = panel(figures["models"], "NDCG@10"), panel(figures["models"], "Gini@10")
    assert [text.get_text() for text in ndcg.get_yticklabels()] == ["random", "popularity", "als, version 3"]
    assert [bar.get_facecolor() for bar in ndcg.patches].index(gini.patches[0].get_facecolor()) == 2
    assert len(panel(figures["models"], "Coverage@10, share of items").patches) == 2


def test_the_long_tail_says_what_share_the_most_popular_tenth_has():
    figure = plots.long_tail([5] * 10 + [1] * 90, [1] * 100, [1.0, np.nan, 3.0], name="lists")
    tenths = panel(figure, "The same by tenth").patches
    assert [tenths[0].get_height(), tenths[10].get_height()] == pytest.approx([50 / 140, 0.1])
    assert not panel(figure, "Novelty, mean 2.00 bits").texts  # the number would lie over the bars


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.learning_curves({}),
        lambda: plots.learning_curves({"loss": []}),
        lambda: plots.optuna_history([]),
        lambda: plots.optuna_importances({}),
        lambda: plots.feature_importance({}),
        lambda: plots.compare_models({}, {}),
        lambda: plots.mmr_trade_off(TRADE_OFF.iloc[:0]),
        lambda: plots.long_tail([], [], []),
    ],
)
def test_nothing_to_draw_is_refused(draw):
    with pytest.raises(DataError, match=r"no .*: a plot needs something to show"):
        draw()


def test_names_are_written_as_people_write_them():
    assert label("ndcg_at_10") == "NDCG@10"
    assert label("sampled_hit_rate_at_5") == "Sampled hit rate@5"
    assert label("novelty_at_10", unit=True) == "Novelty@10, bits"


def test_a_long_name_keeps_its_beginning_and_its_end():
    assert short("als_score") == "als_score"
    assert short("a" * 50 + "_the_last_5") == "a" * 28 + "…_the_last_5"
    assert len(short("a" * 50)) == 40


def test_curves_of_a_refit_share_the_panel_of_the_fit():
    stages = ("train", "validation", "refit_train", "refit_validation")
    figure = plots.learning_curves({f"{stage}_ndcg_at_10": [(1, 0.2), (2, 0.3)] for stage in stages})
    (axis,) = [axis for axis in figure.axes if axis.lines]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [
        *("training", "validation", "refit, training", "refit, validation")
    ]
