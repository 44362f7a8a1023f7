"""Versions that a fit learns from, and what a model that is a smaller form of another one loses by it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from recstage import bundle, registry, tracking
from recstage.data.dataset import Dataset
from recstage.errors import ConfigError
from recstage.evaluation import latency
from recstage.evaluation.protocol import Evaluation
from recstage.evaluation.significance import Paired, paired_bootstrap
from recstage.models.base import Recommender
from recstage.steps.train_settings import TrainSettings

METRIC = "ndcg_at_10"
TIMED_LISTS, TIMED_ROUNDS = 40, 5


def start_of(settings: TrainSettings, model: Recommender) -> Recommender | None:
    """The model that the fit begins with (`warm_start`). Raises `ConfigError` on what is not NAME/NUMBER,
    `RegistryError` on an unknown version."""
    if not settings.warm_start or not model.warm_starts:
        return None
    return bundle.load(registry.fetch(_version("warm_start", settings.warm_start))).model


def teacher_of(settings: TrainSettings, model: Recommender, data: Dataset) -> Recommender | None:
    """The model whose scores the fit learns from (`distill_from`).

    Raises `ConfigError` on what is not NAME/NUMBER, on a version of another model, and on one that has learned from
    other rows: it could know what is tested. Raises `RegistryError` on an unknown version."""
    given = settings.distill_from
    if not given:
        return None
    if not model.distils:
        raise ConfigError(
            f"distill_from = {given}", rule=f"{model.name} learns from no other model", fix="Distil into ncf"
        )
    version = _version("distill_from", given)
    if version.algorithm != model.name:
        raise ConfigError(
            f"distill_from = {given}",
            rule=f"it is of {version.algorithm}, and {model.name} learns from the scores of {model.name} alone",
            fix=f"Name a version of {model.name}",
        )
    if version.group != tuple(tracking.dataset_tags(data)[key] for key in ("data", "split", "fingerprint")):
        raise ConfigError(
            f"distill_from = {given}",
            rule="it was trained on {}, split {}, fingerprint {}: it may know what is tested here".format(
                *version.group
            ),
            fix="Name a version trained on the same data and split, or train one",
        )
    return bundle.load(registry.fetch(version)).model


def _version(setting: str, given: str) -> registry.Version:
    name, _, number = given.rpartition("/")
    if not name or not number.isdigit():
        raise ConfigError(f"{setting} = {given}", rule="a version is named NAME/NUMBER", fix="Write recommender/7")
    return registry.version_of(name, int(number))


@dataclass(frozen=True)
class Reduction:
    """A smaller model beside the larger one that it stands in for, on the same test users.

    `gain` is NDCG@10 of the smaller minus the larger; sizes are bytes of weights, as a bundle holds them; latencies the
    95th percentile of processor time of one list in milliseconds, timed side by side."""

    larger: float
    smaller: float
    gain: Paired
    bytes: tuple[int, int]
    milliseconds: tuple[float, float]

    @classmethod
    def measured(cls, smaller: Recommender, larger: Recommender, ours: Evaluation, theirs: Evaluation) -> Reduction:
        """Of two models and their evaluations on the same rows."""
        before, after = theirs.per_user[METRIC].to_numpy(), ours.per_user[METRIC].to_numpy()
        timed = latency.side_by_side(
            [larger, smaller], ours.per_user["user_id"], requests=TIMED_LISTS, rounds=TIMED_ROUNDS
        )
        first, second = (one.computing_p95_ms for one in timed)
        sizes = _size(larger), _size(smaller)
        return cls(float(before.mean()), float(after.mean()), paired_bootstrap(after, before), sizes, (first, second))

    def table(self) -> pd.DataFrame:
        """A row a model: NDCG@10, bytes of weights, milliseconds of a list."""
        values = (self.larger, self.smaller), self.bytes, self.milliseconds
        rows = zip(("larger", "smaller"), *values, strict=True)
        return pd.DataFrame(rows, columns=["model", METRIC, "weights_bytes", "list_p95_ms"])

    def __str__(self) -> str:
        (more, less), (slow, fast) = self.bytes, self.milliseconds
        return (
            f"NDCG@10 {self.smaller:.4f} where the larger model has {self.larger:.4f} ({self.gain.difference:+.4f}, "
            f"95 % interval {self.gain.low:+.4f} to {self.gain.high:+.4f}), with {less / 1e6:.2f} MB of weights "
            f"instead of {more / 1e6:.2f} and {fast:.2f} ms for a list instead of {slow:.2f}"
        )


def _size(model: Recommender) -> int:
    return sum(values.nbytes for values in model.state().values())
