"""The hybrid: routing by segment, fused scores, and lists whatever component fails."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recstage import bundle
from recstage.config import check
from recstage.data.interactions import Interactions, Users
from recstage.errors import ConfigError, TooLittleData
from recstage.models import base, rank_fusion
from recstage.models.composition import Component
from recstage.models.composition.selection import HeldOutUsers
from recstage.models.factorization.als import ALS
from recstage.models.hybrid import Hybrid, HybridParams
from recstage.models.ncf import Ncf
from recstage.models.neighborhood.transitions import Transitions
from recstage.models.neural import training
from tests.models.synthetic_blocks import blocks, catalogue
from tests.synthetic_data import chains, interactions, without_last

PARTS = ["popularity", "als", "transitions"]
ROUTES = {"cold": ["popularity"], "warm": ["als"], "hot": ["transitions", "als"]}


def params(**changes) -> HybridParams:
    return check(HybridParams, {"components": PARTS, **ROUTES, **changes}, "params")


def fan(lengths: list[int], n_items: int = 40, seed: int = 0) -> Interactions:
    """Users with histories of the given lengths."""
    random = np.random.default_rng(seed)
    item = np.concatenate([random.choice(n_items, length, replace=False) for length in lengths])
    time = np.concatenate([np.arange(length) for length in lengths])
    return interactions(np.repeat(np.arange(len(lengths)), lengths), item, n_items, time=time)


@pytest.fixture(scope="module")
def train() -> Interactions:
    return fan([2, 4, 5, 19, 20, 30] * 5)


@pytest.fixture(scope="module")
def fitted(train) -> Hybrid:
    return Hybrid(params()).fit(train, seed=1)


class Broken(base.Recommender):
    """Raises, or returns one score for all items."""

    name = "broken"
    Params = base.ModelParams
    folds_in = True

    def __init__(self, answer: float | None = None) -> None:
        super().__init__()
        self.answer = answer

    def _fit(self, train, fitting):
        raise NotImplementedError

    def score(self, users, items=None):
        if self.answer is None:
            raise RuntimeError("out of order")
        return np.full((len(users), users.n_items), self.answer, np.float32)

    def state(self):
        return {}

    def _load_state(self, state):
        pass


def with_parts(fitted: Hybrid, train: Interactions, **parts: base.Recommender | None) -> Hybrid:
    """The hybrid with some of its parts replaced, or missing where None."""
    kept = {name: part for name, part in {**fitted.parts(), **parts}.items() if part is not None}
    return Hybrid.restore(fitted.params, {}, train, fitted.catalogue_, kept)


def parts_used(model: Hybrid, users: Users) -> list[str]:
    """The parts used for each user."""
    methods = model.rank(users, 2).methods.tolist()
    assert [model.rank(users.take([i]), 2).methods[0] for i in range(len(users))] == methods
    return [method.removeprefix("hybrid:") for method in methods]


# -- routing ----------------------------------------------------------------------------------------------


def test_each_segment_has_its_own_models(train, fitted):
    assert parts_used(fitted, train.all_users)[:6] == [
        "popularity",
        "popularity",
        "als",
        "als",
        "transitions+als",
        "transitions+als",
    ]


def test_a_segment_with_one_model_ranks_as_that_model(train, fitted):
    warm = train.of([2, 3])
    assert np.array_equal(fitted.rank(warm, 10).items, fitted.parts()["als"].rank(warm, 10).items)


def test_thresholds_move_users(train):
    model = Hybrid(params(cold_below=3, hot_from=5)).fit(train, seed=1)
    assert parts_used(model, train.all_users)[:3] == ["popularity", "als", "transitions+als"]


def test_an_unknown_user_is_routed_by_the_live_history(fitted):
    for length, parts in ((4, "popularity"), (6, "als"), (25, "transitions+als")):
        assert parts_used(fitted, Users.unknown(40, items=np.arange(length))) == [parts]


def test_a_user_without_a_history_gets_popularity(train, fitted):
    ranking = fitted.rank(Users.unknown(40), 3)
    assert ranking.methods.tolist() == ["popularity"]
    assert np.array_equal(ranking.scores[0], np.sort(fitted.popularity_)[::-1][:3])


def test_two_models_together_beat_each_alone_where_each_knows_something():
    train, test = without_last(chains(150, 40, 25))
    together, *alone = (
        Hybrid(params(hot=hot, hot_share=0.8)).fit(train, seed=1).rank(train.of(test.user_index), 40).items
        for hot in (["transitions", "popularity"], ["popularity"])
    )
    place = [(lists == test.item_index[:, None]).argmax(axis=1).mean() for lists in (together, *alone)]
    assert place[0] < place[1]


# -- chosen on validation rows ----------------------------------------------------------------------------


def mixed(**changes) -> HybridParams:
    """Popularity first, which knows nothing of `chains`, where every item is as popular as another."""
    asked = ("popularity", "transitions")
    return params(components=["popularity", "als", "transitions"], cold=asked, warm=asked, hot=asked, **changes)


def test_an_ensemble_that_loses_to_its_best_member_is_left_for_that_member():
    """Planted: on a ring of items only the last step says what comes next."""
    before, test = without_last(chains())
    train, validation = without_last(before)
    named, chosen = (Hybrid(mixed(select=select)).fit(train, seed=1, validation=validation) for select in (False, True))
    assert (chosen.params.warm, chosen.params.warm_share) == (("transitions",), 1.0)
    assert set(chosen.parts()) == {"transitions", "popularity"}
    refitted = Hybrid(check(HybridParams, {**mixed().model_dump(), **chosen.fitted_params_}, "params")).fit(
        before, seed=1
    )
    assert not refitted.watches_validation
    alone = refitted.parts()["transitions"]
    users = before.of(test.user_index)
    assert np.array_equal(refitted.rank(users, 10).items, alone.rank(users, 10).items)
    hits = [(model.rank(users, 3).items == test.item_index[:, None]).any(axis=1).mean() for model in (named, refitted)]
    assert hits[1] > 2 * hits[0]


class Planted(Broken):
    """Scores of known users, float32[n_users, n_items]."""

    def score(self, users, items=None):
        return base.gather(self.answer[users.index], items)


def test_two_models_that_are_better_together_stay_together(train):
    """Planted: one ranks each user's first held-out item highest, the other the second, and each the other some
    places below; all else is noise."""
    random = np.random.default_rng(0)
    later = np.array([random.choice(np.flatnonzero(~train.of([u]).seen.toarray()[0]), 2) for u in range(30)])
    found = interactions(np.repeat(np.arange(30), 2), later.ravel(), 40)
    validation = Interactions.from_arrays(train.users, train.items, found.user_index, found.item_index)
    model = Hybrid(params(cold_below=1, hot_from=2, hot=["als"])).attach(train)
    model.parts_ = {}
    for name, column in (("als", 0), ("transitions", 1)):
        scores = random.random((30, 40)).astype(np.float32)
        scores[np.arange(30), later[:, column]], scores[np.arange(30), later[:, 1 - column]] = 1, 0.8
        model.parts_[name] = Planted(scores).attach(train)
    model._select(HeldOutUsers.of(train, validation, cold_below=1, hot_from=2, seed=0))
    assert set(model.params.hot) == {"transitions", "als"}
    assert [one.name for one in model.params.components] == ["als", "transitions"]


@pytest.mark.parametrize("better", ["rank", "minmax"])
def test_scores_are_fused_in_the_way_that_ranks_best(better, train):
    """Planted: one item is second and first of the two models, the other first and fifth, but nearly as high as the
    first: ranks put the one first, scores the other."""
    unseen = np.array([np.flatnonzero(~train.of([u]).seen.toarray()[0])[:6] for u in range(30)])
    scores = {name: np.zeros((30, 40), np.float32) for name in ("als", "transitions")}
    for name, values in {"als": (0.01, 1, 0, 0, 0, 0), "transitions": (1, 0.9, 0.98, 0.96, 0.94, 0)}.items():
        np.put_along_axis(scores[name], unseen, np.array([values], np.float32), axis=1)
    held_out = unseen[:, 0 if better == "rank" else 1]
    validation = Interactions.from_arrays(train.users, train.items, np.arange(30), held_out)
    other = {"rank": "minmax", "minmax": "rank"}[better]
    model = Hybrid(params(cold_below=1, hot_from=2, hot=["als"], combine=other)).attach(train)
    model.parts_ = {name: Planted(its).attach(train) for name, its in scores.items()}
    model._select(HeldOutUsers.of(train, validation, cold_below=1, hot_from=2, seed=0))
    assert model.params.combine == model.fitted_params_["combine"] == better


def test_too_few_validation_users_decide_nothing(caplog):
    train, validation = without_last(chains(n_users=15))
    with caplog.at_level(logging.INFO):
        model = Hybrid(mixed()).fit(train, seed=1, validation=validation)
    assert model.params == mixed()
    assert model.fitted_params_ == {}
    assert "15 users on validation are too few to choose by" in caplog.text


def test_a_chosen_model_that_knows_trained_users_alone_keeps_one_that_folds_histories_in():
    only = ("ncf",)
    model = Hybrid()
    model.parts_ = {"ncf": Ncf(), "transitions": Transitions(), "als": ALS()}
    gains = {"ncf": np.array([0.9]), "transitions": np.array([0.5]), "als": np.array([0.1])}
    kept = model._kept(dict.fromkeys(("cold", "warm", "hot"), (only, 1.0)), gains)
    assert kept == {"ncf", "transitions"}


# -- fused scores -----------------------------------------------------------------------------------------


def test_the_last_model_has_the_rest_of_the_weight():
    chosen = params(hot=["transitions", "als", "popularity"], hot_share=0.6)
    assert chosen.weights("hot") == pytest.approx({"transitions": 0.6, "als": 0.24, "popularity": 0.16})
    assert chosen.weights("warm") == {"als": 1.0}


@pytest.mark.parametrize("combine", ["rank", "minmax"])
def test_scores_are_the_weighted_sum(train, combine):
    model = Hybrid(params(combine=combine, hot_share=0.7)).fit(train, seed=1)
    hot, scale = train.of([5]), {"rank": rank_fusion.by_rank, "minmax": rank_fusion.by_range}[combine]
    unseen = ~hot.seen.toarray()
    expected = sum(
        weight * scale(model.parts()[name].score(hot), unseen) for name, weight in (("transitions", 0.7), ("als", 0.3))
    )
    assert np.allclose(model.score(hot), expected, atol=1e-6)


@pytest.mark.parametrize("combine", ["rank", "minmax"])
def test_the_share_of_a_part_that_is_missing_goes_to_the_others_in_proportion(train, combine):
    """Shares .5, .25, .25 without the first: half each. Scores stay on the scale that all users' scores have."""
    parts = ["transitions", "als", "popularity"]
    whole = Hybrid(params(hot=parts, combine=combine, hot_share=0.5)).fit(train, seed=1)
    model = with_parts(whole, train, transitions=Broken())
    hot, scale = train.of([5]), {"rank": rank_fusion.by_rank, "minmax": rank_fusion.by_range}[combine]
    unseen = ~hot.seen.toarray()
    expected = sum(0.5 * scale(model.parts()[name].score(hot), unseen) for name in ("als", "popularity"))
    assert np.allclose(model.score(hot), expected, atol=1e-6)


# -- whatever fails ---------------------------------------------------------------------------------------


def test_when_a_part_raises_the_other_is_used_alone(train, fitted, caplog):
    model = with_parts(fitted, train, transitions=Broken())
    with caplog.at_level(logging.WARNING):
        ranking = model.rank(train.of([5]), 10)
    assert ranking.methods[0] == "hybrid:als"
    assert np.array_equal(ranking.items, fitted.parts()["als"].rank(train.of([5]), 10).items)
    assert "hybrid ranks without transitions: RuntimeError: out of order" in caplog.text


def test_when_a_whole_segment_fails_the_next_component_is_used(train, fitted):
    model = with_parts(fitted, train, als=Broken())
    assert parts_used(model, train.of([2])) == ["popularity"]
    without_popularity = with_parts(fitted, train, als=Broken(), popularity=None)
    assert parts_used(without_popularity, train.of([2])) == ["transitions"]


def test_a_missing_part_is_skipped(train, fitted):
    model = with_parts(fitted, train, transitions=None)
    assert parts_used(model, train.of([5])) == ["als"]


def test_scores_that_are_not_finite_are_ignored(train, fitted, caplog):
    model = with_parts(fitted, train, transitions=Broken(float("nan")))
    with caplog.at_level(logging.WARNING):
        assert parts_used(model, train.of([5])) == ["als"]
    assert "scores that are not finite" in caplog.text


def test_when_all_parts_fail_popularity_is_used(train, fitted):
    model = with_parts(fitted, train, als=Broken(), popularity=Broken(), transitions=Broken())
    ranking = model.rank(train.of([0, 3, 5]), 5)
    assert ranking.methods.tolist() == ["popularity"] * 3
    assert (ranking.items >= 0).all()
    assert model.explain(train.of([5]), int(ranking.items[2, 0])).method == "popularity"


def test_a_part_too_small_to_train_is_left_out(caplog):
    few = fan([3, 3])
    with caplog.at_level(logging.WARNING):
        model = Hybrid(
            params(
                components=["popularity", "lambdarank"], cold=["lambdarank"], warm=["popularity"], hot=["popularity"]
            )
        ).fit(few)
    assert list(model.parts()) == ["popularity"]
    assert "hybrid is fitted without lambdarank: 6 positive interactions" in caplog.text
    assert parts_used(model, few.of([0])) == ["popularity"]


def test_when_no_part_can_be_trained_the_first_reason_is_given():
    only = params(components=["lambdarank"], cold=["lambdarank"], warm=["lambdarank"], hot=["lambdarank"])
    with pytest.raises(TooLittleData, match="6 positive interactions: lambdarank needs at least 100"):
        Hybrid(only).fit(fan([3, 3]))


def test_a_misspelt_component_is_refused(train):
    with pytest.raises(ConfigError, match="model 'alz'.*Did you mean 'als'"):
        Hybrid(params(components=["alz", *PARTS])).fit(train)


def test_a_segment_may_name_only_components():
    with pytest.raises(ConfigError, match="hot names 'ncf', which is no component.*Valid names: als, popularity"):
        params(hot=["ncf"])


# -- the rest of the contract -----------------------------------------------------------------------------


def test_lists_order_by_score_within_candidates(train, fitted):
    users = train.of([2, 4])
    ranking = fitted.rank(users, 3, candidates=np.arange(0, 40, 2), exclude=[4])
    assert (ranking.items % 2 == 0).all()
    assert not (ranking.items == 4).any()
    assert not users.seen[np.repeat([0, 1], 3), ranking.items.ravel()].any()
    assert np.array_equal(np.take_along_axis(fitted.score(users), ranking.items, axis=1), ranking.scores)


def test_a_composite_overrides_one_step_of_ranking():
    steps = {"retrieve", "rank_scored", "rank", "recommend", "recommend_batch", "predict", "scores_of", "why"}
    assert (steps & set(vars(Hybrid))) == {"rank_scored"}


def test_candidates_and_the_whole_catalogue_name_the_same_parts(train, fitted):
    users = train.of([0, 2, 5])
    whole, some = fitted.rank(users, 3), fitted.rank(users, 3, candidates=np.arange(20))
    assert (
        whole.methods.tolist() == some.methods.tolist() == ["hybrid:popularity", "hybrid:als", "hybrid:transitions+als"]
    )


def test_the_first_model_used_explains(train, fitted):
    best = int(fitted.rank(train.of([5]), 1).items[0, 0])
    found, alone = (model.explain(train.of([5]), best) for model in (fitted, fitted.parts()["transitions"]))
    assert (found.text, found.contributions) == (alone.text, alone.contributions)
    assert found.method == "hybrid:transitions"


def test_one_bundle_holds_all_parts(train, fitted, tmp_path):
    bundle.save(fitted, tmp_path / "bundle")
    loaded = bundle.load(tmp_path / "bundle").model
    assert set(loaded.parts()) == set(PARTS)
    assert np.array_equal(loaded.score(train.all_users), fitted.score(train.all_users))


def test_a_part_that_the_same_job_has_fitted_is_not_trained_again(tmp_path: Path, monkeypatch) -> None:
    tower = Component(model="two-tower", params={"factors": 8, "heads": 1, "layers": 1, "window": 10, "epochs": 2})
    fitting = base.Fitting(3, None, catalogue(), base.silent, tmp_path)
    alone = tower.fit(blocks(), fitting)
    written = []
    monkeypatch.setattr(training.CheckpointFile, "write", lambda self, content: written.append(self.path))
    shares = {"components": [tower, "popularity"], "cold": ["popularity"], "warm": ["two-tower"], "hot": ["two-tower"]}
    hybrid = Hybrid(HybridParams(**shares)).fit(blocks(), seed=3, catalogue=catalogue(), checkpoint=tmp_path)
    assert written == []
    for name, value in alone.state().items():
        np.testing.assert_array_equal(value, hybrid.parts()["two-tower"].state()[name])
    tower.fit(blocks(), replace(fitting, seed=4))
    assert len(written) == 2, "another fit is"


def test_thresholds_out_of_order_are_refused() -> None:
    with pytest.raises(ConfigError, match="hot_from = 4 is below cold_below = 9"):
        params(cold_below=9, hot_from=4)
