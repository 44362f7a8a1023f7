"""Models that are fitted by blocks of items on a Ray cluster: what a fit here finds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recstage.models.linear import elastic_net
from recstage.models.linear.ease import Ease
from recstage.models.linear.ridge import BLOCK, Rows, inverse_columns
from recstage.models.linear.slim import Slim
from recstage.models.neighborhood import neighbors
from recstage.models.neighborhood.graph import Graph
from recstage.models.neighborhood.knn import Knn

pytestmark = pytest.mark.integration


def fitted(kind, params, dataset, backend):
    return kind(kind.Params(**params)).fit(dataset.split.train, catalogue=dataset.catalogue, backend=backend)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (Knn, {"by": "item", "weighting": "bm25", "neighbors": 20}),
        (Knn, {"by": "user", "neighbors": 20, "shrinkage": 5.0}),
        (Graph, {"neighbors": 20}),
    ],
    ids=["items", "users", "graph"],
)
def test_neighbours_are_those_of_one_process(kind, params, ray_cluster, small_dataset, monkeypatch):
    monkeypatch.setattr(neighbors, "ROWS_OF_A_CALL", 17)
    here, there = (fitted(kind, params, small_dataset, backend) for backend in ("local", "ray"))
    np.testing.assert_allclose(there.similarity_, here.similarity_, rtol=1e-6)
    users = here.known(small_dataset.split.test.users.ids)
    np.testing.assert_allclose(there.score(users), here.score(users), rtol=1e-3)


def test_slim_is_that_of_one_process_to_the_bit(ray_cluster, small_dataset, monkeypatch):
    monkeypatch.setattr(elastic_net, "TARGETS_AT_ONCE", 17)
    here, there = (fitted(Slim, {"l1": 0.1}, small_dataset, backend) for backend in ("local", "ray"))
    np.testing.assert_array_equal(there.weights_.toarray(), here.weights_.toarray())


@pytest.mark.parametrize("params", [{}, {"side_weight": 1.0, "dropout": 0.2}])
def test_ease_is_that_of_one_process_but_for_rounding(params, ray_cluster, small_dataset):
    here, there = (fitted(Ease, {"l2": 20.0, **params}, small_dataset, backend) for backend in ("local", "ray"))
    np.testing.assert_allclose(there.weights_, here.weights_, atol=1e-5)


@pytest.mark.parametrize("n_users", [2000, 300], ids=["primal", "dual"])
def test_an_inverse_of_several_blocks_is_that_of_one_process(n_users, ray_cluster):
    n_items = 2 * BLOCK + 100
    users = sparse.random(n_users, n_items, 0.02, format="csr", dtype=np.float32, random_state=1)
    rows, penalty = Rows(users, np.empty((0, n_items), np.float32)), np.full(n_items, 5.0, np.float32)
    here, there = (np.hstack([block for _, block in inverse_columns(rows, penalty, one)]) for one in ("local", "ray"))
    np.testing.assert_allclose(there, here, atol=1e-6)
