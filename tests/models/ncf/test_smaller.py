"""Smaller forms of NCF: pruned, stored without zeros, distilled from a larger one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recstage.models.factorization.als import ALS
from recstage.models.ncf import distillation, pairs
from recstage.models.ncf.model import Ncf
from recstage.models.ncf.network import Network
from recstage.models.ncf.params import NcfParams
from recstage.models.ncf.pruning import Pruned
from recstage.models.ncf.storage import restored, stored
from tests.models.ncf.test_ncf import checkerboard, fitted

pytestmark = pytest.mark.slow


def test_the_smallest_weights_of_each_matrix_are_zero_and_stay_so_while_the_others_learn() -> None:
    model = fitted({"variant": "neumf", "prune": 0.5, "prune_epochs": 3, "epochs": 6})
    assert model.larger_ is not None
    for name, weight in model.weights_.items():
        before = model.larger_.weights_[name]
        if weight.ndim < 2:
            continue
        assert (weight == 0).mean() == pytest.approx(0.5, abs=0.05), name
        assert not np.array_equal(weight[weight != 0], before[weight != 0]), "the others have been trained on"
        assert np.abs(before[weight == 0]).max() <= np.abs(before).max()


def test_exactly_the_share_that_was_asked_for_is_pruned() -> None:
    torch.manual_seed(0)
    network = Network(20, 10, NcfParams(variant="gmf", factors=8))
    sizes = network.users.weight.detach().abs().flatten().sort().values
    Pruned.of(network, 0.25).apply(network)
    left = network.users.weight.detach()
    assert (left == 0).sum() == 40
    assert left[left != 0].abs().min() == sizes[40]


@pytest.mark.parametrize("eight_bits", [False, True])
def test_zeros_are_not_stored_and_come_back_with_the_rest(eight_bits: bool) -> None:
    random = np.random.default_rng(0)
    weights = {name: random.normal(size=(30, 40)).astype(np.float32) for name in ("gmf_users", "layer_1", "whole")}
    for name in ("gmf_users", "layer_1"):
        weights[name][random.random((30, 40)) < 0.5] = 0
    weights["item_bias"] = np.zeros(30, np.float32)

    found = stored(weights, eight_bits=eight_bits)

    again = restored(found)
    assert again.keys() == weights.keys()
    step = 4 / 127 if eight_bits else 0
    for name, weight in weights.items():
        np.testing.assert_allclose(again[name], weight, atol=step)
    share = {name: sum(found[one].nbytes for one in found if one.startswith(name)) / weights[name].nbytes
             for name in weights}  # fmt: skip
    assert share["gmf_users"] == pytest.approx(0.5 + 1 / 32 if not eight_bits else 0.125 + 1 / 32, abs=0.06)
    assert share["whole"] == pytest.approx(0.28 if eight_bits else 1, abs=0.02)
    assert share["item_bias"] == 1


def test_a_pruned_model_scores_the_same_from_its_bundle_s_arrays() -> None:
    model = fitted({"variant": "mlp", "prune": 0.6, "export": "int8"})
    again = Ncf.restore(model.params, model.state(), model.train_, model.catalogue_)
    np.testing.assert_array_equal(again.score(model.train_.all_users), model.score(model.train_.all_users))
    assert again.larger_ is None


def test_the_loss_of_a_student_that_agrees_is_least() -> None:
    """The mixed loss of the teacher's own weights is below that of any that were moved from them."""
    train, _ = checkerboard()
    teacher = fitted({"variant": "gmf"})
    params = NcfParams(variant="gmf", factors=8, negatives="all", batch_size=100_000, distillation_weight=1.0)
    network = Network(train.n_users, train.n_items, params)
    with torch.no_grad():
        network.users.weight.copy_(torch.from_numpy(teacher.weights_["gmf_users"]))
        network.items.weight.copy_(torch.from_numpy(teacher.weights_["gmf_items"]))
        network.item_bias.copy_(torch.from_numpy(teacher.weights_["item_bias"]))
    device = torch.device("cpu")
    distilled = distillation.DistilledPairs(pairs.AllPairs(train, params, 0, device), teacher, params, device)

    def loss() -> float:
        with torch.inference_mode():
            parts = [distilled.loss(network, batch) for batch in distilled.batches(1)]
            return float(sum(one for one, *_ in parts)) / sum(number for *_, number in parts)

    best = loss()
    for seed in range(3):
        moved = 0.1 * torch.randn(network.items.weight.shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            network.items.weight.add_(moved)
        assert loss() > best
        with torch.no_grad():
            network.items.weight.sub_(moved)


@pytest.mark.parametrize("changes", [{"negatives": "all"}, {"negatives": "sampled"}, {"distilled_items": 10}])
def test_a_student_ranks_as_its_teacher_does(changes: dict[str, object]) -> None:
    """The teacher likes what no user chose: only from its scores can a student have that."""
    train, held = checkerboard()
    teacher = fitted({"variant": "gmf"})
    weights = {name: -value if name == "gmf_items" else value for name, value in teacher.weights_.items()}
    contrary = Ncf.restore(teacher.params, weights, train, teacher.catalogue_)
    student = {"variant": "gmf", "factors": 4, "distillation_weight": 0.9, "temperature": 1.0, "epochs": 30, **changes}

    alone, taught = fitted(student), fitted(student, teacher=contrary)

    assert taught.larger_ is contrary
    for model, share in ((alone, 1.0), (taught, 0.0)):
        items = model.rank(train.of(held.user_index), 1).items[:, 0]
        assert ((items + held.user_index) % 2 == 0).mean() == pytest.approx(share, abs=0.1)


def test_a_fit_resumes_the_progress_of_its_own_teacher_alone(tmp_path) -> None:
    one, other = fitted({"variant": "gmf"}), fitted({"variant": "gmf"}, seed=4)
    assert distillation.digest_of(one) != distillation.digest_of(other)
    fitted({"variant": "gmf", "factors": 4}, teacher=one, checkpoint=tmp_path)
    fitted({"variant": "gmf", "factors": 4}, teacher=other, checkpoint=tmp_path)
    assert len(list(tmp_path.glob("*.pt"))) == 2


def test_a_teacher_of_another_class_is_ignored() -> None:
    train, _ = checkerboard()
    model = fitted({"variant": "gmf", "epochs": 1}, teacher=ALS().fit(train))
    assert model.larger_ is None
