"""Plots of notebooks: a picture beside each Plotly figure, and what they show is right."""

import numpy as np
import pandas as pd
import pytest

from recstage.data.catalogue import Catalogue
from recstage.errors import DataError
from recstage.plots import data_figures, interactive_figures, list_figures, live_figures, tuning_figures
from recstage.plots.interactive_figures import PLOTLY

TRIALS = pd.DataFrame(
    {
        "trial": [0, 1, 2, 3],
        "value": [0.1, 0.3, None, 0.2],
        "state": ["complete", "complete", "pruned", "complete"],
        "factors": [32, 64, 64, 128],
        "learning_rate": [0.001, 0.1, 0.01, 0.05],
        "loss": ["bpr", "warp", "bpr", "bpr"],
    }
)


@pytest.fixture(scope="module")
def model(interactions, written):
    random = np.random.default_rng(0)
    train = interactions(30, 12, [(user, (user + step) % 12) for user in range(30) for step in range(4)])
    return written(random.random((30, 12)), train, random.normal(size=(12, 4)))


def bundles(model):
    shown = np.arange(12)
    return [
        interactive_figures.item_map(model),
        interactive_figures.parallel_coordinates(TRIALS),
        interactive_figures.popularity_against_exposure(model, shown),
    ]


def test_a_front_end_without_plotly_shows_a_picture(model):
    for figure in bundles(model):
        found = figure._repr_mimebundle_()
        assert found[PLOTLY]["data"]
        assert found["image/png"].startswith(b"\x89PNG")


def test_every_item_is_a_point_of_the_map_with_its_title(model):
    data = interactive_figures.item_map(model)._repr_mimebundle_()[PLOTLY]["data"]
    assert sum(len(trace["text"]) for trace in data) == 12
    assert [users for trace in data for users in trace["customdata"]] == model.train_.item_counts.tolist()


def test_parallel_coordinates_leave_out_pruned_trials_and_name_choices():
    (lines,) = interactive_figures.parallel_coordinates(TRIALS).plotly.data
    assert list(lines.dimensions[-1]["values"]) == [0.1, 0.3, 0.2]
    loss = next(axis for axis in lines.dimensions if axis.label == "loss")
    assert list(loss.ticktext) == ["bpr", "warp"]
    assert list(loss["values"]) == [0, 1, 0]


def test_trials_of_which_none_finished_are_refused_in_one_line():
    with pytest.raises(DataError, match="no finished trial"):
        tuning_figures.slices(TRIALS.assign(value=np.nan))


def test_two_dimensions_keep_all_of_what_has_two():
    points, kept = list_figures.two_dimensions([[1, 0, 0], [0, 1, 0], [-1, -1, 0]])
    assert kept == pytest.approx(1)
    assert np.linalg.norm(points[0] - points[1]) == pytest.approx(np.sqrt(2))


def test_the_most_frequent_first_categories_are_groups_and_the_rest_is_other():
    names = list_figures.group_names([("a", "b"), ("a",), ("b",), ()], 1)
    assert names.tolist() == ["a", "a", "other", "other"]


def test_the_long_tail_says_what_a_fifth_of_the_items_has():
    figure = data_figures.concentration([10, 0, 0, 5, 5, 5, 5])  # items without rows do not count
    assert "has 33% of the rows" in " ".join(text.get_text() for text in figure.findobj() if hasattr(text, "get_text"))


def test_coverage_grows_with_the_length_of_the_lists():
    figure = list_figures.coverage_curve(np.array([[0, 1, 2], [0, 3, -1]]), [9, 5, 3, 1, 1], name="m")
    reached = figure.axes[0].lines[0].get_ydata()
    assert reached.tolist() == pytest.approx([1 / 5, 3 / 5, 4 / 5])


def test_the_score_histogram_counts_each_score_once():
    figure = list_figures.score_histogram([[3.0, 2.0], [5.0, np.nan]], name="m")
    heights = [sum(patch.get_height() for patch in group) for group in figure.axes[0].containers]
    assert heights == [3, 2]


def test_unknown_titles_are_ids(model):
    empty = Catalogue.empty(model.items)
    assert interactive_figures._titles(empty, np.array([0])) == [f"item {model.items.ids[0]}"]


def test_an_experiment_that_one_look_decides_shows_its_difference_and_interval():
    (axis,) = live_figures.confidence_sequence([(800, 0.2, 0.1, 0.3)], "click_through").axes
    assert axis.lines[0].get_marker() == "o"
    (interval,) = [segment for one in axis.collections for segment in getattr(one, "get_segments", list)()]
    assert interval.tolist() == [[800, 0.1], [800, 0.3]]
