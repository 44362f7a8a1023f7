"""NCF: what it learns, when it stops, how it resumes, and that NumPy and PyTorch score alike."""

from __future__ import annotations

import copy
import itertools
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.benchmarks.ncf_int8 import cost_of_int8
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions
from recstage.errors import ConfigError, StoreError, TooLittleData
from recstage.models.ncf import pairs as ncf_pairs
from recstage.models.ncf.gradient import pair_gradient
from recstage.models.ncf.model import Ncf
from recstage.models.ncf.network import Network
from recstage.models.ncf.pairs import Penalty
from recstage.models.ncf.params import NcfParams
from recstage.models.neural.training import in_one_piece, seeded

pytestmark = pytest.mark.slow

torch.set_num_threads(1)  # several tests may run at once
VARIANTS = ("mlp", "gmf", "neumf")
SMALL = {
    "factors": 8,
    "layers": (16, 8),
    "batch_size": 128,
    "learning_rate": 0.02,
    "epochs": 12,
    "precision": "fp32",
}


def ids(prefix: str, n: int) -> IdMap:
    return IdMap(np.array([f"{prefix}{i}" for i in range(n)], dtype=object))


def checkerboard(n_users: int = 40, n_items: int = 30) -> tuple[Interactions, Interactions]:
    """Users like the items of their own parity; of each one's, one is held out."""
    pairs = [(u, i) for u, i in itertools.product(range(n_users), range(n_items)) if (u + i) % 2 == 0]
    held = {(u, (u * 2) % n_items + u % 2) for u in range(n_users)}
    held = {(u, i % n_items) for u, i in held}

    def rows(chosen: list[tuple[int, int]]) -> Interactions:
        users, items = zip(*chosen, strict=True)
        return Interactions.from_arrays(ids("u", n_users), ids("i", n_items), users, items)

    return rows([p for p in pairs if p not in held]), rows([p for p in pairs if p in held])


def fitted(params: Mapping[str, object] = {}, **fitting: object) -> Ncf:
    train, _ = checkerboard()
    return Ncf(NcfParams(**{**SMALL, **params})).fit(train, **{"seed": 3, **fitting})


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("negatives", ["sampled", "all"])
def test_each_variant_learns_the_checkerboard(variant: str, negatives: str) -> None:
    train, held = checkerboard()
    model = fitted({"variant": variant, "negatives": negatives})
    ranking = model.rank(train.of(held.user_index), 1)
    assert (ranking.items[:, 0] == held.item_index).mean() > 0.9


@pytest.mark.parametrize(("variant", "negatives"), [("gmf", "all"), ("gmf", "sampled"), ("neumf", "all")])
def test_the_softmax_learns_the_checkerboard(variant: str, negatives: str) -> None:
    train, held = checkerboard()
    model = fitted({"variant": variant, "negatives": negatives, "objective": "softmax", "n_negatives": 12})
    ranking = model.rank(train.of(held.user_index), 1)
    assert (ranking.items[:, 0] == held.item_index).mean() > 0.9
    assert not model.probabilities
    assert model.score(train.all_users).max() > 1, "logits: a sigmoid would round the best ones to the same value"


def softmax_loss(train: Interactions, network: Network, **changes: object) -> tuple[float, float]:
    """Mean loss of a positive over 30 epochs, and its standard error."""
    params = NcfParams(variant="gmf", factors=4, batch_size=10_000, objective="softmax", **changes)
    pairs = ncf_pairs.SoftmaxOfUsers(train, params, 0, torch.device("cpu"))
    found = []
    with torch.inference_mode():
        for epoch in range(30 if params.negatives == "sampled" else 1):
            parts = [pairs.loss(network, batch) for batch in pairs.batches(epoch)]
            found.append(float(sum(loss for loss, *_ in parts)) / sum(count for *_, count in parts))
    return float(np.mean(found)), float(np.std(found) / np.sqrt(len(found)))


def test_the_softmax_is_that_of_the_whole_catalogue_and_the_sampled_one_near_it() -> None:
    train = uneven()
    torch.manual_seed(0)
    network = Network(train.n_users, train.n_items, NcfParams(variant="gmf", factors=4))
    torch.nn.init.normal_(network.items.weight)
    with torch.inference_mode():
        logits = network(torch.arange(20), torch.arange(12)[None])[0].numpy()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    weight = train.weight / train.weight.mean()
    positive = shares[train.user_index, train.item_index]
    expected = -(weight * np.log(positive)).mean()
    assert softmax_loss(train, network, negatives="all")[0] == pytest.approx(expected, rel=1e-5)
    value, error = softmax_loss(train, network, negatives="sampled", n_negatives=11)
    # each positive counts once more, beside the 11 of 12 items that stand for all
    assert expected - 4 * error < value < expected + (weight * np.log1p(positive)).mean() + 4 * error


def test_the_weights_of_a_history_fall_with_age_and_keep_their_mean() -> None:
    rows = replace(uneven(), weight=np.where(np.arange(len(uneven())) % 4 == 3, 0, 1).astype(np.float32))
    recent = ncf_pairs.recent(rows, 1.0)
    for user in np.flatnonzero(rows.lengths):
        mine = slice(rows.indptr[user], rows.indptr[user + 1])
        before, after = rows.weight[mine], recent.weight[mine]
        assert after[before > 0].mean() == pytest.approx(1) if (before > 0).any() else True
        assert (np.diff(after[before > 0]) > 0).all()
        assert (after[before <= 0] == 0).all()
    last = rows.indptr[1:][rows.lengths == 9] - 1
    assert recent.weight[last][0] / recent.weight[last - 1][0] == pytest.approx(2) or (rows.weight[last - 1] == 0).any()
    assert ncf_pairs.recent(rows, 0.0) is rows


def test_pretrained_neumf_learns_the_checkerboard_and_starts_better() -> None:
    losses: dict[int, list[float]] = {0: [], 6: []}
    for pretrain, seen in losses.items():
        fitted(
            {"variant": "neumf", "pretrain": pretrain, "epochs": 2},
            report=lambda _, m, seen=seen: seen.append(m["loss"]),
        )
    assert losses[6][0] < losses[0][0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_numpy_scores_as_pytorch_does(variant: str) -> None:
    train, _ = checkerboard()
    params = NcfParams(**{**SMALL, "variant": variant, "layers": (16, 12, 8)})
    with seeded(0):
        network = Network(train.n_users, train.n_items, params).eval()
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.5)
    model = Ncf.restore(params, network.export(), train, Catalogue.empty(train.items))
    users = train.of(np.arange(train.n_users))
    everything = torch.arange(train.n_items).repeat(train.n_users, 1)
    logits, *_ = network(torch.arange(train.n_users), everything)
    expected = torch.sigmoid(logits).detach().numpy()
    np.testing.assert_allclose(model.score(users), expected, atol=1e-5)
    some = np.array([4, 1, 7], np.int32)
    np.testing.assert_allclose(model.score(users, some), expected[:, some], atol=1e-5)
    own = np.random.default_rng(0).integers(train.n_items, size=(train.n_users, 5)).astype(np.int32)
    np.testing.assert_allclose(
        model.score(users, own), np.take_along_axis(expected, own.astype(np.int64), 1), atol=1e-5
    )


class StopNowError(Exception):
    pass


@pytest.mark.parametrize("params", [{"variant": "neumf", "dropout": 0.2}, {"variant": "neumf", "pretrain": 2}])
def test_resuming_an_interrupted_fit_equals_never_stopping_bit_for_bit(tmp_path: Path, params: dict) -> None:
    _, held = checkerboard()

    def stop_after_three(epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == 3:
            raise StopNowError

    params = {**params, "epochs": 6}
    whole = fitted(params, validation=held)
    with pytest.raises(StopNowError):
        fitted(params, validation=held, checkpoint=tmp_path, report=stop_after_three)
    epochs: list[int] = []
    resumed = fitted(params, validation=held, checkpoint=tmp_path, report=lambda epoch, _: epochs.append(epoch))
    assert epochs[0] == 4
    assert whole.fitted_params_ == resumed.fitted_params_
    for name, value in whole.state().items():
        np.testing.assert_array_equal(value, resumed.state()[name])


def test_a_checkpoint_of_other_parameters_is_not_resumed(tmp_path: Path) -> None:
    fitted({"epochs": 3}, checkpoint=tmp_path)
    epochs: list[int] = []
    fitted({"epochs": 3, "learning_rate": 0.01}, checkpoint=tmp_path, report=lambda epoch, _: epochs.append(epoch))
    assert epochs == [1, 2, 3]


def test_a_damaged_checkpoint_is_refused_by_its_path(tmp_path: Path) -> None:
    fitted({"epochs": 1}, checkpoint=tmp_path)
    assert {path.stat().st_mode & 0o007 for path in tmp_path.glob("*.pt")} == {0}  # other accounts cannot read it
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"\.pt: the checkpoint cannot be read .*Delete it to start again"):
        fitted({"epochs": 1}, checkpoint=tmp_path)


def test_early_stopping_keeps_the_best_epoch_and_its_weights() -> None:
    _, held = checkerboard()
    seen: list[float] = []
    params = {"epochs": 40, "patience": 3, "learning_rate": 0.05, "n_negatives": 1}
    model = fitted(params, validation=held, report=lambda _, m: seen.append(m["validation_ndcg_at_10"]))
    best = int(np.argmax(seen)) + 1
    assert model.fitted_params_ == {"epochs": best}
    assert len(seen) == min(40, best + 3)
    train, _ = checkerboard()
    place = model.rank(train.of(held.user_index), 10).items == held.item_index[:, None]
    ndcg = (place / np.log2(np.arange(10) + 2)).sum(axis=1).mean()
    assert ndcg == pytest.approx(max(seen), abs=1e-6)


def test_every_epoch_reports_loss_and_hit_rate_on_validation() -> None:
    train, held = checkerboard()
    seen: list[Mapping[str, float]] = []
    model = fitted(
        {"epochs": 6, "patience": 6, "learning_rate": 0.05}, validation=held, report=lambda _, m: seen.append(m)
    )
    best = seen[model.fitted_params_["epochs"] - 1]
    users = train.of(held.user_index)
    hits = (model.rank(users, 10).items == held.item_index[:, None]).any(axis=1)
    assert best["validation_hit_rate_at_10"] == pytest.approx(hits.mean())
    chance = model.scores_of(users, np.arange(train.n_items, dtype=np.int32)).astype(np.float64)
    others = ~users.seen.toarray()
    rows = np.arange(len(held))
    own = -np.log(chance[rows, held.item_index])
    others[rows, held.item_index] = False
    rest = (-np.log1p(-chance) * others).sum(axis=1) / others.sum(axis=1)
    n = model.params.n_negatives
    assert best["validation_loss"] == pytest.approx(((own + n * rest) / (1 + n)).mean(), rel=1e-3)


def test_equal_seeds_give_equal_weights_and_other_seeds_others() -> None:
    one, same, other = (fitted({"epochs": 2}, seed=seed).state() for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["mlp_users"], other["mlp_users"])


def test_a_fit_leaves_the_global_generator_of_torch_alone() -> None:
    before = torch.random.get_rng_state()
    fitted({"epochs": 1, "dropout": 0.5})
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("exponent", [0.0, 0.5])
def test_all_pairs_have_the_loss_that_sampled_pairs_have_on_average(exponent: float) -> None:
    train = uneven()
    params = NcfParams(variant="gmf", factors=4, n_negatives=3, batch_size=10_000, popularity_exponent=exponent)
    with seeded(0):
        network = Network(train.n_users, train.n_items, params)
        torch.nn.init.normal_(network.users.weight)
        torch.nn.init.normal_(network.items.weight)
    device = torch.device("cpu")

    def mean_loss(pairs: ncf_pairs.Pairs, epoch: int) -> float:
        with torch.inference_mode():
            losses = [pairs.loss(network, batch) for batch in pairs.batches(epoch)]
        return float(sum(loss for loss, *_ in losses)) / sum(count for *_, count in losses)

    whole = mean_loss(ncf_pairs.AllPairs(train, params, 0, device), 1)
    sampled = [mean_loss(ncf_pairs.SampledPairs(train, params, 0, device), epoch) for epoch in range(300)]
    assert whole == pytest.approx(np.mean(sampled), abs=4 * np.std(sampled) / np.sqrt(len(sampled)))


def uneven() -> Interactions:
    """Users with 1 to 9 items of 12, weights from .1 to 1, popular items first."""
    rng = np.random.default_rng(5)
    pairs = [(u, i) for u in range(20) for i in rng.choice(12, 1 + u % 9, replace=False, p=np.arange(12, 0, -1) / 78)]
    users, items = zip(*pairs, strict=True)
    return Interactions.from_arrays(ids("u", 20), ids("i", 12), users, items, rng.choice([0.1, 0.5, 1.0], len(pairs)))


@pytest.mark.parametrize(("negatives", "epochs"), [("sampled", 100), ("all", 12)])
def test_strong_regularization_leaves_nothing_but_popularity(negatives: str, epochs: int) -> None:
    train = uneven()
    params = NcfParams(
        variant="gmf",
        factors=4,
        n_negatives=2,
        negatives=negatives,
        regularization=0.5,
        epochs=epochs,
        learning_rate=0.05,
    )
    weights = Ncf(params).fit(train).state()
    assert np.abs(weights["gmf_users"] @ weights["gmf_items"].T).max() < 0.05
    assert np.corrcoef(weights["item_bias"], train.item_counts)[0, 1] > 0.8


def test_negatives_of_a_user_are_never_what_he_likes() -> None:
    train = uneven()
    liked = train.matrix.toarray()
    pairs = ncf_pairs.SampledPairs(train, NcfParams(n_negatives=5), 0, torch.device("cpu"))
    batches = list(pairs.batches(1))
    assert sum(len(users) for users, _, _ in batches) == int((train.weight > 0).sum())
    for users, items, _ in batches:
        assert (liked[users.numpy()[:, None], items[:, 1:].numpy()] == 0).all()
        assert (liked[users.numpy(), items[:, 0].numpy()] > 0).all()


def test_a_learning_rate_that_breaks_the_training_is_named() -> None:
    with pytest.raises(ConfigError, match=r"learning_rate = 1e\+30: the loss of epoch \d+ is (nan|inf)\. Lower it"):
        fitted({"learning_rate": 1e30})


def test_without_patience_validation_is_not_looked_at() -> None:
    _, held = checkerboard()
    seen: list[Mapping[str, float]] = []
    model = fitted({"patience": 0, "epochs": 3}, validation=held, report=lambda _, m: seen.append(m))
    assert model.fitted_params_ == {"epochs": 3}
    assert [set(metrics) for metrics in seen] == [{"loss"}] * 3


def test_users_who_like_everything_are_refused_when_there_are_no_others() -> None:
    everything = Interactions.from_arrays(
        ids("u", 4), ids("i", 3), np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4)
    )
    with pytest.raises(TooLittleData, match="every user likes every item: ncf learns from what users did not choose"):
        Ncf().fit(everything)


def test_int8_keeps_ranks_and_quarters_the_size() -> None:
    _, held = checkerboard()
    whole = fitted({"variant": "neumf", "factors": 32})
    cost = cost_of_int8(whole, held)
    assert cost.ndcg_at_10[1] == pytest.approx(cost.ndcg_at_10[0], abs=0.03)
    assert cost.size[1] < 0.4 * cost.size[0]
    assert min(cost.milliseconds) > 0
    small = fitted({"variant": "neumf", "factors": 32, "export": "int8"})
    assert {small.state()[name].dtype.name for name in ("gmf_users", "mlp_items", "layer_1")} == {"int8"}
    for name, value in small.weights_.items():
        np.testing.assert_allclose(value, whole.weights_[name], atol=np.abs(whole.weights_[name]).max() / 250)
    again = Ncf.restore(small.params, small.state(), small.train_, small.catalogue_)
    np.testing.assert_array_equal(again.score(held.all_users), small.score(held.all_users))


def test_too_little_data_is_refused_by_name() -> None:
    few = Interactions.from_arrays(ids("u", 3), ids("i", 3), [0, 1, 2], [0, 1, 2])
    with pytest.raises(TooLittleData, match="3 positive interactions: ncf needs at least 10"):
        Ncf().fit(few)


def test_users_unknown_to_training_get_popularity() -> None:
    assert fitted({"epochs": 1}).recommend("unknown", 3).method == "popularity"


def test_a_fitted_ncf_scores_without_importing_torch() -> None:
    script = "import sys, recstage.models.ncf.model; assert 'torch' not in sys.modules, 'torch was imported'"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("variant", ["mlp", "neumf"])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("weighted", [True, False])
def test_the_written_gradient_equals_that_of_autograd(kind: torch.dtype, variant: str, weighted: bool) -> None:
    params = NcfParams(**{**SMALL, "variant": variant, "layers": (16, 8, 4)})
    with seeded(3):
        network = Network(9, 7, params, kind)
        users, items = torch.randint(9, (12,)), torch.randint(7, (12, 5))
        weight = torch.rand(12, 5)

    whole = in_one_piece(network)
    loss = pair_gradient(network, users, items, weight if weighted else None, user_penalty=0.1, item_penalty=0.2)
    written = [loss, *(part.grad.clone() for part in network.parameters())]
    whole.grad.zero_()
    loss, user_emb, item_emb = network.cross_entropy(users, items, weight if weighted else None)
    ((loss + 0.1 * 5 * user_emb.square().sum() + 0.2 * item_emb.square().sum()) / 60).backward()
    near = {} if kind == torch.float32 else {"rtol": 0.05, "atol": 0.02 / 60}
    for ours, theirs in zip(written, [loss, *(part.grad for part in network.parameters())], strict=True):
        torch.testing.assert_close(ours, theirs, **near)
        assert ours.abs().max() > 0


def test_parameters_without_gradients_are_refused() -> None:
    network = Network(9, 7, NcfParams(**{**SMALL, "variant": "mlp"}))
    with pytest.raises(ValueError, match="gradients first"):
        pair_gradient(network, torch.tensor([1]), torch.tensor([[1, 2]]), None)


@pytest.mark.parametrize("weights", [{}, {"popularity_exponent": 0.5}])
def test_training_by_the_written_gradient_reaches_equal_weights(weights: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"variant": "neumf", "layers": (16, 8, 4), "negatives": "sampled", "epochs": 2, **weights}
    one = fitted(settings)
    calls: list[int] = []

    def by_autograd(self: object, network: Network, batch: tuple) -> tuple[torch.Tensor, float]:
        calls.append(1)
        return ncf_pairs.by_autograd(self, network, batch)

    monkeypatch.setattr(ncf_pairs.SampledPairs, "add_gradients", by_autograd)
    other = fitted(settings)
    assert calls
    for name, value in one.state().items():
        np.testing.assert_allclose(value, other.state()[name], rtol=2e-3, atol=2e-4, err_msg=name)


def test_a_network_in_one_piece_has_the_weights_and_gradients_it_had() -> None:
    params = NcfParams(**{**SMALL, "variant": "neumf", "layers": (16, 8, 4)})
    with seeded(3):
        apart = Network(9, 7, params)
        users, items = torch.randint(9, (12,)), torch.randint(7, (12, 5))
    joined = copy.deepcopy(apart)
    whole = in_one_piece(joined)
    for _ in range(2):  # gradients add up in both
        for network in (apart, joined):
            network.cross_entropy(users, items)[0].backward()
    for one, other in zip(apart.parameters(), joined.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
        torch.testing.assert_close(one.grad, other.grad)
        assert one.grad is not None
        assert one.grad.abs().max() > 0
    with torch.no_grad():
        whole.zero_()
    whole.grad.zero_()
    assert all(not part.any() and not part.grad.any() for part in joined.parameters())


def test_without_a_penalty_no_norm_is_computed_and_items_may_weigh_otherwise_than_users() -> None:
    def norms(value: float) -> Callable[[], torch.Tensor]:
        return lambda: torch.tensor(value)

    def unasked() -> torch.Tensor:
        raise AssertionError("computed for nothing")

    assert Penalty(NcfParams(regularization=0.0))(unasked, unasked) == 0
    assert Penalty(NcfParams(regularization=0.5))(norms(2.0), norms(4.0)) == 3
    assert Penalty(NcfParams(regularization=0.5, item_regularization=0.0))(norms(2.0), unasked) == 1
