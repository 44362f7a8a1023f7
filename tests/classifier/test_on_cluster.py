"""Fine-tuning by the nodes of a Ray cluster: the same network as in one process, though a node is killed."""

from __future__ import annotations

import logging

import numpy as np
import pytest

pytest.importorskip("transformers", reason="the extra `text` is not installed")

from recstage import cluster
from recstage.classifier.families import on_cluster
from recstage.classifier.families.fine_tuning import Examples
from tests.classifier.small_texts import small_texts
from tests.classifier.tiny_encoder import settings, tiny_encoder
from tests.ray_nodes import Steps, one_killed

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Without dropout, whose random numbers are other ones in every process."""
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return tiny_encoder(tmp_path_factory.mktemp("encoder"), **without)


def fine_tuned(params, backend, report=lambda step, metrics: None, checkpoints=None):
    data = small_texts(60)
    with cluster.session(backend):
        return on_cluster.fine_tuned(
            params,
            Examples(data.texts[:48], data.truth[:48], np.linspace(0.5, 1.0, 48)),
            Examples(data.texts[48:], data.truth[48:]),
            backend=backend,
            seed=1,
            checkpoints=checkpoints,
            report=report,
            positive_weight=np.array([1.0, 2.0, 3.0]),
        )


@pytest.mark.parametrize("frozen_layers", [0, 1])
def test_two_nodes_fine_tune_the_network_that_one_process_does(ray_cluster, folder, frozen_layers, caplog):
    caplog.set_level(logging.INFO)
    # 47 texts in each full step but one, so that a member has no row of the last
    params = settings(folder, frozen_layers=frozen_layers, dropout=0.0, batch_size=47, mixed_precision=False)
    here, there = (fine_tuned(params, backend) for backend in ("local", "ray"))
    assert "the encoder is fine-tuned by 2 processes of the cluster" in caplog.text
    assert (len(there.history), there.best_epoch) == (3, here.best_epoch)
    for one, other in zip(there.history, here.history, strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    weights = there.network.state_dict()
    for name, values in here.network.state_dict().items():
        np.testing.assert_allclose(weights[name].numpy(), values.numpy(), atol=1e-3, err_msg=name)


def test_a_node_killed_in_the_middle_costs_time_alone(ray_cluster, folder, tmp_path, caplog):
    params = settings(folder, dropout=0.0, batch_size=8, epochs=60, patience=60, mixed_precision=False)
    with one_killed(ray_cluster, at=2) as steps:
        there = fine_tuned(params, "ray", steps, tmp_path)
    assert "a process on the cluster was lost" in caplog.text
    assert steps == list(range(1, 61))
    assert list(tmp_path.iterdir()) == [there.checkpoint]
    # what is left of it is what a fine-tuning here goes on from: nothing is to be done
    again = fine_tuned(params, "local", more := Steps(), tmp_path)
    assert more == []
    for name, values in there.network.state_dict().items():
        assert np.array_equal(again.network.state_dict()[name].numpy(), values.numpy()), name
    there.forget()
    assert not list(tmp_path.iterdir())
