"""Implicit ALS and item-KNN by LensKit, in LensKit's own environment.

    echo '{"factors": 128, "regularization": 40, "alpha": 4, "iterations": 15, "k": 10}' | python lenskit_als.py FOLDER

FOLDER holds train.csv and test.csv with columns user, item, weight. Prints one JSON line: for each model the seconds of
the fit and of the best K for all users of the test, and those lists.
"""

import json
import logging
import sys
import warnings
from pathlib import Path

import pandas as pd
from lenskit.als import ImplicitMFScorer
from lenskit.batch import recommend
from lenskit.data import from_interactions_df
from lenskit.knn import ItemKNNScorer
from lenskit.pipeline import topn_pipeline
from timing import timed


def main(folder: str, *, factors: int, regularization: float, alpha: float, iterations: int, k: int) -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    train, test = (pd.read_csv(Path(folder) / f"{name}.csv") for name in ("train", "test"))
    data = from_interactions_df(train[["user", "item"]], user_col="user", item_col="item")
    users = test["user"].unique().tolist()
    scorers = {
        "als": ImplicitMFScorer(embedding_size=factors, epochs=iterations, regularization=regularization, weight=alpha),
        "item-knn": ItemKNNScorer(max_nbrs=50, feedback="implicit"),
    }
    found = {}
    for name, scorer in scorers.items():
        pipeline = topn_pipeline(scorer, n=k)
        fit, _ = timed(lambda pipeline=pipeline: pipeline.train(data))
        seconds, lists = timed(lambda pipeline=pipeline: recommend(pipeline, users, k, n_jobs=1))
        shown = {key.user_id: [int(item) for item in items.ids()] for key, items in lists}
        found[name] = {
            "fit": fit,
            "recommend": seconds,
            "users": [int(user) for user in shown],
            "lists": list(shown.values()),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], **json.load(sys.stdin))
