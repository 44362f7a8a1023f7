"""Values that models and their callers exchange: hyperparameters, what a fit may use, rankings and lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from recstage.config import Schema
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions

POPULARITY = "popularity"
"""The method of users whom the model cannot score."""


class ModelParams(Schema):
    """Base of every model's hyperparameters: the one place of their defaults."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """Names of version 0.1 and those of today: bundles and commands of that version keep working."""

    @model_validator(mode="before")
    @classmethod
    def _take_old_names(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {cls.renamed.get(name, name): value for name, value in values.items()}  # of both names the later wins

    def without_order(self) -> Self:
        """The parameters for rows that say nothing of what came first; raises `NoOrder` where none are left.

        By default every `recency_decay` is 0, since the last of a history would be chosen by chance.
        """
        decays = [name for name in type(self).model_fields if name.endswith("recency_decay") and getattr(self, name)]
        return self.model_copy(update=dict.fromkeys(decays, 0.0)) if decays else self


Report = Callable[[int, Mapping[str, float]], None]
"""Called after each epoch or iteration with its number (from 1) and its metrics; raising in it ends the fit."""


def silent(step: int, metrics: Mapping[str, float]) -> None:
    """A `Report` that ignores everything."""


@dataclass(frozen=True)
class Fitting:
    """What a fit may use besides the training rows.

    `checkpoint` is a folder for the fit's progress, to resume from; None: no checkpoints. `validation` is for early
    stopping; None when the final model is refitted. `start` is a fitted model of the same class, whose values a model
    that `warm_starts` begins with; `teacher` one whose scores a model that `distils` learns from. `backend` is `spark`
    where a model that can is fitted by Spark, `ray` where one that can uses the nodes of a cluster; `team` is set in a
    fit that is one process of several (`models.neural.team.Team`). `refresh` is for updates: whether what changed is
    learnt anew, too.
    `shared` (`models.composition.SharedFits`) keeps components for the other fits of one search, all with one seed and
    catalogue; None: each fit has its own.
    `seconds`: a model that is trained in epochs ends with the last one that ends in that time; 0: with the last of all.
    """

    seed: int
    validation: Interactions | None
    catalogue: Catalogue
    report: Report
    checkpoint: Path | None
    start: Any = None
    teacher: Any = None
    backend: str = "local"
    refresh: bool = True
    seconds: float = 0.0
    team: Any = None
    shared: Any = None


@dataclass(frozen=True)
class Ranking:
    """Ranked items of n users.

    `items` int32[n, k] (-1: no more), `scores` float32[n, k] (-inf: no more), `methods` object[n]: the model used for
    each user ("NAME", of a composite "NAME:PARTS"), or 'popularity' for users whom the model cannot score.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    methods: NDArray[np.object_]

    @classmethod
    def empty(cls, n: int, k: int) -> Self:
        """Lists without items, to be filled by `put`."""
        items, scores = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
        return cls(items, scores, np.full(n, "", dtype=object))

    def put(self, rows: NDArray[np.int64] | slice, part: Ranking) -> None:
        """Write the lists of `part` into `rows`."""
        self.items[rows], self.scores[rows], self.methods[rows] = part.items, part.scores, part.methods


@dataclass(frozen=True)
class Recommendations:
    """One user's list in external ids, best first."""

    user_id: str
    item_ids: list[str]
    scores: list[float]
    method: str
