"""Training by the nodes of a Ray cluster: the same model as in one process, though a node is killed."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from recstage import cluster
from recstage.models.ncf.model import Ncf
from recstage.models.neural.on_cluster import trained
from recstage.models.two_tower.model import TwoTower
from tests.ray_nodes import Steps, one_killed

pytestmark = pytest.mark.integration
BRIEF = {"epochs": 3, "patience": 3, "precision": "fp32"}
TOWER = (TwoTower, {"factors": 16, "dropout": 0.0, "id_dropout": 0.0, "window": 20, "batch_size": 8, **BRIEF})
MODELS = [
    TOWER,
    (Ncf, {"factors": 8, "layers": (16, 8), "batch_size": 512, **BRIEF}),
    (Ncf, {"variant": "neumf", "factors": 8, "layers": (8,), "batch_size": 512, "pretrain": 1, **BRIEF}),
    (Ncf, {"variant": "gmf", "factors": 8, "objective": "softmax", "batch_size": 4000, **BRIEF}),
]


def fitted(kind, params, dataset, backend, report=lambda step, metrics: None, **more):
    return kind(kind.Params(**params)).fit(
        dataset.split.train,
        seed=1,
        validation=dataset.split.validation,
        catalogue=dataset.catalogue,
        report=report,
        backend=backend,
        **more,
    )


@pytest.mark.parametrize(("kind", "params"), MODELS, ids=["two-tower", "mlp", "neumf", "softmax"])
def test_two_nodes_train_the_model_that_one_process_trains(kind, params, ray_cluster, small_dataset, caplog):
    caplog.set_level(logging.INFO)
    curve_here, curve_there = [], []
    here = fitted(kind, params, small_dataset, "local", lambda *step: curve_here.append(step))
    there = fitted(kind, params, small_dataset, "ray", lambda *step: curve_there.append(step))
    assert "is trained by 2 processes" in caplog.text
    assert [number for number, _ in curve_there] == [1, 2, 3]
    for (_, expected), (_, metrics) in zip(curve_here, curve_there, strict=True):
        assert metrics == pytest.approx(expected, abs=0.01)
    weights = there.state()
    for name, values in here.state().items():
        np.testing.assert_allclose(weights[name], values, atol=0.02, err_msg=name)


def test_a_node_killed_in_the_middle_costs_time_alone(ray_cluster, small_dataset, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    kind, params = TOWER
    params = {**params, "epochs": 25, "patience": 25}
    with one_killed(ray_cluster, at=2) as steps:
        there = fitted(kind, params, small_dataset, "ray", steps, checkpoint=tmp_path)
    assert "a process on the cluster was lost" in caplog.text
    assert steps == list(range(1, 26))
    here = fitted(kind, params, small_dataset, "local")
    assert there.fitted_params_["epochs"] == pytest.approx(here.fitted_params_["epochs"], abs=3)
    assert len(list(tmp_path.iterdir())) == 1
    # what is left of it is what a training here goes on from: nothing is to be done
    again = fitted(kind, params, small_dataset, "local", more := Steps(), checkpoint=tmp_path)
    assert more == []
    np.testing.assert_array_equal(again.state()["items"], there.state()["items"])


def diverging(model, rows, fitting):
    if fitting.team.rank:
        from recstage.errors import Diverged

        raise Diverged("learning_rate = 9", rule="the loss of epoch 1 is nan", fix="Lower it")
    from torch import nn

    while True:
        fitting.team.give_weights(nn.Linear(2, 2))


def test_what_one_member_refuses_is_the_outcome(ray_cluster, small_dataset):
    from recstage.errors import Diverged
    from recstage.models import base

    model = Ncf()
    fitting = base.Fitting(1, None, small_dataset.catalogue, base.silent, None, backend="ray")
    with cluster.session(), pytest.raises(Diverged, match="learning_rate = 9: the loss of epoch 1 is nan"):
        trained(diverging, model, small_dataset.split.train, fitting)
