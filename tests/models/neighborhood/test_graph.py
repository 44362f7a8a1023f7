"""RP3beta against its definition: three steps of a random walk, as dense matrices."""

from __future__ import annotations

import numpy as np
import pytest

from recstage.models.neighborhood.graph import Graph, GraphParams
from recstage.models.recent_items import recent
from tests.models.neighborhood.test_knn import random_interactions, strongest
from tests.models.synthetic_blocks import blocks, group_of


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("beta", [0.0, 0.6])
@pytest.mark.parametrize("neighbors", [5, 24])
def test_scores_are_the_walks_of_the_paper(alpha: float, beta: float, neighbors: int) -> None:
    rows = random_interactions()
    edges = rows.matrix.toarray().astype(float)

    def steps(weights: np.ndarray) -> np.ndarray:
        return (weights / weights.sum(axis=1, keepdims=True).clip(1e-12)) ** alpha

    links = steps(edges.T) @ steps(edges)  # item -> user -> item
    np.fill_diagonal(links, 0)
    links = strongest(links.T, neighbors).T  # the strongest into each item
    expected = recent(rows.all_users, 0.5).toarray() @ links * rows.item_counts.clip(1) ** -beta
    params = GraphParams(alpha=alpha, popularity_discount=beta, neighbors=neighbors, recency_decay=0.5)
    model = Graph(params).fit(rows)
    np.testing.assert_allclose(model.score(rows.all_users), expected, rtol=1e-4, atol=1e-6)


def test_links_explain_a_score() -> None:
    model = Graph(GraphParams()).fit(blocks())
    reason = model.why("user-50", "thing-3-1")
    assert reason.score == pytest.approx(float(model.predict("user-50", ["thing-3-1"])[0]), rel=1e-4)
    assert {group_of(one.name) for one in reason.contributions} == {3}
    assert reason.text.startswith("You chose item thing-3-")
