"""ALS by RecTools, and the time of its metrics, in RecTools' own environment.

    echo '{"factors": 128, "regularization": 40, "alpha": 4, "iterations": 15, "k": 10}' | python rectools_als.py FOLDER

FOLDER holds train.csv and test.csv with columns user, item, weight. Prints one JSON line: seconds of the fit, of the
best K for all users of the test and of all metrics on them, and those lists.
"""

import json
import sys
import warnings
from pathlib import Path

import pandas as pd
from implicit.als import AlternatingLeastSquares
from rectools import Columns
from rectools.dataset import Dataset
from rectools.metrics import (
    MAP,
    MRR,
    NDCG,
    HitRate,
    MeanInvUserFreq,
    Precision,
    Recall,
    calc_metrics,
)
from rectools.models import ImplicitALSWrapperModel
from threadpoolctl import threadpool_limits
from timing import timed


def main(folder: str, *, factors: int, regularization: float, alpha: float, iterations: int, k: int) -> None:
    warnings.filterwarnings("ignore")
    train, test = (read(Path(folder) / f"{name}.csv") for name in ("train", "test"))
    dataset = Dataset.construct(train)
    als = AlternatingLeastSquares(
        factors=factors, regularization=regularization, alpha=alpha, iterations=iterations, random_state=42
    )
    model = ImplicitALSWrapperModel(als)
    with threadpool_limits(1, "blas"):
        fit, _ = timed(lambda: model.fit(dataset))
        users = test.loc[test[Columns.User].isin(train[Columns.User]), Columns.User].unique()
        recommend, lists = timed(lambda: model.recommend(users, dataset, k=k, filter_viewed=True))
    metrics = {}
    for cutoff in (3, 5, 10):
        for metric in (NDCG, HitRate, Recall, Precision, MRR, MAP, MeanInvUserFreq):
            metrics[f"{metric.__name__}@{cutoff}"] = metric(k=cutoff)
    measure, _ = timed(lambda: calc_metrics(metrics, lists, test, prev_interactions=train))
    shown = lists.groupby(Columns.User, sort=False)[Columns.Item].agg(list)
    print(
        json.dumps(
            {
                "fit": fit,
                "recommend": recommend,
                "metrics": measure,
                "users": shown.index.tolist(),
                "lists": shown.tolist(),
            }
        )
    )


def read(path: Path) -> pd.DataFrame:
    rows = pd.read_csv(path)
    rows.columns = [Columns.User, Columns.Item, Columns.Weight]
    return rows.assign(**{Columns.Datetime: pd.Timestamp("2000-01-01")})


if __name__ == "__main__":
    main(sys.argv[1], **json.load(sys.stdin))
