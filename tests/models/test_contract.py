"""What every recommender in conf/model must do. A new YAML adds its model to these tests by itself."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recstage import bundle
from recstage.config import model_config_of, names_in
from recstage.data.interactions import Users
from recstage.errors import ConfigError, DataError, TooLittleData
from recstage.models import base, build, params_class
from tests.models.synthetic_blocks import DISMISSER, HIDDEN, active_users, blocks, catalogue, disguised, group_of

pytestmark = pytest.mark.slow

NAMES = names_in("model")
SMALL: Mapping[str, Mapping[str, Any]] = {
    "als": {"factors": 16},
    "reverse-als": {"factors": 16},
    "ncf": {
        "factors": 8,
        "layers": (16, 8),
        "batch_size": 128,
        "learning_rate": 0.02,
        "epochs": 12,
        "precision": "fp32",
    },
    "two-tower": {"factors": 16, "heads": 1, "layers": 1, "epochs": 60, "window": 10, "precision": "fp32"},
    "lambdarank": {"num_boost_round": 30, "min_data_in_leaf": 5, "candidates": 20},
}
TOWER = {"model": "two-tower", "params": SMALL["two-tower"]}
SKETCH = {"model": "two-tower", "params": {**SMALL["two-tower"], "epochs": 20}}
SMALL = {
    **SMALL,
    "lambdarank-all": {**SMALL["lambdarank"], "retrievers": [SKETCH, "als", "graph"]},
    "hybrid": {"components": ["content", "graph", "popularity", "als", "transitions", TOWER]},
}
"""What keeps the fit of a model below a second or two; models that are not named are small as their YAML has them."""
IMPERSONAL = {"popularity", "random"}
"""Baselines: they use nothing about a user, so that none of their lists is obvious."""
WITHOUT_VECTORS = {"graph", "knn", "lambdarank", "lambdarank-all", "transitions"}
WITHOUT_FOLD_IN = {"ncf"}

every_model = pytest.mark.parametrize("name", NAMES)
every_personal_model = pytest.mark.parametrize("name", [name for name in NAMES if name not in IMPERSONAL])


def fit(name: str) -> base.Recommender:
    model = build(model_config_of(name), **SMALL.get(name, {}))
    return model.fit(blocks(), seed=5, catalogue=catalogue())


fitted = cache(fit)


def reloaded(model: base.Recommender) -> base.Recommender:
    """The model from its state and parts, by way of npz files that hold no pickles."""
    buffer = io.BytesIO()
    np.savez(buffer, **model.state())
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as archive:
        state = {key: archive[key] for key in archive.files}
    parts = {key: reloaded(part) for key, part in model.parts().items()}
    return type(model).restore(model.params, state, model.train_, model.catalogue_, parts)


def own_name(name: str) -> str:
    """The model's own name for that of its YAML, which may be a variant's."""
    return fitted(name).name


def model_of(method: str) -> str:
    """The model that a method names, without the parts of a composite."""
    return method.partition(":")[0]


def scores_of(model: base.Recommender) -> np.ndarray:
    users = blocks().all_users
    return model.score(users.take(model.can_score(users)))


@every_model
def test_the_yaml_names_its_model_and_searches_only_its_params(name: str) -> None:
    config = model_config_of(name)
    model = build(config)
    assert name == model.name or name.startswith(f"{model.name}-"), "a model, or a variant of one"
    assert set(config.search) <= set(params_class(config).model_fields)


@every_model
def test_params_with_a_wrong_name_are_refused_with_the_right_ones(name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build(model_config_of(name), no_such_param=1)
    for field in params_class(model_config_of(name)).model_fields:
        assert field in str(refused.value)
    assert str(refused.value).startswith(f"{name}.params: no_such_param")


@every_model
def test_the_same_seed_gives_the_same_scores(name: str) -> None:
    np.testing.assert_array_equal(scores_of(fitted(name)), scores_of(fit(name)))


@every_model
def test_fitting_again_forgets_the_earlier_fit(name: str) -> None:
    model = fit(name).fit(blocks(), seed=5, catalogue=catalogue())
    np.testing.assert_array_equal(scores_of(fitted(name)), scores_of(model))


@every_model
def test_a_model_from_its_state_scores_as_before(name: str) -> None:
    np.testing.assert_array_equal(scores_of(fitted(name)), scores_of(reloaded(fitted(name))))


@every_model
def test_a_model_from_its_bundle_answers_as_before(name: str, tmp_path: Path) -> None:
    bundle.save(fitted(name), tmp_path / "bundle")
    loaded = bundle.load(tmp_path / "bundle")
    bundle.verify_answers(loaded)
    np.testing.assert_array_equal(scores_of(fitted(name)), scores_of(loaded.model))
    assert loaded.model.recommend_batch(active_users(), 5) == fitted(name).recommend_batch(active_users(), 5)


@every_model
def test_scores_are_finite_float32_of_users_by_items(name: str) -> None:
    scores = scores_of(fitted(name))
    assert scores.dtype == np.float32
    assert scores.shape[1] == blocks().n_items
    assert np.isfinite(scores).all()


@every_model
def test_a_batch_answers_as_one_by_one(name: str) -> None:
    together = fitted(name).recommend_batch(active_users(), 5)
    alone = [fitted(name).recommend(user_id, 5) for user_id in active_users()]
    assert [one.item_ids for one in together] == [one.item_ids for one in alone]
    np.testing.assert_allclose([one.scores for one in together], [one.scores for one in alone], rtol=1e-3, atol=1e-5)


@every_model
def test_all_candidates_the_same_candidates_and_own_candidates_score_alike(name: str) -> None:
    model, some = fitted(name), blocks().of([3, 20, 50])
    whole = model.score(some)
    same = np.array([7, 0, 31, 7], np.int32)
    own = np.array([[1, 2], [39, 0], [5, 5]], np.int32)
    np.testing.assert_allclose(model.score(some, same), whole[:, same], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.score(some, own), np.take_along_axis(whole, own, axis=1), rtol=1e-4, atol=1e-6)


@every_model
def test_lists_rank_by_score(name: str) -> None:
    model, user_id = fitted(name), active_users()[7]
    listed = model.recommend(user_id, 10, exclude_seen=False)
    assert listed.scores == sorted(listed.scores, reverse=True)
    np.testing.assert_allclose(model.predict(user_id, listed.item_ids), listed.scores, rtol=1e-3, atol=1e-5)


@every_model
def test_what_was_seen_is_not_recommended_unless_asked_for(name: str) -> None:
    model, all_items = fitted(name), blocks().n_items
    for user_id in [*active_users(), DISMISSER]:
        seen = set(blocks().items.id_of(model.known([user_id]).items))
        assert not seen & set(model.recommend(user_id, all_items).item_ids)
    assert set(model.recommend(active_users()[0], all_items, exclude_seen=False).item_ids) == set(
        blocks().items.ids
    ) - {HIDDEN}


@every_model
def test_candidates_and_exclusions_are_respected(name: str) -> None:
    candidates, exclude = [f"thing-{group}-{n}" for group in range(4) for n in range(5)], ["thing-0-1", "thing-2-2"]
    for one in fitted(name).recommend_batch([*active_users(), "unknown"], 40, candidates=candidates, exclude=exclude):
        assert one.item_ids
        assert set(one.item_ids) <= set(candidates) - set(exclude)


@every_model
def test_unavailable_items_are_never_recommended(name: str) -> None:
    for candidates in (None, [HIDDEN, "thing-0-1"]):
        for one in fitted(name).recommend_batch(
            [*active_users(), "unknown"], 40, exclude_seen=False, candidates=candidates
        ):
            assert one.item_ids
            assert HIDDEN not in one.item_ids


@every_model
def test_a_list_longer_than_the_catalogue_holds_each_item_once(name: str) -> None:
    for one in fitted(name).recommend_batch([active_users()[0], "unknown"], 1000, exclude_seen=False):
        assert len(one.item_ids) == len(set(one.item_ids)) == blocks().n_items - 1
        assert np.isfinite(one.scores).all()


@every_model
def test_unknown_users_get_the_most_popular_or_the_models_own_list(name: str) -> None:
    model = fitted(name)
    answer = model.recommend("unknown", 3)
    assert len(answer.item_ids) == 3
    if model.can_score(model.known(["unknown"]))[0]:
        assert model_of(answer.method) == own_name(name)
    else:
        assert answer.method == base.POPULARITY
        assert answer.scores == sorted(model.popularity_[model.items.ids != HIDDEN], reverse=True)[:3]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random"])
def test_equally_popular_items_come_in_the_order_of_the_id_map(name: str) -> None:
    """Of the whole catalogue, and of candidates in any order: for a user whom no model can score."""
    model = fitted(name)
    popularity = np.where(model.items.ids == HIDDEN, -1, model.popularity_)
    order = model.items.ids[np.argsort(-popularity, kind="stable")][:-1].tolist()
    assert len(set(popularity)) < len(order), "there are ties"
    whole = model.recommend(DISMISSER, len(order), exclude_seen=False)
    assert whole.method == base.POPULARITY
    assert whole.item_ids == order
    candidates = model.items.ids[25:5:-1].tolist()
    some = model.recommend(DISMISSER, 20, exclude_seen=False, candidates=candidates).item_ids
    assert some == [item for item in order if item in candidates]


@every_personal_model
def test_a_user_who_only_dismissed_gets_the_most_popular(name: str) -> None:
    assert fitted(name).recommend(DISMISSER, 3).method == base.POPULARITY


@every_personal_model
def test_users_get_what_their_group_chose(name: str) -> None:
    lists = fitted(name).recommend_batch(active_users(), 1)
    right = [group_of(one.item_ids[0]) == group_of(one.user_id) for one in lists]
    assert {model_of(one.method) for one in lists} == {own_name(name)}
    assert np.mean(right) > 0.9


@every_personal_model
def test_an_unknown_user_with_a_history_is_served_as_if_trained_on(name: str) -> None:
    model, known = fitted(name), blocks().of(blocks().users.index_of(active_users()))
    assert model.folds_in == (name not in WITHOUT_FOLD_IN)
    if not model.folds_in:
        assert not model.can_score(disguised(known)).any()
        pytest.skip(f"{name} does not fold histories in: unknown users get popularity")
    trained, folded = model.rank(known, 1).items[:, 0], model.rank(disguised(known), 1).items[:, 0]
    assert [group_of(item) for item in model.items.id_of(folded)] == [
        group_of(item) for item in model.items.id_of(trained)
    ]
    both = np.stack([model.score(known), model.score(disguised(known))])
    unseen = ~known.seen.toarray()
    item_similarity = [
        np.corrcoef(both[0, row, unseen[row]], both[1, row, unseen[row]])[0, 1] for row in range(len(known))
    ]
    assert np.mean(item_similarity) > 0.9


@every_personal_model
def test_the_first_choice_of_an_unknown_user_already_counts(name: str) -> None:
    model = fitted(name)
    if not model.folds_in:
        pytest.skip(f"{name} does not fold histories in")
    for thing in ("thing-1-3", "thing-3-0"):
        unknown = Users.unknown(model.n_items, model.items.index_of([thing]))
        best = model.rank(unknown, 1)
        assert model_of(best.methods[0]) == own_name(name)
        assert group_of(model.items.id_of(best.items[0, :1])[0]) == group_of(thing)


@every_model
def test_too_little_data_is_refused_by_name(name: str) -> None:
    liked = np.flatnonzero(blocks().weight > 0)[: build(model_config_of(name)).minimum_positives - 1]
    little = blocks().select(np.isin(np.arange(len(blocks())), liked))
    with pytest.raises(TooLittleData, match=rf"^{len(liked)} positive interactions: {own_name(name)} needs at least"):
        build(model_config_of(name), **SMALL.get(name, {})).fit(little, catalogue=catalogue())


@every_model
def test_unknown_items_are_refused_by_name(name: str) -> None:
    with pytest.raises(DataError, match="item nothing: every item must be in the trained catalogue"):
        fitted(name).predict(active_users()[0], ["thing-0-1", "nothing"])


@every_personal_model
def test_item_vectors_are_aligned_with_the_items(name: str) -> None:
    vectors = fitted(name).item_vectors()
    assert (vectors is None) == (name in WITHOUT_VECTORS)
    if vectors is None:
        pytest.skip(f"{name} has no item vectors")
    assert vectors.dtype == np.float32
    assert vectors.shape[0] == blocks().n_items
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    group = np.array([group_of(item) for item in blocks().items.ids])
    alike = group[:, None] == group
    assert cosine[alike].mean() > cosine[~alike].mean() + 0.1


@every_model
def test_a_list_can_be_explained(name: str) -> None:
    model, user_id = fitted(name), active_users()[5]
    best = model.recommend(user_id, 1).item_ids[0]
    reason = model.why(user_id, best)
    assert reason.text
    assert model_of(reason.method) in {own_name(name), base.POPULARITY}
    assert name in IMPERSONAL or reason.method != base.POPULARITY, "what it says is of the model itself"
    assert np.isfinite(reason.score)
    sizes = [abs(one.value) for one in reason.contributions]
    assert sizes == sorted(sizes, reverse=True)
    assert model.why("unknown", best).contributions


@every_model
def test_reports_count_upwards_from_one_or_later(name: str) -> None:
    steps: list[int] = []
    model = build(model_config_of(name), **SMALL.get(name, {}))
    model.fit(blocks(), seed=5, catalogue=catalogue(), report=lambda step, metrics: steps.append(step))
    assert steps == sorted(set(steps))
    assert all(step >= 1 for step in steps)


@every_model
def test_what_a_report_raises_ends_the_fit(name: str) -> None:
    class Enough(Exception):
        pass

    def stop(step: int, metrics: Mapping[str, float]) -> None:
        raise Enough

    model = build(model_config_of(name), **SMALL.get(name, {}))
    reports = model.steps_planned is not None
    if not reports:
        pytest.skip(f"{name} is fitted in one step")
    with pytest.raises(Enough):
        model.fit(blocks(), seed=5, catalogue=catalogue(), report=stop)
