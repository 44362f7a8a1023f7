"""Few labels: boosters of the folds of the users are one, and earlier periods give labels as well."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from recstage import bundle
from recstage.models import base
from recstage.models.lambdarank.examples import UNTOUCHED, Examples
from recstage.models.lambdarank.folds import added, by_fold
from recstage.models.lambdarank.labels import earlier, hold_out
from recstage.models.lambdarank.model import LambdaRank
from recstage.models.lambdarank.params import LambdaRankParams
from tests.synthetic_data import chains, interactions, without_last

SMALL = {"retrievers": ["transitions"], "candidates": 25, "num_boost_round": 8, "min_data_in_leaf": 5, "num_leaves": 7}


def params(**changes) -> LambdaRankParams:
    return LambdaRankParams(**{**SMALL, **changes})


def some_examples(n_groups: int = 40, size: int = 6) -> Examples:
    """Each group is of another user and has one positive."""
    random = np.random.default_rng(0)
    labels = np.full((n_groups, size), UNTOUCHED, np.int32)
    labels[:, 0] = UNTOUCHED + 1
    features = random.random((n_groups * size, 3)).astype(np.float32)
    sizes = np.full(n_groups, size)
    return Examples(features, labels.ravel(), sizes, np.arange(n_groups) + 100, n_groups)


def booster(seed: int, features: np.ndarray) -> str:
    random = np.random.default_rng(seed)
    settings = {"objective": "regression", "verbosity": -1, "min_data_in_leaf": 5, "num_leaves": 5}
    data = lightgbm.Dataset(features, random.random(len(features)), feature_name=["a", "b", "c"])
    return lightgbm.train(settings, data, num_boost_round=3 + seed).model_to_string()


def test_added_boosters_score_as_their_sum_and_explain_it() -> None:
    features = np.random.default_rng(9).random((200, 3))
    texts = [booster(seed, features) for seed in range(3)]
    each = [lightgbm.Booster(model_str=text) for text in texts]
    whole = lightgbm.Booster(model_str=added(texts))
    assert whole.num_trees() == 3 + 4 + 5
    assert whole.predict(features) == pytest.approx(sum(one.predict(features) for one in each))
    assert whole.predict(features, pred_contrib=True).sum(axis=1) == pytest.approx(whole.predict(features))
    assert whole.feature_importance("gain") == pytest.approx(sum(one.feature_importance("gain") for one in each))
    assert added(texts[:1]) == texts[0]


def test_every_group_stops_one_booster_and_the_others_learn_from_it() -> None:
    examples = some_examples()
    parts = by_fold(examples, params(folds=4, negatives=2), 200, seed=1)
    watched = [set(part.user) for _, part in parts]
    assert len(parts) == 4
    assert set.union(*watched) == set(examples.user)
    assert sum(map(len, watched)) == 40
    for (learning, own), users in zip(parts, watched, strict=True):
        assert not users & set(learning.user)
        assert set(learning.sizes) == {3}  # the positive and two of the others
        assert set(own.sizes) == {6}


@pytest.mark.slow
def test_few_labels_train_several_boosters_and_a_bundle_keeps_them(tmp_path) -> None:
    train, _ = without_last(chains())
    steps: list[int] = []
    model = LambdaRank(params(folds=3)).fit(train, seed=1, report=lambda step, _: steps.append(step))
    one = LambdaRank(params(folds=1)).fit(train, seed=1)
    assert len(model.trees_) > len(one.trees_)
    assert steps == [5, 8]  # the curve of the first
    assert LambdaRank(params(folds=3)).fit(train, seed=1).trees_.text == model.trees_.text
    bundle.save(model, tmp_path / "bundle")
    loaded = bundle.load(tmp_path / "bundle")
    assert np.array_equal(loaded.model.score(train.of([0, 5])), model.score(train.of([0, 5])))


def test_earlier_periods_have_labels_while_there_are_few() -> None:
    rows = chains(clock=True)
    asked = params(holdout="time", holdout_share=0.2, windows=3)
    last = hold_out(rows, asked, is_clock=True)
    before = list(earlier(last, asked, enough=10**6))
    assert len(before) == 2
    for later, one in zip([last, *before], before, strict=False):
        (step,) = one.steps
        assert len(one.past) + len(step.item) <= len(later.past)
        assert one.past.timestamp.max() < later.past.timestamp.max()
    assert list(earlier(last, asked, enough=last.groups)) == []
    assert list(earlier(last, params(windows=1), enough=10**6)) == []
    assert list(earlier(hold_out(rows, params(holdout="last"), is_clock=True), asked, enough=10**6)) == []


@pytest.mark.slow
def test_each_period_has_retrievers_of_its_own() -> None:
    rows = chains(clock=True)
    model = LambdaRank(params(holdout="time", holdout_share=0.2, windows=3, num_boost_round=3))
    model.fit(rows, seed=1)
    pasts = model.training(rows, base.Fitting(1, None, model.catalogue_, base.silent, None)).pasts()
    rows_of = [len(stage.retrievers["transitions"].train_) for _, stage in pasts]
    assert rows_of == sorted(rows_of, reverse=True)
    assert len(set(rows_of)) == len(pasts) == 3


def test_short_histories_give_fewer_labels_and_keep_what_is_before_them() -> None:
    lengths = [3, 4, 5, 6, 12]
    users = np.repeat(np.arange(len(lengths)), lengths)
    items = np.concatenate([np.arange(length) for length in lengths])
    found = hold_out(interactions(users, items, 12), params(labels_per_user=3, page=2), is_clock=False, seed=1)
    labels = np.zeros(len(lengths), int)
    for step in found.steps:
        np.add.at(labels, step.users.index[step.row], 1)
    assert labels.tolist() == [0, 0, 1, 2, 3]
    assert found.past.lengths.tolist() == [3, 4, 3, 3, 8]
