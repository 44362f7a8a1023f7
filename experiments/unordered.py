"""Measure models on data without order whose test rows are given: train.csv, test.csv and items.csv of one folder.

python experiments/unordered.py FOLDER '{"ease": {"side_weight": 5}}'          on validation rows
python experiments/unordered.py FOLDER '{"ease": {"side_weight": 5}}' --test   on the test rows, once

Validation is a fifth of each user's training rows, drawn with a seed; with `--test` the model is fitted on all of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pandas as pd

from recstage.cli import main
from recstage.config import EvaluationConfig, model_config_of
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions
from recstage.errors import DataError
from recstage.evaluation.protocol import evaluate
from recstage.models import build

CONFIG = EvaluationConfig(cutoffs=(10, 20), latency_requests=50)


def read(folder: Path) -> tuple[Interactions, Interactions, Catalogue]:
    """Training rows, test rows, and what the tags say of the items."""
    train, test = (_table(folder, name, ("user_id", "item_id")) for name in ("train", "test"))
    described = _table(folder, "items", ("item_id", "tags"))
    users = IdMap(np.sort(pd.concat([train.user_id, test.user_id]).unique().astype(object)))
    items = IdMap(np.sort(pd.concat([train.item_id, test.item_id, described.item_id]).unique().astype(object)))
    text = described.assign(text=described.tags.fillna("").str.replace("|", " "))
    catalogue = Catalogue.from_frame(text[["item_id", "text"]], items)
    trained, tested = (Interactions.from_frame(rows, users=users, items=items) for rows in (train, test))
    return trained, tested, catalogue


def _table(folder: Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    found = sorted(folder.glob(f"{name}.csv*"))
    if not found:
        raise DataError(str(folder), rule=f"holds no {name}.csv", fix="Name a folder that has it, packed or not")
    table = pd.read_csv(found[0], dtype=str)
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(str(found[0]), rule=f"has no column {', '.join(missing)}", fix=f"Give {', '.join(columns)}")
    return table


def cut(rows: Interactions, share: float = 0.2, seed: int = 1) -> tuple[Interactions, Interactions]:
    """A share of each user's rows drawn away, of those who have five at least."""
    order = np.lexsort((np.random.default_rng(seed).random(len(rows)), rows.user_index))
    place = np.arange(len(rows)) - rows.indptr[rows.user_index]
    drawn = place < np.where(rows.lengths >= 5, np.rint(rows.lengths * share), 0)[rows.user_index]
    held = np.zeros(len(rows), bool)
    held[order[drawn]] = True
    return rows.select(~held), rows.select(held)


def run(arguments: Sequence[str]) -> dict[str, dict[str, float]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", type=json.loads, help="params by the name of a model, as JSON")
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    train, test, catalogue = read(given.folder)
    if not given.test:
        train, test = cut(train)
    found = {}
    for name, params in given.models.items():
        began, used = perf_counter(), process_time()
        model = build(model_config_of(name), **params).fit(train, seed=given.seed, catalogue=catalogue)
        seconds = {"fit_seconds": perf_counter() - began, "fit_cpu_seconds": process_time() - used}
        metrics = evaluate(model, test, config=CONFIG, progress=False).metrics
        kept = ("recall_at_20", "ndcg_at_20", "coverage_at_20", "latency_p50_ms")
        found[name] = {key: round(metrics[key], 4) for key in kept if key in metrics} | seconds
        print(name, json.dumps(params), json.dumps(found[name]), file=sys.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main(run))
