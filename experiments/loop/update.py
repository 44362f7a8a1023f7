"""What an update is worth beside a full retraining: NDCG@10 and time of stale, updated and retrained models.

    python -m experiments.loop.update --data ml-100k --models als two-tower
    python -m experiments.loop.update --data ml-1m-implicit --by users

The stale model is fitted to the first part of the rows before the test: by time, or, where times are ranks, those of
80 % of the users (and without a twentieth of the items, which have all their rows in the second part). The test is that
of the data set. Every model ranks for the same users: `stale` with the histories it was trained on, `folded in` with
those of today as the service has them, `new alone` and `updated` after an update without and with `refresh`,
`retrained` on all rows. Seconds are of the processor. Prints a table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time

import numpy as np
from numpy.typing import NDArray

from recstage.config import check, model_config_of, with_whole_paths
from recstage.config.schemas import DataConfig
from recstage.data import dataset
from recstage.data.catalogue import Catalogue
from recstage.data.dataset import Dataset
from recstage.data.interactions import IdMap, Interactions, Users
from recstage.errors import RecstageError
from recstage.evaluation import metrics
from recstage.models import build
from recstage.models.base import Recommender

K = 10
HELD_USERS, HELD_ITEMS = 0.2, 0.05


@dataclass(frozen=True)
class Parts:
    """Rows of the stale model (over ids of its own), all rows before the test, and the test."""

    before: Interactions
    after: Interactions
    test: Interactions
    catalogue: Catalogue


def parts_of(data: Dataset, by: str, share: float, seed: int) -> Parts:
    """The rows before the test in two parts."""
    rows = data.split.train_and_validation
    if by == "time":
        earlier = rows.timestamp < np.quantile(rows.timestamp, 1 - share)
    else:
        random = np.random.default_rng(seed)
        users = random.random(rows.n_users) >= HELD_USERS
        items = random.random(rows.n_items) >= HELD_ITEMS
        earlier = users[rows.user_index] & items[rows.item_index]
    return Parts(_compact(rows.select(earlier)), rows, data.split.test, data.catalogue)


def _compact(rows: Interactions) -> Interactions:
    """The rows over the ids that they have."""
    return Interactions.from_frame(rows.to_frame(), ordered=rows.ordered)


def measured(name: str, parts: Parts, seed: int) -> dict[str, tuple[NDArray[np.float64], float]]:
    """NDCG@10 of each test user, and processor seconds of the fit or update, by the way the model came about."""
    frame = parts.catalogue.to_frame()

    def fitted(rows: Interactions) -> tuple[Recommender, float]:
        began = process_time()
        model = build(model_config_of(name)).fit(rows, seed=seed, catalogue=Catalogue.from_frame(frame, rows.items))
        return model, process_time() - began

    stale, first = fitted(parts.before)
    found = {
        "stale": (ndcg(stale, parts, today=False), first),
        "folded in": (ndcg(stale, parts, today=True), 0.0),
    }
    for label, refresh in (("new alone", False), ("updated", True)):
        began = process_time()
        model = stale.updated(parts.after, catalogue=parts.catalogue, seed=seed, refresh=refresh)
        seconds = process_time() - began
        found[label] = (ndcg(model, parts, today=True), seconds)
    whole, seconds = fitted(parts.after)
    return {**found, "retrained": (ndcg(whole, parts, today=True), seconds)}


def ndcg(model: Recommender, parts: Parts, *, today: bool) -> NDArray[np.float64]:
    """NDCG@10 of each test user by their history of `today`, or by that which the model was trained on; test items that
    the model does not know count as missed."""
    test = parts.test.select(parts.test.weight > 0)
    asked, row = np.unique(test.user_index, return_inverse=True)
    ids = test.users.id_of(asked).tolist()
    users = _today(model, parts.after, ids) if today else model.known(ids)
    items = model.items.index_of(test.items.id_of(test.item_index))
    lists = model.rank(users, K).items
    known = items >= 0
    hits = metrics.hits_of(lists, row[known], items[known], model.n_items)
    return metrics.ndcg(hits, np.bincount(row, minlength=len(asked)), K)


def _today(model: Recommender, rows: Interactions, ids: list[str]) -> Users:
    """Users as the service hands them over: with today's history of items that the model knows, as unknown ones where
    it has grown since the training."""
    now = rows.of(rows.users.index_of(ids))
    items = model.items.index_of(rows.items.id_of(now.items))
    known = items >= 0
    lengths = np.bincount(now.rows[known], minlength=len(now))
    trained = model.known(ids)
    same = (trained.lengths == lengths) & (trained.index >= 0)
    able = model.folds_in
    index = np.where(same | ~np.bool_(able), trained.index, -1).astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return Users(index, indptr, items[known], now.weights[known], now.timestamps[known], model.n_items, rows.ordered)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m experiments.loop.update", description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="ml-100k", help="a name of conf/data")
    parser.add_argument("--models", nargs="+", default=["als"], help="names of conf/model")
    parser.add_argument("--by", choices=["time", "users"], default="time")
    parser.add_argument("--share", type=float, default=0.25, help="of the rows before the test, the newest: by time")
    parser.add_argument("--seed", type=int, default=42)
    chosen = parser.parse_args(arguments)
    try:
        config = with_whole_paths(check(DataConfig, dataset.config_of(chosen.data), chosen.data))
        parts = parts_of(dataset.load(config), chosen.by, chosen.share, chosen.seed)
        _say(parts, chosen.models, chosen.seed)
    except RecstageError as error:
        print(f"recstage: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


def _say(parts: Parts, models: Sequence[str], seed: int) -> None:
    new_users, new_items = (_unknown(a, b) for a, b in (
        (parts.before.users, parts.after.users), (parts.before.items, parts.after.items)
    ))  # fmt: skip
    print(f"{len(parts.before)} of {len(parts.after)} rows; {new_users} users, {new_items} items are new")  # noqa: T201
    test = parts.test.users.id_of(np.unique(parts.test.user_index[parts.test.weight > 0]))
    fresh = parts.before.users.index_of(test) < 0
    print(f"| model | way | NDCG@10 ({len(test)} users) | known ({(~fresh).sum()}) | new ({fresh.sum()}) | s |")  # noqa: T201
    print("|---|---|---|---|---|---|")  # noqa: T201
    for name in models:
        for way, (values, seconds) in measured(name, parts, seed).items():
            means = [
                float(some.mean()) if len(some) else float("nan") for some in (values, values[~fresh], values[fresh])
            ]
            print(
                f"| {name} | {way} | " + " | ".join(f"{one:.4f}" for one in means) + f" | {seconds:.2f} |", flush=True
            )  # noqa: T201


def _unknown(before: IdMap, after: IdMap) -> int:
    return int((before.index_of(after.ids) < 0).sum())


if __name__ == "__main__":
    sys.exit(main())
