"""Time NeuMF epochs of RecBole, in RecBole's own environment.

    python recbole_neumf.py FOLDER FACTORS BATCH NEGATIVES EPOCHS

FOLDER holds train.csv with columns user, item. Prints one JSON line: seconds of each epoch, as it ships
(`epoch_seconds`) and without its dropout (`without_dropout`).
"""

import csv
import json
import logging
import sys
import tempfile
from functools import partial
from pathlib import Path

from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed
from timing import timed


def main(given: str, factors: int, batch: int, negatives: int, epochs: int) -> None:
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "bench"
        place.mkdir()
        with (Path(given) / "train.csv").open(newline="") as source, (place / "bench.inter").open("w") as target:
            target.write("user_id:token\titem_id:token\n")
            for row in csv.DictReader(source):
                target.write(f"{row['user']}\t{row['item']}\n")
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
        found = {}
        for name, changed in (("epoch_seconds", {}), ("without_dropout", {"dropout_prob": 0.0})):
            found[name] = _epochs({**common, **changed}, epochs)
    print(json.dumps(found))


def _epochs(settings: dict, epochs: int) -> list[float]:
    config = Config(model="NeuMF", dataset="bench", config_dict=settings)
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    model = get_model(config["model"])(config, train.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    return [timed(partial(trainer._train_epoch, train, epoch, show_progress=False))[0] for epoch in range(epochs)]


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
