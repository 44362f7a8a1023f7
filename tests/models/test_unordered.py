"""Rows that say nothing of what came first: no model reads an order from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recstage.config import model_config_of, names_in
from recstage.data.interactions import Interactions
from recstage.errors import NoOrder
from recstage.models import build, params_class
from recstage.models.composition import named
from recstage.models.hybrid import HybridParams
from recstage.models.lambdarank.labels import hold_out
from recstage.models.lambdarank.params import LambdaRankParams
from tests.models.synthetic_blocks import blocks, catalogue


def unordered(seed: int | None = None) -> Interactions:
    rows = blocks()
    rows = replace(rows, timestamp=np.zeros(len(rows), np.int64), ordered=False)
    return rows if seed is None else rows.shuffled(seed)


@pytest.mark.parametrize("name", ["knn", "graph", "ease", "slim", "spectral", "content", "reverse-als", "als"])
def test_scores_do_not_depend_on_the_order_of_rows(name: str) -> None:
    one, other = [
        build(model_config_of(name)).fit(rows, seed=5, catalogue=catalogue()) for rows in (unordered(), unordered(3))
    ]
    scores = [model.score(rows.of([0, 20, 40])) for model, rows in ((one, unordered()), (other, unordered(3)))]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-3, atol=1e-4 * np.abs(scores[0]).max())


def test_decays_are_off_in_the_fitted_model_and_its_parameters() -> None:
    model = build(model_config_of("knn"), recency_decay=0.8, similarity_recency_decay=0.6).fit(unordered())
    assert (model.params.recency_decay, model.params.similarity_recency_decay) == (0, 0)
    assert build(model_config_of("knn"), recency_decay=0.8).fit(blocks()).params.recency_decay == 0.8


@pytest.mark.parametrize("name", ["transitions", "two-tower"])
def test_a_model_of_sequences_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(NoOrder, match=f"{name} on unordered data: it learns from what follows what"):
        build(model_config_of(name)).fit(unordered())


def test_composites_leave_out_what_needs_an_order() -> None:
    params = HybridParams(
        components=named("two-tower", "transitions", "als", "popularity"),
        cold=("transitions",),
        warm=("transitions", "als"),
        hot=("two-tower", "als"),
    ).without_order()
    assert [one.name for one in params.components] == ["als", "popularity"]
    assert (params.cold, params.warm, params.hot) == (("als",), ("als",), ("als",))
    second = LambdaRankParams(retrievers=named("transitions", "als")).without_order()
    assert [one.name for one in second.retrievers] == ["als"]
    assert not {"sequence", "recency"} & set(second.groups)
    other = HybridParams(
        components=named("als", "two-tower"),
        unordered=named("ease", "als"),
        cold=("als",),
        warm=("als",),
        hot=("two-tower",),
    )
    assert [one.name for one in other.without_order().components] == ["ease", "als"]
    assert other.without_order().hot == ("ease", "als")
    second = LambdaRankParams(
        retrievers=named("transitions", "als"), unordered=named("ease", "als"), hot_by="transitions"
    )
    assert [one.name for one in second.without_order().retrievers] == ["ease", "als"]
    assert second.without_order().hot_by == "trees"
    with pytest.raises(NoOrder, match="transitions, two-tower: all of them learn"):
        LambdaRankParams(retrievers=named("transitions", "two-tower")).without_order()


def test_labels_of_unordered_rows_are_drawn_and_not_those_of_the_highest_index() -> None:
    rows = unordered()
    found = hold_out(rows, LambdaRankParams(min_interactions=1), is_clock=False, seed=1)
    items = np.concatenate([step.item for step in found.steps])
    first_half = np.isin(items, [rows.item_index[start] for start in rows.indptr[:-2]])
    assert first_half.any()  # the first row of some user: never a label where rows are in an order
    again = hold_out(rows, LambdaRankParams(min_interactions=1), is_clock=False, seed=1)
    np.testing.assert_array_equal(items, np.concatenate([step.item for step in again.steps]))


def test_no_parameter_that_reads_an_order_has_another_name() -> None:
    """`without_order` finds decays by their name."""
    for name in names_in("model"):
        fields = params_class(model_config_of(name)).model_fields
        assert [field for field in fields if "recency" in field and not field.endswith("recency_decay")] == []
