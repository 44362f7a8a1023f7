"""Promises of a model: tried on models that keep them and on ones that break just one."""

from __future__ import annotations

import numpy as np
import pytest

from recstage.config import GuardrailConfig
from recstage.data.dataset import Dataset
from recstage.models.baselines.popularity import Popularity
from recstage.models.factorization.als import ALS, ALSParams
from recstage.promotion.behaviour import BATCH, HIDDEN, HISTORY, SEEN, behaviours

LIMITS = GuardrailConfig()


@pytest.fixture(scope="module")
def users(small_dataset: Dataset) -> list[str]:
    return [str(user) for user in small_dataset.split.train.users.ids[:40]]


def fitted(kind: type[ALS], data: Dataset) -> ALS:
    return kind(ALSParams(factors=8, iterations=5)).fit(data.split.train, catalogue=data.catalogue)


class ShowsSeen(ALS):
    def rank(self, users, k, **more):
        return super().rank(users, k, **{**more, "exclude_seen": False})


class ShowsHidden(ALS):
    def rank(self, users, k, **more):
        return super().rank(users, k, **{key: value for key, value in more.items() if key != "exclude"})


class DependsOnTheBatch(ALS):
    def score(self, users, items=None):
        return super().score(users, items) * (1 if len(users) == 1 else -1)


class TurnsOver(ALS):
    """The list is another one where the length of the history is another."""

    def score(self, users, items=None):
        scores = super().score(users, items)
        return np.where((users.lengths % 2 == 0)[:, None], scores, -scores)


def outcome(model: ALS, users: list[str]) -> dict[str, bool | None]:
    return {one.name: one.kept for one in behaviours(model, users, LIMITS)}


def test_a_sound_model_keeps_every_promise(small_dataset, users):
    assert outcome(fitted(ALS, small_dataset), users) == {SEEN: True, HIDDEN: True, HISTORY: True, BATCH: True}


@pytest.mark.parametrize(
    ("kind", "broken"), [(ShowsSeen, SEEN), (ShowsHidden, HIDDEN), (DependsOnTheBatch, BATCH), (TurnsOver, HISTORY)]
)
def test_a_model_that_breaks_one_promise_breaks_just_that(small_dataset, users, kind, broken):
    found = outcome(fitted(kind, small_dataset), users)
    assert [name for name, kept in found.items() if kept is False] == [broken]


def test_an_item_that_became_unavailable_counts_as_hidden(small_dataset, users):
    model = fitted(ALS, small_dataset)
    model.catalogue_.available[:] = True
    shown = model.rank(model.known(users), 10)
    model.catalogue_.available[int(shown.items[0, 0])] = False
    try:
        assert outcome(model, users)[HIDDEN] is True  # the model leaves it out
    finally:
        model.catalogue_.available[:] = True


def test_what_cannot_be_tried_is_not_judged(small_dataset):
    model = Popularity().fit(small_dataset.split.train, catalogue=small_dataset.catalogue)
    assert outcome(model, ["never seen"]) == {SEEN: None, HIDDEN: None, HISTORY: None, BATCH: None}
    assert outcome(model, ["u1"])[HISTORY] is None or model.folds_in
