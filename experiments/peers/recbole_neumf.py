"""Time NeuMF epochs of RecBole, in RecBole's own environment.

    python recbole_neumf.py FOLDER FACTORS BATCH NEGATIVES EPOCHS

FOLDER holds train.csv with columns user, item. Prints one JSON line: seconds of each epoch.
"""

import csv
import json
import logging
import sys
import tempfile
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
        settings = {
            "data_path": folder,
            "checkpoint_dir": folder,
            "load_col": {"inter": ["user_id", "item_id"]},
            "mf_embedding_size": factors,
            "mlp_embedding_size": factors,
            "dropout_prob": 0.0,
            "mlp_hidden_size": [2 * factors, factors, factors // 2],
            "train_batch_size": batch,
            "train_neg_sample_args": {"distribution": "uniform", "sample_num": negatives},
            "eval_args": {"split": {"RS": [1, 0, 0]}, "order": "RO", "group_by": "user", "mode": "full"},
            "show_progress": False,
            "use_gpu": False,
            "state": "CRITICAL",
            "seed": 42,
        }
        config = Config(model="NeuMF", dataset="bench", config_dict=settings)
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
        train, _, _ = data_preparation(config, dataset)
        model = get_model(config["model"])(config, train.dataset)
        trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
        seconds = []
        for epoch in range(epochs):
            took, _ = timed(lambda epoch=epoch: trainer._train_epoch(train, epoch, show_progress=False))
            seconds.append(took)
    print(json.dumps({"epoch_seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
