"""Blocks of the user tower: no leak from the future, NumPy equals PyTorch, learning, exact resuming, old parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions, Users
from recstage.models.neural.training import seeded
from recstage.models.two_tower import TwoTower
from recstage.models.two_tower.params import TwoTowerParams
from recstage.models.two_tower.training import Network, reads_clock

torch.set_num_threads(1)  # several tests may run at once
N_ITEMS = 20
BLOCKS = pytest.mark.parametrize("block", ["sasrec", "ligr", "hstu"])
SIMILARITIES = pytest.mark.parametrize("similarity", ["dot", "cosine"])
SMALL = {"factors": 16, "heads": 2, "window": 12, "dropout": 0.0, "precision": "fp32", "patience": 0}


def params_of(**changed: object) -> TwoTowerParams:
    return TwoTowerParams(**{**SMALL, **changed})


def random_network(params: TwoTowerParams, timed: bool = False) -> Network:
    with seeded(0):
        network = Network(N_ITEMS, params, None, timed).eval()
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    return network


def circle(n_users: int = 40, length: int = 10) -> Interactions:
    """Each user walks round a circle of items from a random place: item i is always followed by i + 1."""
    start = np.random.default_rng(0).integers(N_ITEMS, size=n_users)
    users, steps = np.repeat(np.arange(n_users), length), np.tile(np.arange(length), n_users)
    ids = [IdMap(np.array([f"{i}" for i in range(n)], dtype=object)) for n in (n_users, N_ITEMS)]
    return Interactions.from_arrays(*ids, users, (start[users] + steps) % N_ITEMS, None, steps)


def fitted(block: str, **changed: object) -> TwoTower:
    fitting = {name: changed.pop(name) for name in ("checkpoint", "report") if name in changed}
    params = params_of(block=block, similarity="cosine", learning_rate=0.01, batch_size=8, **changed)
    return TwoTower(params).fit(clocked(), seed=1, **fitting)


@BLOCKS
def test_later_events_change_nothing_earlier(block: str) -> None:
    network = random_network(params_of(block=block, layers=3))
    history = torch.arange(12)[None]
    changed = torch.cat([history[:, :5], history[:, 5:].flip(1)], dim=1)
    with torch.inference_mode():
        vectors = network.item_tower()
        before, after = network.user_tower(history, vectors), network.user_tower(changed, vectors)
        alone = network.user_tower(history[:, :5], vectors)
    torch.testing.assert_close(before[:, :5], after[:, :5], rtol=0, atol=1e-6)
    torch.testing.assert_close(before[:, :5], alone, rtol=0, atol=1e-5)
    assert (before[:, 5:] - after[:, 5:]).abs().max() > 0.01


@BLOCKS
@SIMILARITIES
def test_served_scores_are_those_of_pytorch(block: str, similarity: str) -> None:
    params = params_of(block=block, similarity=similarity, layers=3, heads=4)
    network, train = random_network(params), circle()
    model = TwoTower.restore(params, network.export(), train, Catalogue.empty(train.items))
    for t in (1, 7, 12):
        histories = np.random.default_rng(t).permuted(np.tile(np.arange(N_ITEMS), (6, 1)), axis=1)[:, :t]
        users = Users.concatenated([Users.unknown(N_ITEMS, history) for history in histories])
        with torch.inference_mode():
            vectors = network.item_tower()
            outputs = network.user_tower(torch.from_numpy(histories), vectors)[:, -1]
            expected = (outputs @ network.targets(vectors).T).numpy()
        np.testing.assert_allclose(model.score(users), expected, atol=1e-4, rtol=0)


def clocked() -> Interactions:
    """`circle` with a minute between two items, after the year 2001."""
    rows = circle()
    return Interactions.from_arrays(
        rows.users, rows.items, rows.user_index, rows.item_index, None, 10**9 + 60 * rows.timestamp
    )


def test_served_scores_of_timed_blocks_are_those_of_pytorch() -> None:
    params, train = params_of(block="hstu", layers=3), circle()
    network = random_network(params, timed=True)
    model = TwoTower.restore(params, network.export(), train, Catalogue.empty(train.items))
    history = np.arange(9)
    # gaps at and around powers of two, where buckets begin
    times = 10**9 + np.cumsum([0, 0, 1, 2, 3, 4, 2**20 - 1, 2**20, 2**33])
    with torch.inference_mode():
        vectors = network.item_tower()
        outputs = network.user_tower(torch.from_numpy(history)[None], vectors, torch.from_numpy(times)[None])[:, -1]
        expected = (outputs @ vectors.T).numpy()
    served = model.score(Users.unknown(N_ITEMS, history, timestamps=times))
    np.testing.assert_allclose(served, expected, atol=1e-4, rtol=0)
    assert not np.allclose(model.score(Users.unknown(N_ITEMS, history)), served, atol=0.01)


def test_times_are_read_by_hstu_where_they_are_a_clock() -> None:
    ranks, clock = circle(), clocked()
    assert [reads_clock(params_of(block="hstu"), rows) for rows in (ranks, clock)] == [False, True]
    assert not reads_clock(params_of(block="ligr"), clock)


@pytest.mark.slow
@BLOCKS
def test_each_block_learns_what_comes_next_for_unknown_users_too(block: str) -> None:
    model = fitted(block, epochs=25)
    assert ("block_0_ages" in model.state()) == (block == "hstu")
    histories = [np.arange(first, first + 5) % N_ITEMS for first in range(N_ITEMS)]
    users = Users.concatenated([Users.unknown(N_ITEMS, history) for history in histories])
    best = model.rank(users, 1).items[:, 0]
    assert (best == (np.arange(N_ITEMS) + 5) % N_ITEMS).mean() > 0.9


class StopNowError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("block", ["ligr", "hstu"])
def test_a_resumed_fit_of_a_block_equals_an_uninterrupted_one(block: str, tmp_path: Path) -> None:
    def stop_after_one(epoch: int, metrics: Mapping[str, float]) -> None:
        raise StopNowError

    params = {"epochs": 3, "dropout": 0.3}
    whole = fitted(block, **params).state()
    with pytest.raises(StopNowError):
        fitted(block, **params, checkpoint=tmp_path, report=stop_after_one)
    resumed = fitted(block, **params, checkpoint=tmp_path).state()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, resumed[name])


def test_parameters_written_before_there_were_blocks_mean_sasrec_and_dot_products() -> None:
    new = {"block", "similarity", "temperature"}
    old = {name: value for name, value in params_of().model_dump().items() if name not in new}
    params, train = TwoTowerParams(**old), circle()
    weights = random_network(params_of()).export()
    model = TwoTower.restore(params, weights, train, Catalogue.empty(train.items))
    assert (params.block, params.similarity) == ("sasrec", "dot")
    np.testing.assert_array_equal(model.item_vectors(), weights["items"])
