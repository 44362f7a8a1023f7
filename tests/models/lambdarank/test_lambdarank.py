"""The second stage: it beats its candidates, learns nothing from the future, and explains its ranks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recstage import bundle
from recstage.config import check
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions, Users
from recstage.errors import ConfigError, TooLittleData
from recstage.models.lambdarank.examples import Grading
from recstage.models.lambdarank.labels import hold_out
from recstage.models.lambdarank.model import FittedStage, LambdaRank
from recstage.models.lambdarank.params import LambdaRankParams
from recstage.models.rank_fusion import by_rank
from recstage.models.two_tower.model import TwoTower
from tests.synthetic_data import chains, disappointing, without_last

pytestmark = pytest.mark.slow

SMALL = {"candidates": 25, "num_boost_round": 30, "min_data_in_leaf": 5, "num_leaves": 7, "negatives": None, "folds": 1}


def params(**changes) -> LambdaRankParams:
    return LambdaRankParams(**{"retrievers": ["popularity"], **SMALL, **changes})


@pytest.fixture(scope="module")
def ring() -> tuple[Interactions, Interactions]:
    return without_last(chains())


@pytest.fixture(scope="module")
def fitted(ring) -> LambdaRank:
    return LambdaRank(params(retrievers=["transitions", "popularity"])).fit(ring[0], seed=3)


def hit_rate(model, train: Interactions, test: Interactions, k: int = 3) -> float:
    lists = model.rank(train.of(test.user_index), k).items
    return float((lists == test.item_index[:, None]).any(axis=1).mean())


# -- ranking ----------------------------------------------------------------------------------------------


def test_it_beats_its_own_candidates_where_order_matters(ring):
    train, test = ring
    model = LambdaRank(params(candidates=40)).fit(train, seed=1)
    assert hit_rate(model, train, test) > 0.5
    assert hit_rate(model, train, test) > 3 * hit_rate(model.retrievers_["popularity"], train, test)


def test_it_beats_its_own_candidates_on_a_clock_too():
    train, test = without_last(chains(clock=True))
    model = LambdaRank(params(candidates=40)).fit(train, seed=1)
    assert hit_rate(model, train, test) > 3 * hit_rate(model.retrievers_["popularity"], train, test)


def test_items_that_users_dismiss_sink():
    train = disappointing()
    model = LambdaRank(params(candidates=60)).fit(train, seed=1)
    share = (model.rank(train.all_users, 10).items < 30).mean()
    popular = (model.retrievers_["popularity"].rank(train.all_users, 10).items < 30).mean()
    assert share < 0.5 * popular


def test_equal_fits_give_equal_models(ring, fitted):
    again = LambdaRank(fitted.params).fit(ring[0], seed=3)
    assert again.trees_.text == fitted.trees_.text
    assert np.array_equal(again.score(ring[0].all_users), fitted.score(ring[0].all_users))


def test_one_user_is_ranked_as_in_a_batch(ring, fitted):
    whole = fitted.rank(ring[0].all_users, 10)
    for row in (0, 17, 149):
        alone = fitted.rank(ring[0].of([row]), 10)
        assert np.array_equal(alone.items[0], whole.items[row])
        assert np.allclose(alone.scores[0], whole.scores[row])


def test_scores_order_items_as_the_list_does(ring, fitted):
    users = ring[0].of(np.arange(20))
    ranking = fitted.rank(users, 10)
    scores = fitted.score(users)
    scores[users.seen.toarray()] = -np.inf
    assert np.array_equal(np.argsort(-scores, axis=1, kind="stable")[:, :10], ranking.items)


def test_where_the_trees_lose_to_a_retriever_that_one_ranks(ring):
    """Planted: features of the user alone give every candidate the same score."""
    before, test = ring
    train, validation = without_last(before)
    blind = params(retrievers=["popularity", "transitions"], groups=["user"])
    model = LambdaRank(blind).fit(train, seed=1, validation=validation)
    assert (model.params.warm_by, model.fitted_params_["select"]) == ("transitions", False)
    assert model.ranking_note == "all users by transitions"
    found = {name: model.fitted_params_[f"{name}_by"] for name in ("cold", "warm", "hot")}
    assert set(found.values()) == {"transitions"}
    refitted = LambdaRank(params(**blind.model_dump() | model.fitted_params_)).fit(before, seed=1)
    users, alone = before.of(test.user_index), refitted.retrievers_["transitions"]
    assert np.array_equal(refitted.rank(users, 10).items, alone.rank(users, 10).items)
    assert np.array_equal(refitted.score(users), alone.score(users))
    best = int(refitted.rank(users.take([0]), 1).items[0, 0])
    assert refitted.explain(users.take([0]), best).method == "transitions"
    by_trees = LambdaRank(params(**blind.model_dump() | {"select": False})).fit(before, seed=1)
    assert hit_rate(refitted, *ring) > 1.5 * hit_rate(by_trees, *ring)


def test_where_the_trees_are_clearly_better_they_rank(ring):
    before, _ = ring
    train, validation = without_last(before)
    model = LambdaRank(params(candidates=40)).fit(train, seed=1, validation=validation)
    assert model.fitted_params_["warm_by"] == "trees"
    assert model.ranking_note == ""


def test_each_segment_is_ranked_by_what_is_named_for_it(ring, fitted):
    mixed = fitted.params.model_copy(update={"cold_by": "popularity", "warm_by": "trees+transitions", "cold_below": 6})
    stage = FittedStage(fitted.retrievers_, fitted.table_)
    model = LambdaRank(mixed).attach(ring[0]).use(stage, fitted.trees_.text)
    whole = ring[0].of(np.arange(3))
    users = Users.concatenated([whole.take([0]), cut(whole.take([1]), 4), whole.take([2])])
    cold, warm = users.take([1]), users.take([0])
    popular, unseen = model.retrievers_["popularity"], ~warm.seen.toarray()
    assert np.array_equal(model.score(users)[1], popular.score(cold)[0])
    fused = by_rank(fitted.score(warm), unseen) + by_rank(model.retrievers_["transitions"].score(warm), unseen)
    assert model.score(users)[0] == pytest.approx(fused[0] / 2)
    assert np.array_equal(model.rank(users, 5).items[1], popular.rank(cold, 5).items[0])
    given = np.array([3, 1], np.int32)
    assert np.array_equal(model.score(users, given), model.score(users)[:, given])
    own = np.array([[3, 1], [0, 2], [5, 6]], np.int32)
    assert np.array_equal(model.score(users, own), np.take_along_axis(model.score(users), own.astype(int), axis=1))


def cut(users: Users, length: int) -> Users:
    """One user with the first rows of their history alone."""
    first = slice(length)
    return Users.unknown(users.n_items, users.items[first], users.weights[first], users.timestamps[first])


def test_what_ranks_a_segment_must_be_a_retriever():
    with pytest.raises(ConfigError, match=r"hot_by = alz is no retriever.*Valid names: popularity, trees"):
        check(LambdaRankParams, {"retrievers": ["popularity"], "hot_by": "alz"}, "params")


def test_a_retriever_that_the_data_does_not_allow_is_left_out(ring, caplog):
    model = LambdaRank(params(retrievers=["content", "transitions"], hot_by="content")).fit(ring[0], seed=1)
    assert list(model.retrievers_) == ["transitions"]
    assert (model.params.hot_by, len(model.params.retrievers)) == ("trees", 1)
    assert "lambdarank is fitted without content: " in caplog.text


def test_scores_of_given_items_are_those_of_the_whole_catalogue(ring, fitted):
    users, random = ring[0].of([3, 5, 8]), np.random.default_rng(0)
    whole = fitted.score(users)
    shared = np.array([39, 0, 7, 7], np.int32)
    own = random.integers(0, 40, (3, 5)).astype(np.int32)
    assert np.array_equal(fitted.score(users, shared), whole[:, shared])
    assert np.array_equal(fitted.score(users, own), np.take_along_axis(whole, own.astype(int), axis=1))


def test_candidates_rank_above_everything_else(ring):
    model = LambdaRank(params(candidates=5)).fit(ring[0], seed=1)
    scores = model.score(ring[0].all_users)
    assert ((scores >= 0).sum(axis=1) == 5).all()


def test_other_items_are_ranked_by_the_fused_ranks_of_the_retrievers(ring):
    model = LambdaRank(params(retrievers=["transitions", "popularity", "graph"], candidates=5)).fit(ring[0], seed=1)
    user, everything = ring[0].of([0]), np.arange(ring[0].n_items)
    places = {}
    for name, retriever in model.retrievers_.items():
        order = [i for i in np.argsort(-retriever.score(user)[0], kind="stable") if i not in user.items]
        places[name] = {item: place for place, item in enumerate(order, start=1)}
    scores = model.score(user)[0]
    others = [i for i in everything if scores[i] < 0 and i not in user.items]
    weight = {"transitions": 1 / 2, "popularity": 1 / 4, "graph": 1 / 4}
    fused = [sum(weight[name] * 61 / (60 + places[name][i]) for name in weight) for i in others]
    assert len(others) > 10
    assert scores[others] == pytest.approx(np.array(fused) - 1.5, abs=1e-6)


def test_seen_items_have_fused_scores_as_well(ring, fitted):
    user = ring[0].of([0])
    fused = np.zeros(ring[0].n_items)
    for retriever in fitted.retrievers_.values():
        above = 0
        for item in np.argsort(-retriever.score(user)[0], kind="stable"):
            fused[item] += 0.5 * 61 / (61 + above)
            above += item not in user.items
    assert fitted.score(user, user.items)[0] == pytest.approx(fused[user.items] - 1.5, abs=1e-6)


def test_a_retriever_that_cannot_score_a_user_counts_by_popularity_alone_and_in_a_batch(ring):
    small = {"model": "ncf", "params": {"epochs": 1, "patience": 0}}
    model = LambdaRank(params(retrievers=[small, "transitions"], candidates=5)).fit(ring[0], seed=1)
    users = replace(ring[0].of([0, 1]), index=np.array([-1, 1], np.int32))
    scores = model.score(users)[0]
    assert scores == pytest.approx(model.score(users.take(np.array([0])))[0], abs=1e-6)
    unseen = ~users.seen.toarray()[:1]
    scored = [model.popularity_[None], model.retrievers_["transitions"].score(users)[:1]]
    fused = sum(by_rank(one, unseen)[0] / 2 for one in scored)
    assert scores[scores < 0] == pytest.approx(fused[scores < 0] - 1.5, abs=1e-6)


def test_scores_read_a_history_once(ring, monkeypatch):
    small = {"model": "two-tower", "params": {"factors": 8, "heads": 1, "epochs": 1}}
    model = LambdaRank(params(retrievers=[small, "popularity"])).fit(ring[0], seed=1)
    read, once = [], TwoTower.user_vectors
    monkeypatch.setattr(TwoTower, "user_vectors", lambda self, users: read.append(len(users)) or once(self, users))
    model.score(ring[0].of([0, 1, 2]), np.array([3, 4], np.int32))
    assert read == [3]


def test_a_list_longer_than_the_candidates_is_filled_by_stage_one(ring):
    model = LambdaRank(params(candidates=5)).fit(ring[0], seed=1)
    ranking = model.rank(ring[0].of([0, 1]), 20)
    assert (ranking.items >= 0).all()
    assert (np.diff(ranking.scores, axis=1) <= 0).all()


def test_excluded_and_unavailable_items_are_never_ranked(ring):
    train = ring[0]
    available = np.arange(40) % 4 > 0
    empty = Catalogue.empty(train.items)
    catalogue = Catalogue(train.items, empty.titles, empty.texts, empty.categories, available)
    model = LambdaRank(params()).fit(train, seed=1, catalogue=catalogue)
    items = model.rank(train.of(np.arange(30)), 8, exclude=[1, 2, 3]).items
    assert available[items].all()
    assert not np.isin(items, [1, 2, 3]).any()


def test_an_unknown_user_is_ranked_by_the_live_history(ring, fitted):
    unknown = Users.unknown(40, items=[10, 11, 12])
    ranking = fitted.rank(unknown, 3)
    assert ranking.methods[0] == "lambdarank"
    assert ranking.items[0, 0] == 13


def test_an_unknown_user_without_a_history_gets_popularity(fitted):
    assert fitted.rank(Users.unknown(40), 3).methods[0] == "popularity"


# -- saving -----------------------------------------------------------------------------------------------


def test_a_bundle_answers_as_the_model_did(ring, fitted, tmp_path):
    bundle.save(fitted, tmp_path / "bundle")
    loaded = bundle.load(tmp_path / "bundle")
    bundle.verify_answers(loaded)
    assert np.array_equal(loaded.model.score(ring[0].all_users), fitted.score(ring[0].all_users))
    assert loaded.model.feature_importance() == fitted.feature_importance()


# -- training ---------------------------------------------------------------------------------------------


def test_ndcg_of_both_sides_is_reported_as_rounds_pass(ring):
    reported: list[tuple[int, dict]] = []
    model = LambdaRank(params(num_boost_round=12)).fit(
        ring[0], seed=1, report=lambda s, m: reported.append((s, dict(m)))
    )
    assert [step for step, _ in reported] == [5, 10, 12]
    sides = ("train", "validation")
    assert set(reported[0][1]) == {f"{side}_ndcg_at_{k}" for side in sides for k in (5, 10)}
    assert reported[-1][1]["validation_ndcg_at_10"] > 0.3
    assert model.fitted_params_["num_boost_round"] <= 12


def test_a_step_is_a_boosting_round_and_the_gap_of_its_curve_is_explained():
    model = LambdaRank(params(num_boost_round=12, negatives=7))
    assert (model.step_name, model.steps_planned) == ("boosting round", 12)
    assert "among 7 drawn candidates; validation: other users, among all candidates" in model.curve_note
    assert "drawn" not in LambdaRank(params(negatives=None)).curve_note


def test_boosting_ends_when_validation_gains_nothing(ring):
    reported: list[int] = []
    model = LambdaRank(params(num_boost_round=400, patience=10)).fit(
        ring[0], seed=1, report=lambda step, _: reported.append(step)
    )
    assert reported[-1] < 400
    assert reported[-1] - model.fitted_params_["num_boost_round"] == 10


def test_without_a_validation_split_all_rounds_are_made(ring):
    model = LambdaRank(params(validation_split=0.0, num_boost_round=7)).fit(ring[0], seed=1)
    assert model.fitted_params_ == {"num_boost_round": 7}


def test_what_the_report_raises_ends_the_fit(ring):
    class Pruned(Exception):
        pass

    def report(step, metrics):
        raise Pruned

    with pytest.raises(Pruned):
        LambdaRank(params()).fit(ring[0], report=report)


def test_evaluate_only_leaves_the_retrievers_in_the_past(ring):
    last = ring[0].indptr[1:] - 1
    final, quick = (
        LambdaRank(params(evaluate_only=only, retrievers=["transitions"])).fit(ring[0], seed=1)
        for only in (False, True)
    )
    assert quick.trees_.text == final.trees_.text
    counts = [model.table_.groups[2].arrays["table"][:, 0].sum() for model in (quick, final)]
    assert counts[0] < counts[1]
    assert len(last) == ring[0].n_users


def test_too_few_positives_are_refused(ring):
    few = ring[0].select(np.arange(len(ring[0])) < 99)
    with pytest.raises(TooLittleData, match="99 positive interactions: lambdarank needs at least 100"):
        LambdaRank(params()).fit(few)


def test_histories_too_short_for_labels_are_refused(ring):
    with pytest.raises(TooLittleData, match="among the candidates.*lower min_interactions"):
        LambdaRank(params(min_interactions=100)).fit(ring[0])


def test_an_unknown_retriever_is_refused(ring):
    with pytest.raises(ConfigError, match="model 'alz'.*als"):
        LambdaRank(params(retrievers=["alz"])).fit(ring[0])


def test_retrievers_of_one_model_need_labels():
    with pytest.raises(ConfigError, match="need labels that differ"):
        check(LambdaRankParams, {"retrievers": ["als", {"model": "als", "params": {"factors": 8}}]}, "params")


def test_two_retrievers_of_one_model_are_told_apart_by_label(ring):
    by_item = {"model": "knn", "params": {"by": "item"}, "label": "knn-item"}
    model = LambdaRank(params(retrievers=["knn", by_item])).fit(ring[0], seed=1)
    assert list(model.parts()) == ["knn", "knn-item"]
    assert "stage_knn-item_rank" in model.table_.names


# -- labels -----------------------------------------------------------------------------------------------


def held(rows: Interactions, **changes):
    asked = {name: changes.pop(name) for name in ("since", "seed") if name in changes}
    is_clock = changes.pop("is_clock", False)
    options = {"holdout": "last", "labels_per_user": 2, "holdout_share": 0.2, "min_interactions": 3, **changes}
    return hold_out(rows, params(**options), is_clock=is_clock, **asked)


def test_the_last_rows_of_each_user_become_labels(ring):
    rows = ring[0]
    kept = held(rows)
    assert len(kept.past) == len(rows) - 2 * rows.n_users
    before_last, last = kept.steps
    assert np.array_equal(last.item, rows.item_index[rows.indptr[1:] - 1])
    assert np.array_equal(before_last.item, rows.item_index[rows.indptr[1:] - 2])
    assert np.array_equal(last.users.lengths, before_last.users.lengths + 1)


def test_any_row_of_a_page_may_be_the_label_and_the_others_stay(ring):
    rows = ring[0]
    kept = held(rows, labels_per_user=1, page=3, seed=1)
    (step,) = kept.steps
    assert len(kept.past) == len(rows) - 3 * rows.n_users
    left = []
    for user, item in zip(step.row, step.item, strict=True):
        own = rows.of([user]).items
        left.append(len(own) - 1 - int(np.flatnonzero(own == item)[0]))
        assert sorted([*step.users.take([user]).items, item]) == sorted(own)
    assert set(left) == {0, 1, 2}
    assert step.grown


def test_the_first_label_alone_has_the_history_that_the_retrievers_saw(ring):
    assert [step.grown for step in held(ring[0]).steps] == [False, True]


def test_a_cut_in_time_leaves_no_label_older_than_the_past():
    rows = chains(clock=True)
    kept = held(rows, holdout="time", is_clock=True)
    moment = kept.past.timestamp.max()
    assert len(kept.past) < len(rows)
    (step,) = kept.steps
    when = {
        (u, i): t
        for u, i, t in zip(rows.user_index.tolist(), rows.item_index.tolist(), rows.timestamp.tolist(), strict=True)
    }
    users = step.users.index[step.row].tolist()
    assert all(when[pair] > moment for pair in zip(users, step.item.tolist(), strict=True))


def test_timestamps_that_are_ranks_are_cut_by_user():
    assert len(held(chains(), holdout="auto").steps) == 2
    assert len(held(chains(clock=True), holdout="auto", is_clock=True).steps) == 1


def test_rows_older_than_the_lookback_give_no_labels():
    rows = chains(clock=True)
    since = int(np.quantile(rows.timestamp, 0.95))
    everyone, recent = held(rows), held(rows, since=since)
    assert 0 < len(recent.steps[-1].users) < len(everyone.steps[-1].users)


def test_the_lookback_bounds_what_features_learn():
    rows = chains(clock=True)
    whole, recent = (LambdaRank(params(holdout="last", lookback_days=days)).fit(rows, seed=1) for days in (None, 2.0))
    likes = [model.table_.groups[2].arrays["table"][:, 0].sum() for model in (whole, recent)]
    assert likes[1] < likes[0]


def test_grades_follow_the_weights():
    grade = Grading(low=0.1, high=1.0)
    assert grade(np.array([0, 0.1, 0.4, 0.7, 1.0, 5.0, -1], np.float32)).tolist() == [0, 1, 2, 3, 4, 4, 0]


def test_equal_weights_are_one_grade():
    assert Grading(1.0, 1.0)(np.array([1, 0], np.float32)).tolist() == [1, 0]


# -- explaining -------------------------------------------------------------------------------------------


def test_contributions_add_up_to_the_score(ring, fitted):
    user = fitted.train_.users.ids[4]
    best = fitted.recommend(user, 3)
    assert len(best.item_ids) == 3
    for item, score in zip(best.item_ids, best.scores, strict=True):
        why = fitted.why(user, item)
        assert sum(part.value for part in why.contributions) == pytest.approx(score, abs=1e-4)
        assert why.score == pytest.approx(score, abs=1e-4)
        assert why.text.startswith("Reasons for it: ")
        first = next(iter(fitted.retrievers_.values()))
        assert why.text.endswith(first.why(user, item).text)


def test_the_order_of_choices_is_the_first_reason_on_the_ring(ring):
    model = LambdaRank(params(candidates=40)).fit(ring[0], seed=1)
    assert next(iter(model.feature_importance())).startswith("sequence_")
    assert next(iter(model.mean_contributions(ring[0].all_users))).startswith("sequence_")
    best = model.recommend("u0", 1).item_ids[0]
    assert model.why("u0", best).text.startswith("Reasons for it: what users choose after what you chose last")


def test_other_items_are_explained_by_stage_one(ring):
    model = LambdaRank(params(candidates=1)).fit(ring[0], seed=1)
    lists = model.recommend("u0", 10)
    assert model.why("u0", lists.item_ids[-1]).method == "popularity"
