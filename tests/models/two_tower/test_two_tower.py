"""Two-tower: order in time, unknown users and new items, resuming, and that NumPy and PyTorch encode alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions, Users
from recstage.errors import DataError, TooLittleData
from recstage.models.neural.softmax_loss import SampledSoftmaxLoss, SoftmaxLoss
from recstage.models.neural.training import Progress, seeded, validated
from recstage.models.two_tower.encoding import encode
from recstage.models.two_tower.model import TwoTower
from recstage.models.two_tower.neighbors import neighbor_vectors
from recstage.models.two_tower.params import TwoTowerParams
from recstage.models.two_tower.training import Network
from recstage.models.two_tower.windows import Windows

pytestmark = pytest.mark.slow

torch.set_num_threads(1)  # several tests may run at once
N_ITEMS = 24
SMALL = {
    "factors": 16,
    "window": 8,
    "epochs": 25,
    "batch_size": 8,
    "learning_rate": 0.01,
    "dropout": 0.0,
    "patience": 0,
    "precision": "fp32",
}


def ids(prefix: str, n: int) -> IdMap:
    return IdMap(np.array([f"{prefix}{i}" for i in range(n)], dtype=object))


def walks(n_users: int = 60, length: int = 12) -> Interactions:
    """Each user walks round a circle of items from a random place: item i is always followed by i + 1."""
    start = np.random.default_rng(0).integers(N_ITEMS, size=n_users)
    users = np.repeat(np.arange(n_users), length)
    steps = np.tile(np.arange(length), n_users)
    return Interactions.from_arrays(
        ids("u", n_users), ids("i", N_ITEMS), users, (start[users] + steps) % N_ITEMS, None, steps
    )


def fitted(params: Mapping[str, object] = {}, train: Interactions | None = None, **fitting: object) -> TwoTower:
    return TwoTower(TwoTowerParams(**{**SMALL, **params})).fit(train or walks(), **{"seed": 1, **fitting})


@pytest.fixture(scope="module")
def walker() -> TwoTower:
    return fitted()


def share_continued(model: TwoTower, train: Interactions) -> float:
    last = train.item_index[train.indptr[1:] - 1]
    best = model.rank(train.all_users, 1).items[:, 0]
    return float((best == (last + 1) % N_ITEMS).mean())


def test_it_learns_what_comes_next(walker: TwoTower) -> None:
    assert share_continued(walker, walks()) > 0.95


def test_the_order_of_a_history_matters(walker: TwoTower) -> None:
    forward = Users.unknown(N_ITEMS, [3, 4, 5, 6])
    backward = Users.unknown(N_ITEMS, [6, 5, 4, 3])
    assert walker.rank(forward, 1).items[0, 0] == 7
    assert not np.allclose(walker.score(forward), walker.score(backward), atol=0.1)


def test_an_unknown_user_is_served_from_the_first_clicks(walker: TwoTower) -> None:
    ranking = walker.rank(Users.unknown(N_ITEMS, [10, 11]), 1)
    assert (ranking.items[0, 0], ranking.methods[0]) == (12, "two-tower")


def test_a_known_and_an_unknown_user_with_the_same_history_get_the_same(walker: TwoTower) -> None:
    one = walks().of([5])
    unknown = Users.unknown(N_ITEMS, one.items)
    np.testing.assert_array_equal(walker.score(one), walker.score(unknown))


def test_dismissed_items_are_not_part_of_the_history(walker: TwoTower) -> None:
    liked = Users.unknown(N_ITEMS, [3, 4, 5])
    with_dismissed = Users.unknown(N_ITEMS, [3, 20, 4, 5, 9], [1, -1, 1, 1, 0])
    np.testing.assert_array_equal(walker.score(liked), walker.score(with_dismissed))
    assert not walker.can_score(Users.unknown(N_ITEMS, [3], [-1.0]))[0]


def test_users_of_many_lengths_are_scored_as_each_alone(walker: TwoTower) -> None:
    train = walks()
    kept = np.random.default_rng(3).random(len(train)) < 0.4
    users = train.select(kept).all_users
    together = walker.score(users)
    alone = np.concatenate([walker.score(users.take([i])) for i in range(len(users))])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    own = np.random.default_rng(0).integers(N_ITEMS, size=(len(users), 3)).astype(np.int32)
    np.testing.assert_allclose(
        walker.score(users, own), np.take_along_axis(together, own.astype(np.int64), 1), atol=1e-5
    )


def test_of_a_history_longer_than_the_window_the_last_items_are_read(walker: TwoTower) -> None:
    items = np.random.default_rng(4).permutation(N_ITEMS)[: 2 * walker.params.window]
    whole, last = (Users.unknown(N_ITEMS, items[-n:]) for n in (len(items), walker.params.window))
    np.testing.assert_allclose(walker.score(whole), walker.score(last), atol=1e-6)
    assert not np.allclose(walker.score(whole), walker.score(Users.unknown(N_ITEMS, items[:-1])))


@pytest.mark.parametrize("t", [1, 5, 8])
def test_numpy_encodes_as_pytorch_does(t: int) -> None:
    params = TwoTowerParams(**{**SMALL, "layers": 3, "heads": 4})
    with seeded(0):
        network = Network(N_ITEMS, params, None).eval()
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    histories = torch.randint(N_ITEMS, (6, t), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network.user_tower(histories, network.item_tower())[:, -1].numpy()
    weights = network.export()
    np.testing.assert_allclose(encode(weights, weights["items"][histories.numpy()], params), expected, atol=1e-5)


def test_windows_cover_each_step_of_each_history_once() -> None:
    train = walks(n_users=9, length=20)
    windows = Windows(train, window=7)
    for seed in range(3):
        seen: list[tuple[int, int]] = []
        for start, length in windows.batches(28, torch.Generator().manual_seed(seed)):
            assert len(start) * int(length.max()) <= 28
            histories, _, real, targets, _ = windows.read(start, length)
            seen += zip(histories[real].tolist(), targets.tolist(), strict=True)
        steps = [
            (a, (a + 1) % N_ITEMS)
            for u in range(9)
            for a in train.item_index[train.indptr[u] : train.indptr[u + 1] - 1]
        ]
        assert sorted(seen) == sorted(steps)


def test_first_vectors_tell_who_stands_near_whom() -> None:
    vectors = neighbor_vectors(walks(), 16, seed=0)
    assert vectors.shape == (N_ITEMS, 16)
    assert vectors.std() == pytest.approx(0.05, rel=1e-3)
    near = vectors @ vectors.T
    np.fill_diagonal(near, -np.inf)
    steps = np.abs(np.arange(N_ITEMS) - near.argmax(axis=1))
    assert (np.minimum(steps, N_ITEMS - steps) <= 2).mean() > 0.9
    wide = neighbor_vectors(walks(), 2 * N_ITEMS, seed=0)
    assert not wide[:, N_ITEMS:].any()


def test_it_learns_sooner_from_the_vectors_of_neighbors() -> None:
    few = {"epochs": 3}
    models = (fitted({**few, "first_vectors": one}) for one in ("random", "neighbors"))
    plain, ahead = (share_continued(model, walks()) for model in models)
    assert ahead > plain


def test_the_pieced_softmax_has_the_loss_and_gradients_of_the_whole() -> None:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(300, 8, generator=draw, requires_grad=True)
    items = torch.randn(50, 8, generator=draw, requires_grad=True)
    targets = torch.randint(50, (300,), generator=draw)
    weights = torch.rand(300, generator=draw)
    losses = torch.nn.functional.cross_entropy(hidden @ items.T, targets, reduction="none", label_smoothing=0.0)
    expected = torch.autograd.grad((losses * weights).mean(), (hidden, items))
    loss = SoftmaxLoss.apply(hidden, items, targets, weights, 0.0, torch.float32)
    found = torch.autograd.grad(loss, (hidden, items))
    torch.testing.assert_close(loss, (losses * weights).mean())
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    smooth = torch.nn.functional.cross_entropy(hidden @ items.T, targets, label_smoothing=0.1)
    ours = torch.autograd.grad(SoftmaxLoss.apply(hidden, items, targets, None, 0.1, torch.float32), hidden)[0]
    torch.testing.assert_close(ours, torch.autograd.grad(smooth, hidden)[0])


def test_a_softmax_that_samples_every_item_is_the_full_one() -> None:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(300, 8, generator=draw, requires_grad=True)
    items = torch.randn(50, 8, generator=draw, requires_grad=True)
    targets, weights = torch.randint(50, (300,), generator=draw), torch.rand(300, generator=draw)
    every = torch.randperm(50, generator=draw)
    full = SoftmaxLoss.apply(hidden, items, targets, weights, 0.0, torch.float32)
    sampled = SampledSoftmaxLoss.apply(hidden, items, targets, weights, every, torch.float32)
    torch.testing.assert_close(sampled, full)
    for ours, theirs in zip(*(torch.autograd.grad(one, (hidden, items)) for one in (sampled, full)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_pieced_sampled_softmax_has_the_loss_and_gradients_of_the_whole() -> None:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(300, 8, generator=draw, requires_grad=True)
    items = torch.randn(50, 8, generator=draw, requires_grad=True)
    targets, sampled = torch.randint(50, (300,), generator=draw), torch.randperm(50, generator=draw)[:20]
    own = (hidden * items[targets]).sum(dim=1, keepdim=True)
    others = hidden @ items[sampled].T + np.log(50 / 20)
    others = others.masked_fill(targets[:, None] == sampled, -torch.inf)
    whole = (torch.logsumexp(torch.cat([own, others], dim=1), dim=1) - own[:, 0]).mean()
    pieced = SampledSoftmaxLoss.apply(hidden, items, targets, None, sampled, torch.float32)
    torch.testing.assert_close(pieced, whole)
    for ours, theirs in zip(*(torch.autograd.grad(one, (hidden, items)) for one in (pieced, whole)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_it_learns_with_a_sampled_softmax_too() -> None:
    assert share_continued(fitted({"n_negatives": 8}), walks()) > 0.9


def texts() -> Catalogue:
    """Item i's text names its place on the circle, so that texts alone determine which item follows which."""
    frame = pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N_ITEMS)],
            "text": [f"place{i} stone{i}" for i in range(N_ITEMS)],
            "categories": [["even"] if i % 2 == 0 else ["odd"] for i in range(N_ITEMS)],
        }
    )
    return Catalogue.from_frame(frame, ids("i", N_ITEMS))


def test_a_new_item_is_embedded_from_its_text() -> None:
    model = fitted({"id_dropout": 0.5, "text_factors": 20, "epochs": 40}, catalogue=texts())
    frame = pd.DataFrame({"item_id": ["new"], "text": ["place7 stone7"], "categories": [["odd"]]})
    vector = model.embed_items(Catalogue.from_frame(frame, IdMap(np.array(["new"], dtype=object))))[0]
    near = model.item_vectors() @ vector
    assert np.argmax(near) == 7
    restored = TwoTower.restore(model.params, model.state(), model.train_, model.catalogue_)
    assert restored.features_ is not None
    assert restored.features_.categories == ("even", "odd")
    np.testing.assert_array_equal(restored.embed_items(texts()), model.embed_items(texts()))


def test_without_texts_new_items_are_refused(walker: TwoTower) -> None:
    with pytest.raises(DataError, match=r"trained without texts\. Train it on a catalogue with titles"):
        walker.embed_items(texts())


def test_an_index_serves_what_exact_search_serves(walker: TwoTower) -> None:
    pytest.importorskip("faiss", reason="FAISS is an extra: pip install recstage[faiss]")
    params = walker.params.model_copy(update={"index": "faiss"})
    indexed = TwoTower.restore(params, walker.state(), walker.train_, walker.catalogue_)
    exact, found = (model.rank(walks().all_users, 5).items for model in (walker, indexed))
    np.testing.assert_array_equal(found, exact)


class StopNowError(Exception):
    pass


def test_resuming_an_interrupted_fit_equals_never_stopping_bit_for_bit(tmp_path: Path) -> None:
    def stop_after_two(epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == 2:
            raise StopNowError

    params = {"epochs": 4, "dropout": 0.3}
    whole = fitted(params, catalogue=texts()).state()
    with pytest.raises(StopNowError):
        fitted(params, catalogue=texts(), checkpoint=tmp_path, report=stop_after_two)
    resumed = fitted(params, catalogue=texts(), checkpoint=tmp_path).state()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, resumed[name])


def test_a_fit_that_is_given_a_time_ends_with_a_whole_epoch(tmp_path: Path) -> None:
    done: list[int] = []
    short = fitted({"epochs": 400}, seconds=1e-3, report=lambda epoch, _: done.append(epoch))
    assert (done, short.fitted_params_) == ([1], {"epochs": 1})
    whole = fitted({"epochs": 3}, seconds=1e6)
    for name, value in fitted({"epochs": 3}).state().items():
        np.testing.assert_array_equal(value, whole.state()[name])


@pytest.mark.parametrize(
    ("done", "spent", "planned"), [(0, 0.0, 40), (1, 8.0, 12), (4, 25.0, 16), (4, 1.0, 40), (7, 300.0, 7)]
)
def test_epochs_are_planned_by_what_they_have_taken(done: int, spent: float, planned: int) -> None:
    assert Progress(done, spent).planned(40, 100.0) == planned
    assert Progress(done, spent).planned(40, 0.0) == 40


def test_early_stopping_keeps_the_best_epoch() -> None:
    train = walks()
    last = np.zeros(len(train), bool)
    last[train.indptr[1:] - 1] = True
    reported: list[Mapping[str, float]] = []
    model = fitted(
        {"patience": 2, "epochs": 30},
        train.select(~last),
        validation=train.select(last),
        report=lambda _, m: reported.append(m),
    )
    seen = [metrics["validation_ndcg_at_10"] for metrics in reported]
    assert model.fitted_params_ == {"epochs": int(np.argmax(seen)) + 1}
    assert len(seen) == min(30, model.fitted_params_["epochs"] + 2)
    assert max(seen) > 0.9
    best = reported[int(np.argmax(seen))]
    assert best["validation_hit_rate_at_10"] >= best["validation_ndcg_at_10"]
    assert best["validation_loss"] < reported[0]["validation_loss"]


def test_what_is_reported_of_a_validation_is_right_by_hand() -> None:
    found = validated(torch.tensor([0, 2, 10, 99]), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert found["validation_ndcg_at_10"] == pytest.approx((1 + 0.5) / 4)
    assert found["validation_hit_rate_at_10"] == 0.5
    assert found["validation_loss"] == 2.5


def test_histories_of_one_item_each_are_refused_by_name() -> None:
    single = Interactions.from_arrays(ids("u", 12), ids("i", N_ITEMS), np.arange(12), np.arange(12))
    with pytest.raises(TooLittleData, match="no user with two positive interactions: two-tower learns"):
        TwoTower().fit(single)


def test_heads_that_do_not_divide_the_factors_are_refused() -> None:
    with pytest.raises(ValueError, match="heads must divide factors"):
        TwoTowerParams(factors=10, heads=4)


def test_a_fitted_two_tower_serves_without_importing_torch() -> None:
    script = "import sys, recstage.models.two_tower; assert not {'torch', 'sklearn'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
