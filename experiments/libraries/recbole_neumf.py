"""NeuMF by RecBole, in RecBole's own environment: how long an epoch takes, or how good its lists are.

    echo '{"factors": 32, "batch": 4096, "negatives": 4, "epochs": 3}' | python recbole_neumf.py FOLDER
    echo '{"factors": 32, "batch": 4096, "negatives": 4, "epochs": 20, "k": 10}' | python recbole_neumf.py FOLDER

FOLDER holds train.csv with columns user, item, and for lists test.csv too. Prints one JSON line: seconds of each epoch,
as it ships (`epoch_seconds`) and without its dropout (`without_dropout`); or, given k, seconds of the fit, and the best
k items of each user of the test.
"""

import csv
import json
import logging
import sys
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.utils import get_model, get_trainer, init_seed
from timing import timed

USERS_AT_ONCE = 32


def main(given: str, *, factors: int, batch: int, negatives: int, epochs: int, k: int = 0) -> None:
    logging.disable(logging.CRITICAL)
    train = rows_of(given, "train")
    with tempfile.TemporaryDirectory() as folder:
        bench = Path(folder) / "bench"
        bench.mkdir()
        lines = ["user_id:token\titem_id:token", *(f"{user}\t{item}" for user, item in train)]
        (bench / "bench.inter").write_text("\n".join(lines) + "\n")
        common = {
            "data_path": folder,
            "checkpoint_dir": folder,
            "load_col": {"inter": ["user_id", "item_id"]},
            "mf_embedding_size": factors,
            "mlp_embedding_size": factors,
            "mlp_hidden_size": [2 * factors, factors, factors // 2],
            "train_batch_size": batch,
            "train_neg_sample_args": {"distribution": "uniform", "sample_num": negatives},
            "eval_args": {"split": {"RS": [1, 0, 0]}, "order": "RO", "group_by": "user", "mode": "full"},
            "show_progress": False,
            "use_gpu": False,
            "state": "CRITICAL",
            "seed": 42,
        }
        if k:
            seconds, model, dataset = trained(common, epochs)
            users = sorted({user for user, _ in rows_of(given, "test")} & {user for user, _ in train})
            lists = best(model, dataset, train, users, k)
            found: dict = {"fit": sum(seconds), "users": users, "lists": lists}
        else:
            ways: tuple[tuple[str, dict], ...] = (("epoch_seconds", {}), ("without_dropout", {"dropout_prob": 0.0}))
            found = {name: trained({**common, **changed}, epochs)[0] for name, changed in ways}
    print(json.dumps(found))


def rows_of(folder: str, name: str) -> list[tuple[int, int]]:
    with (Path(folder) / f"{name}.csv").open(newline="") as source:
        return [(int(row["user"]), int(row["item"])) for row in csv.DictReader(source)]


def trained(settings: dict, epochs: int) -> tuple[list[float], torch.nn.Module, object]:
    """Seconds of each epoch, the model and RecBole's data set."""
    config = Config(model="NeuMF", dataset="bench", config_dict=settings)
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    model = get_model(config["model"])(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    seconds = [timed(partial(trainer._train_epoch, train, epoch, show_progress=False))[0] for epoch in range(epochs)]
    return seconds, model, dataset


def best(model: Any, dataset: Any, train: list[tuple[int, int]], users: list[int], k: int) -> list[list[int]]:
    """The best k items of each user among those not in their training rows."""
    items = sorted({item for _, item in train})
    column = {item: index for index, item in enumerate(items)}
    known = defaultdict(list)
    for user, item in train:
        known[user].append(column[item])
    item_ids = torch.as_tensor(dataset.token2id("item_id", [str(item) for item in items]))
    user_ids = torch.as_tensor(dataset.token2id("user_id", [str(user) for user in users]))
    model.eval()
    lists = []
    for start in range(0, len(users), USERS_AT_ONCE):
        some = user_ids[start : start + USERS_AT_ONCE]
        pairs = {"user_id": some.repeat_interleave(len(items)), "item_id": item_ids.repeat(len(some))}
        with torch.no_grad():
            scores = model.predict(Interaction(pairs)).view(len(some), -1)
        for row, user in enumerate(users[start : start + USERS_AT_ONCE]):
            scores[row, known[user]] = -torch.inf
        lists += [[items[index] for index in row] for row in scores.topk(k).indices.tolist()]
    return lists


if __name__ == "__main__":
    main(sys.argv[1], **json.load(sys.stdin))
