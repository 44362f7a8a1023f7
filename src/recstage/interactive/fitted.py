"""A fitted model that is asked with ids and answers with titles."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np
import pandas as pd

from recstage import rerank
from recstage.config import EvaluationConfig
from recstage.data.interactions import Interactions
from recstage.data.split import Split
from recstage.errors import DataError
from recstage.evaluation import example_lists
from recstage.evaluation.protocol import evaluate
from recstage.interactive.lists import Lists
from recstage.models.base import Recommender

Ids = str | int | Iterable[str | int]


class FittedModel:
    """A recommender that was fitted or loaded.

    `recommend`, `similar`, `explain` and `evaluate` return DataFrames; `model` is the recommender itself, `source` says
    where it is from. Ids may be given as text or as numbers.
    """

    def __init__(
        self, model: Recommender, source: str, split: Split | None = None, evaluation: EvaluationConfig | None = None
    ) -> None:
        self.model, self.source, self._split = model, source, split
        self._evaluation = evaluation or EvaluationConfig()

    @property
    def users(self) -> list[str]:
        """Ids of the users that it was trained on."""
        return self.model.train_.users.ids.tolist()

    @property
    def items(self) -> pd.DataFrame:
        """The catalogue: item_id, title, categories, and how many users chose each."""
        known = self.model.catalogue_
        return pd.DataFrame(
            {
                "item_id": known.items.ids,
                "title": known.titles,
                "categories": [", ".join(names) for names in known.categories],
                "users": self.model.train_.item_counts,
            }
        )

    @property
    def params(self) -> dict[str, object]:
        """The hyperparameters it was fitted with."""
        return dict(self.model.params.model_dump())

    def recommend(
        self, users: Ids | None = None, k: int = 10, *, reasons: bool = True, exclude_seen: bool = True
    ) -> Lists:
        """The k best items of each user: user_id, rank, item_id, title, categories, score, method, reason.

        `users`: an id, or several; none: the first three that it was trained on. A user it does not know gets the most
        popular items, and `method` says so. `reasons=False` is faster for many users.
        """
        asked = self.users[:3] if users is None else _ids(users)
        found = example_lists.described(self.model, asked, k, reasons=reasons, exclude_seen=exclude_seen)
        return Lists(found)

    def similar(self, items: Ids, k: int = 10) -> Lists:
        """The k items most similar to each of `items`: to_item, rank, item_id, title, categories, score (cosine).

        Raises `DataError` on an item that it was not trained on.
        """
        known = self.model.catalogue_
        vectors = rerank.vectors_of(self.model, known).vectors
        rows = []
        for item in _ids(items):
            at = self._item(item)
            scores = vectors @ vectors[at]
            scores[at] = -np.inf
            scores[~known.available] = -np.inf
            order = np.argsort(-scores, kind="stable")[:k]
            for rank, other in enumerate(order[np.isfinite(scores[order])], 1):
                other_id = str(known.items.ids[other])
                rows.append((item, rank, other_id, *example_lists.about(known, other_id), float(scores[other])))
        return Lists(pd.DataFrame(rows, columns=["to_item", "rank", "item_id", "title", "categories", "score"]))

    def explain(self, user: str | int, item: str | int) -> pd.DataFrame:
        """Why the user should be shown the item: kind, id, title and value of each contribution to its score, the
        largest first. The sentence for the user is `frame.attrs["text"]`.

        Raises `DataError` on an item that it was not trained on.
        """
        found = self.model.why(str(user), str(item))
        rows = [
            (one.kind, one.name, self._title(one.name) if one.kind == "item" else "", one.value)
            for one in found.contributions
        ]
        frame = pd.DataFrame(rows, columns=["kind", "name", "title", "value"])
        frame.attrs = {"text": found.text, "method": found.method, "score": found.score}
        return frame

    def history(self, user: str | int) -> pd.DataFrame:
        """What the user chose in training, the latest first: item_id, title, categories."""
        known = self.model.catalogue_
        rows = [(item, *example_lists.about(known, item)) for item in example_lists.history(self.model, str(user))]
        return pd.DataFrame(rows, columns=["item_id", "title", "categories"])

    def evaluate(self, frame: pd.DataFrame | None = None, *, seed: int = 0) -> pd.DataFrame:
        """Metrics on rows that it was not trained on: metric, users (all, cold, warm, hot), value, low, high.

        `frame` has the columns user_id and item_id (and weight, timestamp); none: the rows that `fit` held out. Raises
        `DataError` where there is neither, `TooLittleData` where no row is positive.
        """
        from recstage.tracking import metrics_table

        if frame is None and self._split is None:
            raise DataError("evaluate()", rule=f"{self.source} brings no test rows", fix="Give a frame of them")
        negatives = None
        if frame is None:
            assert self._split is not None
            split = self._split.transposed() if self.model.reverse else self._split
            test, negatives = split.test, split.negatives
        else:
            rows = frame.assign(user_id=frame["user_id"].astype(str), item_id=frame["item_id"].astype(str))
            test = Interactions.from_frame(rows if "timestamp" in rows else rows.assign(timestamp=range(len(rows))))
        result = evaluate(self.model, test, config=self._evaluation, negatives=negatives, seed=seed, progress=False)
        return metrics_table(result)

    def __repr__(self) -> str:
        train = self.model.train_
        return (
            f"<{self.model.name} from {self.source}: {train.n_users:,} users, {train.n_items:,} items, "
            f"{len(train):,} rows. recommend, similar, explain, history, evaluate>"
        )

    def _repr_html_(self) -> str:
        settings = ", ".join(f"{name} {value}" for name, value in self.params.items())
        return f"<b>{escape(self.model.name)}</b> {escape(repr(self)[1:-1])}<br><small>{escape(settings)}</small>"

    def _item(self, item: str) -> int:
        at = int(self.model.items.index_of([item])[0])
        if at < 0:
            raise DataError(f"item {item}", rule="it was not among the items of the training", fix="See model.items")
        return at

    def _title(self, item: str) -> str:
        return example_lists.about(self.model.catalogue_, item)[0]


def _ids(given: Ids) -> list[str]:
    return [str(given)] if isinstance(given, str | int) else [str(one) for one in given]
