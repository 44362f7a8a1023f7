"""Features: known answers by hand, one path online and offline, nothing from the future, all of them documented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recstage.config import root
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions, Users
from recstage.models.base import Recommender
from recstage.models.baselines.popularity import Popularity
from recstage.models.factorization.als import ALS, ALSParams
from recstage.models.features import GROUPS, Candidates, FeatureTable, Group, Past, generate_candidates
from recstage.models.features.affinity import AffinityGroup
from recstage.models.features.content import ContentGroup
from recstage.models.features.context import ContextGroup
from recstage.models.features.item import ItemGroup
from recstage.models.features.pairs import BACK, COSINE, FAR, NEXT, PROBABILITY, PairTable
from recstage.models.features.recency import RecencyGroup
from recstage.models.features.stage import StageGroup
from recstage.models.features.user import UserGroup
from recstage.models.lambdarank.labels import hold_out
from recstage.models.lambdarank.params import LambdaRankParams
from recstage.models.neighborhood.transitions import Transitions
from tests.synthetic_data import CLOCK, HOUR, chains, interactions

DAY = 24 * HOUR


def catalogue_of(rows: Interactions) -> Catalogue:
    """Items 0 to 19 are 'odd' or 'even', by fives of a colour; the others have no words."""
    colours = ("red deep", "green loud", "blue small", "grey large")
    frame = pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(20)],
            "title": [f"{colours[i // 5]} thing" for i in range(20)],
            "categories": [[("even", "odd")[i % 2], *(["rare"] if i == 3 else [])] for i in range(20)],
        }
    )
    return Catalogue.from_frame(frame, rows.items)


def retrievers_of(rows: Interactions, catalogue: Catalogue) -> dict[str, Recommender]:
    models = (Transitions(), Popularity(), ALS(ALSParams(factors=4)))
    return {model.name: model.fit(rows, seed=2, catalogue=catalogue) for model in models}


@pytest.fixture(scope="module", params=[False, True], ids=["ranks", "clock"])
def world(request) -> tuple[Interactions, Catalogue, dict[str, Recommender], FeatureTable]:
    rows = chains(60, 40, 10, clock=request.param)
    catalogue = catalogue_of(rows)
    retrievers = retrievers_of(rows, catalogue)
    table = FeatureTable(GROUPS, list(retrievers))
    table.learn(Past(rows, catalogue))
    return rows, catalogue, retrievers, table


def computed(group: Group, rows: Interactions, row: list[int], item: list[int], **more) -> dict[str, np.ndarray]:
    """The group's features of pairs (user row[i], item[i]), by name."""
    users = more.get("users", rows.all_users)
    n = len(row)
    scores, ranks = more.get("scores", np.zeros((n, 1), np.float32)), more.get("ranks", np.ones((n, 1), np.int32))
    candidates = Candidates(
        users, np.array(row), np.array(item, np.int32), scores, ranks, more.get("depth", 10), [None]
    )
    return dict(zip(group.features, group.compute(candidates).T, strict=True))


def fitted(group: Group, rows: Interactions, catalogue: Catalogue | None = None) -> Group:
    group.learn(Past(rows, catalogue or Catalogue.empty(rows.items)))
    return group


def rows_of(*histories: list[int], weights: list[list[float]] | None = None, n_items: int = 6) -> Interactions:
    user = np.concatenate([np.full(len(items), i) for i, items in enumerate(histories)])
    weight = None if weights is None else np.concatenate(weights).astype(np.float32)
    time = np.concatenate([np.arange(len(items)) for items in histories])
    return interactions(user, np.concatenate(histories), n_items, weight=weight, time=time)


# -- all of them ------------------------------------------------------------------------------------------


def test_there_are_more_than_fifty_features_in_all_groups():
    table = FeatureTable(GROUPS, ["als"], ["age"], ["device"])
    assert len(set(table.names)) == len(table.names) >= 50
    assert {group.name for group in table.groups} == set(GROUPS)
    assert all(name.startswith(f"{table.group_of[name]}_") for name in table.names)


@pytest.mark.parametrize("name", GROUPS)
def test_every_feature_is_documented(name):
    page = (Path(root()) / "docs" / "models-composite.md").read_text()
    (group,) = FeatureTable([name], ["<retriever>"], ["<attribute>"], ["<attribute>"]).groups
    meanings = group.features
    if isinstance(group, StageGroup):
        meanings = {**group.of_each, **group.of_all}
    missing = [f"| `{key}` | {text} |" for key, text in meanings.items() if f"| `{key}` | {text} |" not in page]
    assert not missing


def test_a_table_may_leave_groups_out(world):
    rows, catalogue, retrievers, whole = world
    part = FeatureTable(["item", "sequence"], list(retrievers))
    part.learn(Past(rows, catalogue))
    candidates = generate_candidates(retrievers, rows.of([1, 2]), 10, None)
    kept = [i for i, name in enumerate(whole.names) if whole.group_of[name] in ("item", "sequence")]
    assert np.array_equal(part.compute(candidates), whole.compute(candidates)[:, kept], equal_nan=True)


def test_one_user_has_the_same_features_alone_and_in_a_batch(world):
    rows, _, retrievers, table = world
    together = generate_candidates(retrievers, rows.all_users, 10, rows.all_users.seen)
    whole = table.compute(together)
    for user in (0, 13, 59):
        users = rows.of([user])
        alone = generate_candidates(retrievers, users, 10, users.seen)
        assert np.array_equal(alone.item, together.item[together.row == user])
        assert np.allclose(table.compute(alone), whole[together.row == user], rtol=1e-4, atol=1e-5, equal_nan=True)


def test_a_live_history_has_the_features_of_the_same_history_in_training(world):
    rows, catalogue, retrievers, _ = world
    by_history = {name: retrievers[name] for name in ("transitions", "popularity")}
    table = FeatureTable(GROUPS, list(by_history))
    table.learn(Past(rows, catalogue))
    known = rows.of([7])
    live = Users.unknown(rows.n_items, known.items, known.weights, known.timestamps)
    offline, online = (table.compute(generate_candidates(by_history, users, 10, users.seen)) for users in (known, live))
    assert np.array_equal(offline, online, equal_nan=True)


def test_a_table_from_its_state_computes_the_same(world):
    rows, _, retrievers, table = world
    candidates = generate_candidates(retrievers, rows.of([3, 4]), 10, None)
    again = FeatureTable(GROUPS, list(retrievers))
    again.load({key: value.copy() for key, value in table.state().items()})
    assert np.array_equal(again.compute(candidates), table.compute(candidates), equal_nan=True)


def test_features_need_no_history(world):
    rows, _, retrievers, table = world
    unknown = Users.unknown(rows.n_items)
    values = table.compute(generate_candidates(retrievers, unknown, 10, None))
    assert len(values) == 10
    assert not np.isinf(values).any()


# -- nothing from the future ------------------------------------------------------------------------------


def altered(rows: Interactions, future: np.ndarray, seed: int) -> Interactions:
    """The rows with other items (unseen by their users), weights and later times where `future` holds."""
    random, item = np.random.default_rng(seed), rows.item_index.copy()
    for user in np.unique(rows.user_index[future]):
        own = rows.user_index == user
        unmet = np.setdiff1d(np.arange(rows.n_items), rows.item_index[own])
        item[own & future] = random.choice(unmet, int((own & future).sum()), replace=False)
    weight = np.where(future, 1 + random.random(len(rows)), rows.weight).astype(np.float32)
    time = rows.timestamp + future * (100 if rows.timestamp.max() < CLOCK else 30 * DAY)
    return Interactions.from_arrays(rows.users, rows.items, rows.user_index, item, weight, time)


def features_at(rows: Interactions, catalogue: Catalogue, step: int, **how) -> np.ndarray:
    """Features of every item for the users of one step of the labels, each computed as a fit computes them."""
    options = {"labels_per_user": 2, "holdout_share": 0.2, "min_interactions": 3, **how}
    is_clock = options.pop("is_clock")
    held = hold_out(rows, LambdaRankParams(**options), is_clock=is_clock)
    retrievers = retrievers_of(held.past, catalogue)
    table = FeatureTable(GROUPS, list(retrievers))
    table.learn(Past(held.past, catalogue))
    return table.compute(generate_candidates(retrievers, held.steps[step].users, rows.n_items, None))


@pytest.mark.parametrize("step", [0, 1])
def test_features_of_a_label_do_not_change_with_what_comes_after(step):
    rows = chains(40, 30, 9)
    left = rows.indptr[rows.user_index + 1] - 1 - np.arange(len(rows))
    catalogue = catalogue_of(rows)
    how = {"holdout": "last", "is_clock": False}
    before = features_at(rows, catalogue, step, **how)
    for seed in range(3):
        after = features_at(altered(rows, left < 2 - step, seed), catalogue, step, **how)
        assert np.array_equal(before, after, equal_nan=True)
    past = features_at(altered(rows, left == 2, 0), catalogue, step, **how)
    assert not np.array_equal(before, past, equal_nan=True)


def test_features_do_not_change_with_anything_after_a_cut_in_time():
    rows = chains(40, 30, 9, clock=True)
    moment = np.quantile(rows.timestamp, 0.8, method="higher")
    catalogue = catalogue_of(rows)
    how = {"holdout": "time", "is_clock": True}
    before = features_at(rows, catalogue, 0, **how)
    for seed in range(3):
        changed = altered(rows, rows.timestamp >= moment, seed)
        assert (np.sort(changed.timestamp)[: (rows.timestamp < moment).sum()] < moment).all()
        share = 1 - (rows.timestamp < moment).mean()
        assert np.array_equal(before, features_at(changed, catalogue, 0, **how, holdout_share=share), equal_nan=True)


# -- by hand ----------------------------------------------------------------------------------------------


def test_candidates_are_the_union_of_the_lists_without_excluded_items():
    rows = rows_of([0, 1, 2], [0, 1, 3], [0, 4])
    popular, after = Popularity().fit(rows), Transitions().fit(rows)
    users = rows.of([2, 0])
    candidates = generate_candidates({"a": popular, "b": after}, users, 2, users.seen)
    assert candidates.row.tolist() == [0, 0, 1, 1]
    assert candidates.item.tolist() == [1, 2, 3, 4]
    assert candidates.ranks[:, 0].tolist() == [1, 2, 1, 2]
    assert candidates.scores[:, 0].tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3, 1 / 3])


def test_added_pairs_rank_after_the_lists():
    rows = rows_of([0, 1, 2], [0, 1, 3], [0, 4])
    candidates = generate_candidates({"a": Popularity().fit(rows)}, rows.of([0]), 1, None, np.array([0 * 6 + 5]))
    assert (candidates.item.tolist(), candidates.ranks[:, 0].tolist()) == ([0, 5], [1, 2])


def test_a_history_that_grew_is_folded_in_by_retrievers_that_can():
    rows = chains(40, 20, 8)
    als = ALS(ALSParams(factors=4)).fit(rows, seed=1)
    shorter = rows.select(rows.timestamp < 6).of([0])
    now, then = (generate_candidates({"als": als}, shorter, 20, None, live=live).scores for live in (True, False))
    assert np.array_equal(then[:, 0], als.score(rows.of([0]))[0])
    assert not np.allclose(now, then)


def test_pairs_are_measured_by_hand():
    rows = rows_of([0, 1, 2], [0, 1], [3, 0])
    measures = PairTable.count(rows).look_up(np.array([[0, 1, 5]], np.int32), np.array([1], np.int32))[0]
    frequency = np.array([33, 32.0])  # of items 0 and 1, with the shrinkage of 30
    strength = 2**0.4 * frequency[0] ** -0.32 * frequency[1] ** -0.2
    assert measures[0, NEXT] == measures[0, FAR] == pytest.approx(strength, rel=1e-3)
    assert measures[0, PROBABILITY] == pytest.approx(2 / 2.5, rel=1e-3)
    assert measures[0, COSINE] == pytest.approx(2 / np.sqrt(6), rel=1e-3)
    assert measures[0, BACK] == 0
    assert not measures[1].any()
    assert not measures[2].any()


def test_backwards_is_forwards_of_the_turned_pair():
    table = PairTable.count(chains(30, 20, 8))
    first, second = np.meshgrid(np.arange(20, dtype=np.int32), np.arange(20, dtype=np.int32), indexing="ij")
    measures = table.look_up(first.T, np.arange(20, dtype=np.int32))
    forward, back = measures[:, :, FAR].T, measures[:, :, BACK].T
    frequency = (chains(30, 20, 8).item_counts + 30.0)[:, None]
    symmetric = frequency**0.32 * frequency.T**0.2
    assert np.allclose(back * symmetric, (forward * symmetric).T, atol=2e-3)
    assert np.array_equal(second[0], np.arange(20))


def test_user_features_by_hand():
    rows = rows_of([0, 1, 2], [0, 1], [0], weights=[[1.0, 0.5, 0.0], [1, 1], [1]])
    values = computed(fitted(UserGroup(), rows), rows, [0, 2], [4, 4])
    popularity = np.log1p([3, 2, 0, 0, 0]) - np.log1p(5 / 6)
    assert values["user_likes"].tolist() == pytest.approx(np.log([3, 2]))
    assert values["user_dismiss_share"].tolist() == pytest.approx([1 / 3, 0])
    assert values["user_weight_mean"].tolist() == pytest.approx([0.75, 1])
    assert values["user_weight_spread"].tolist() == pytest.approx([0.25, 0])
    assert values["user_popularity"][0] == pytest.approx(popularity[:2].mean())
    assert values["user_popularity_gap"][0] == pytest.approx(popularity[4] - popularity[:2].mean(), rel=1e-5)


def test_item_features_by_hand():
    rows = rows_of([0, 1, 2], [0, 1], [0], weights=[[1.0, 0.5, 0.0], [1, 1], [1]])
    values = computed(fitted(ItemGroup(), rows), rows, [0, 0, 0], [0, 1, 2])
    assert values["item_popularity_rank"].tolist() == pytest.approx([5 / 6, 4 / 6, 0])
    assert values["item_weight_mean"].tolist() == pytest.approx([1, 0.75, np.nan], nan_ok=True)
    assert values["item_dismiss_share"].tolist() == pytest.approx([(10 / 6) / 13, (10 / 6) / 12, (1 + 10 / 6) / 11])
    lengths = np.log1p([3, 2, 1, 3, 2])
    assert values["item_audience"][1] == pytest.approx(np.log1p([3, 2]).mean() - lengths.mean())


def test_recency_features_by_hand():
    user, item = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2])
    time = CLOCK + DAY * np.array([0, 90, 60, 99])
    rows = interactions(user, item, 4, time=time)
    values = computed(fitted(RecencyGroup(), rows), rows, [0, 1], [1, 3])
    assert values["recency_position"][0] == pytest.approx(0, abs=1e-6)  # places 0 and 1, as all likes together
    assert values["recency_position_gap"][0] == pytest.approx(np.log(3), rel=1e-6)
    assert values["recency_head_share"][0] == 0.5
    assert values["recency_week"].tolist() == [0, 0]
    assert values["recency_month"][0] == pytest.approx(np.log(2))
    assert values["recency_quarter"][0] == pytest.approx(np.log(3))
    assert values["recency_trend"][0] == pytest.approx(np.log((2 / 6) / (3 / 8)))
    assert values["recency_age"][0] == pytest.approx(np.log(40))
    assert values["recency_idle"][0] == pytest.approx(np.log(10))
    assert values["recency_user_idle"].tolist() == pytest.approx([np.log(10), 0])
    assert values["recency_user_pace"].tolist() == pytest.approx([np.log1p(45), np.log1p(19.5)])
    assert np.isnan(values["recency_age"][1])


def test_ranks_are_not_taken_for_a_clock(world):
    rows, _, retrievers, table = world
    values = table.compute(generate_candidates(retrievers, rows.all_users, 10, None))
    defined = {name: not np.isnan(column).all() for name, column in zip(table.names, values.T, strict=True)}
    clock = [name for name, text in table.meanings.items() if "clock only" in text]
    is_clock = rows.timestamp.max() > CLOCK
    assert len(clock) == 12
    assert {defined[name] for name in clock} == {is_clock}
    assert defined["recency_position"]


def test_affinity_features_by_hand():
    rows = rows_of([0, 2, 3, 1], [4], weights=[[1.0, 1.0, 0.5, 0.0], [1]], n_items=40)
    values = computed(fitted(AffinityGroup(), rows, catalogue_of(rows)), rows, [0, 0, 0], [4, 5, 39])
    even, odd = 2 / 4, 1 / 4  # of the categories of items 0, 2 and 3, of which the last has two
    assert values["affinity_share"].tolist() == pytest.approx([even, odd, np.nan], nan_ok=True)
    assert values["affinity_weight"].tolist()[:2] == pytest.approx([1 / 0.75, 0.5 / 0.75], rel=1e-4)
    assert values["affinity_dismissed"].tolist()[:2] == pytest.approx([0, 1 / 2])
    assert values["affinity_last"].tolist()[:2] == pytest.approx([0, 1 / 2])
    assert values["affinity_last_5"].tolist()[:2] == pytest.approx([2 / 3, 1 / 6])
    assert values["affinity_new"].tolist()[:2] == [0, 0]
    assert np.isnan(values["affinity_focus"][2])


def test_words_in_common_are_found():
    rows = rows_of([0, 1], [7], n_items=40)
    values = computed(fitted(ContentGroup(), rows, catalogue_of(rows)), rows, [0, 0, 0], [2, 12, 39])
    assert values["content_last"][0] > 0.8
    assert values["content_last"][1] < 0.5
    assert values["content_profile"][0] > values["content_profile"][1]
    assert np.isnan(values["content_last"][2])
    assert np.isnan(values["content_dismissed"]).all()


def test_the_moment_is_read_from_the_last_interaction():
    thursday = 1_600_300_800  # 2020-09-17 00:00 UTC
    times = thursday + np.array([0, 5 * HOUR, 5 * HOUR + 60, 5 * HOUR + 90, 3 * HOUR])
    rows = interactions(np.array([0, 0, 0, 0, 1]), np.array([0, 1, 2, 3, 0]), 6, time=times)
    values = computed(fitted(ContextGroup(), rows), rows, [0, 0, 1], [4, 5, 4])
    assert values["context_candidates"].tolist() == pytest.approx([np.log(2), np.log(2), 0])
    assert values["context_hour"].tolist() == [5, 5, 3]
    assert values["context_weekday"].tolist() == [3, 3, 3]
    assert values["context_pause"].tolist() == pytest.approx([np.log(31), np.log(31), np.nan], nan_ok=True)
    assert values["context_session"].tolist() == pytest.approx(np.log([4, 4, 2]))


def test_retrievers_are_compared_by_hand():
    scores = np.array([[3, np.nan], [1, np.nan]], np.float32)
    ranks = np.array([[1, 11], [4, 11]], np.int32)
    values = computed(StageGroup(["a", "b"]), rows_of([0]), [0, 0], [1, 2], scores=scores, ranks=ranks)
    assert values["stage_a_score"].tolist() == [3, 1]
    assert values["stage_a_gap"].tolist() == [0, -2]
    assert values["stage_a_rank"].tolist() == pytest.approx(np.log([1, 4]))
    assert np.isnan(values["stage_b_score"]).all()
    assert values["stage_lists"].tolist() == [1, 1]
    assert values["stage_best_rank"].tolist() == pytest.approx(np.log([1, 4]))
    assert values["stage_fusion"].tolist() == pytest.approx([1 / 61, 1 / 64])
