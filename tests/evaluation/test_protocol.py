"""Evaluating a recommender: who is asked, what is ranked, and what is made of it."""

import numpy as np
import pytest

from recstage.config import DataConfig, EvaluationConfig, check, read_yaml, root
from recstage.data import dataset
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import IdMap, Interactions
from recstage.errors import ConfigError, DataError, TooLittleData
from recstage.evaluation.protocol import evaluate
from recstage.evaluation.significance import bootstrap_interval
from recstage.models.baselines.popularity import Popularity

CONFIG = EvaluationConfig(cutoffs=(1, 2, 3), latency_requests=0, bootstrap=200)


def test_the_seen_items_are_left_out_and_the_rest_is_ranked(interactions, written):
    train = interactions(1, 4, [(0, 0)])
    model = written([[9, 1, 2, 3]], train)
    result = evaluate(model, interactions(1, 4, [(0, 2)]), config=CONFIG)
    assert result.lists.tolist() == [[3, 2, 1]]
    assert result.metrics["hit_rate_at_1"] == 0
    assert result.metrics["ndcg_at_2"] == pytest.approx(1 / np.log2(3))
    assert result.metrics["map_at_3"] == result.metrics["mrr_at_3"] == 0.5


def test_users_without_a_positive_test_row_are_not_counted(interactions, written):
    model = written(np.ones((3, 4)), interactions(3, 4, [(0, 0), (1, 0), (2, 0)]))
    test = interactions(3, 4, [(1, 1), (1, 2), (2, 1)], [1, -1, 0])
    result = evaluate(model, test, config=CONFIG)
    assert result.per_user["user_id"].tolist() == ["u1"]
    assert result.metrics["n_users"] == 1
    assert result.metrics["recall_at_1"] == 1  # the dismissed item is not among what should be found


def test_the_mean_over_users_is_the_metric_and_each_segment_has_its_own(interactions, written):
    pairs = [(0, 0), *((1, i) for i in range(6)), *((2, i) for i in range(20))]
    train = interactions(3, 24, pairs)
    scores = np.zeros((3, 24))
    scores[[0, 1], [21, 21]] = 1
    scores[2, 23] = 1
    result = evaluate(model := written(scores, train), interactions(3, 24, [(u, 21) for u in range(3)]), config=CONFIG)
    assert result.per_user["segment"].tolist() == ["cold", "warm", "hot"]
    assert result.per_user["n_train"].tolist() == [1, 6, 20]
    found = [result.metrics[f"{segment}hit_rate_at_1"] for segment in ("cold_", "warm_", "hot_", "")]
    assert found == pytest.approx([1, 1, 0, 2 / 3])
    assert [result.metrics[f"{segment}n_users"] for segment in ("cold_", "warm_", "hot_", "")] == [1, 1, 1, 3]
    assert result.metrics["coverage_at_1"] == pytest.approx(2 / 24)
    assert result.metrics["hot_coverage_at_1"] == pytest.approx(1 / 24)
    assert model.name == "written"


def test_a_segment_that_nobody_is_in_has_no_metrics_but_its_size(interactions, written):
    model = written(np.ones((1, 3)), interactions(1, 3, [(0, 0)]))
    found = evaluate(model, interactions(1, 3, [(0, 1)]), config=CONFIG).metrics
    assert [name for name in found if name.startswith(("warm", "hot_n", "hot_r"))] == ["warm_n_users", "hot_n_users"]


def test_an_item_that_training_never_met_cannot_be_found_and_counts_as_missed(written, interactions):
    model = written([[1, 2, 3]], interactions(1, 3, [(0, 0)]))
    users, items = IdMap(["u0"]), IdMap(["new", "i2", "i1", "i0"])
    test = Interactions.from_arrays(users, items, [0, 0], [0, 1])
    result = evaluate(model, test, config=CONFIG, negatives=np.array([[2]], np.int32))
    assert result.metrics["recall_at_1"] == 0.5
    assert result.metrics["sampled_hit_rate_at_1"] == 0.5


def test_a_user_whom_training_never_met_gets_popularity_and_is_cold(written, interactions):
    model = written([[1, 2, 3], [1, 2, 3]], interactions(2, 3, [(0, 0), (1, 0)]))
    test = Interactions.from_arrays(IdMap(["unknown"]), model.items, [0], [0])
    result = evaluate(model, test, config=CONFIG)
    assert result.metrics["cold_hit_rate_at_1"] == 1
    assert result.lists[0, 0] == 0


def test_the_order_of_ids_in_the_test_does_not_matter(written, interactions):
    train = interactions(2, 3, [(0, 0), (1, 1)])
    model = written([[0, 1, 2], [0, 1, 2]], train)
    test = Interactions.from_arrays(IdMap(["u1", "u0"]), IdMap(["i2", "i1", "i0"]), [0, 1], [2, 0])
    result = evaluate(model, test, config=CONFIG, negatives=np.array([[0], [1]], np.int32))
    ours = dict(zip(result.per_user["user_id"], result.per_user["mrr_at_2"], strict=True))
    sampled = dict(zip(result.per_user["user_id"], result.per_user["sampled_hit_rate_at_1"], strict=True))
    assert ours == {"u1": 0.5, "u0": 1}
    assert sampled == {"u1": 0, "u0": 1}


def test_constant_scores_look_as_bad_as_they_are_among_candidates(interactions, written):
    model = written(np.zeros((2, 9)), interactions(2, 9, [(0, 0), (1, 0)]))
    negatives = np.tile(np.arange(2, 9, dtype=np.int32), (2, 1))
    found = evaluate(model, interactions(2, 9, [(0, 1), (1, 1)]), config=CONFIG, negatives=negatives).metrics
    assert [found[f"sampled_{name}_at_3"] for name in ("ndcg", "hit_rate", "mrr")] == [0, 0, 0]


def test_each_test_item_is_ranked_alone_among_the_candidates_and_the_user_is_their_mean(interactions, written):
    model = written([[0, 5, 3, 1, 4, 2]], interactions(1, 6, [(0, 0)]))
    test = interactions(1, 6, [(0, 1), (0, 3)])
    found = evaluate(model, test, config=CONFIG, negatives=np.array([[2, 4, 5]], np.int32)).metrics
    assert found["sampled_hit_rate_at_1"] == 0.5  # item 1 is ahead of all, item 3 behind all three
    assert found["sampled_mrr_at_3"] == 0.5


def test_empty_places_and_test_items_among_the_candidates_do_not_count(interactions, written):
    model = written([[0, 5, 5, 1, 4, 2]], interactions(1, 6, [(0, 0)]))
    test = interactions(1, 6, [(0, 1), (0, 2)])
    result = evaluate(model, test, config=CONFIG, negatives=np.array([[1, 2, 4, -1]], np.int32))
    assert result.metrics["sampled_hit_rate_at_1"] == 1


def test_a_user_without_candidates_is_left_out_of_the_sampled_metrics(interactions, written):
    model = written([[0, 1, 2], [0, 1, 2]], interactions(2, 3, [(0, 0), (1, 0)]))
    negatives = np.array([[-1], [2]], np.int32)
    result = evaluate(model, interactions(2, 3, [(0, 1), (1, 1)]), config=CONFIG, negatives=negatives)
    assert result.per_user["sampled_ndcg_at_1"].isna().tolist() == [True, False]
    assert result.metrics["sampled_ndcg_at_1"] == 0


def test_the_intervals_are_those_of_the_per_user_values(interactions, written):
    random = np.random.default_rng(0)
    train = interactions(60, 30, [(u, 0) for u in range(60)])
    model = written(random.random((60, 30)), train)
    result = evaluate(model, interactions(60, 30, [(u, 1 + u % 29) for u in range(60)]), config=CONFIG, seed=5)
    expected = bootstrap_interval(result.per_user["hit_rate_at_3"], resamples=200, seed=5)
    assert result.intervals["hit_rate_at_3"] == pytest.approx(expected)
    assert result.intervals["cold_hit_rate_at_3"] == pytest.approx(expected)
    low, high = result.intervals["novelty_at_3"]
    assert low <= result.metrics["novelty_at_3"] <= high
    without = CONFIG.model_copy(update={"bootstrap": 0})
    briefly = evaluate(model, interactions(60, 30, [(u, 1 + u % 29) for u in range(60)]), config=without, seed=5)
    assert briefly.metrics == result.metrics
    assert briefly.intervals == {}


def test_items_that_may_not_be_shown_are_outside_of_coverage(interactions, written):
    train = interactions(1, 4, [(0, 0)])
    catalogue = Catalogue.empty(train.items)
    model = written(np.ones((1, 4)), train)
    model.catalogue_ = Catalogue(
        train.items, catalogue.titles, catalogue.texts, catalogue.categories, np.array([True, True, True, False])
    )
    found = evaluate(model, interactions(1, 4, [(0, 1)]), config=CONFIG).metrics
    assert found["coverage_at_3"] == pytest.approx(2 / 3)


def test_latency_is_that_of_the_configured_number_of_single_lists(interactions, written, monkeypatch):
    model = written(np.ones((2, 12)), interactions(2, 12, [(0, 0), (1, 0)]))
    asked = []
    answer = model.recommend
    monkeypatch.setattr(model, "recommend", lambda user_id, k: (asked.append((user_id, k)), answer(user_id, k)))
    config = EvaluationConfig(cutoffs=(3,), latency_requests=20)
    found = evaluate(model, interactions(2, 12, [(0, 1), (1, 1)]), config=config).metrics
    assert 0 < found["latency_p50_ms"] <= found["latency_p95_ms"]
    assert len(asked) == 20 + 3
    assert set(asked) == {("u0", 10), ("u1", 10)}


def test_lists_longer_than_the_catalogue_end_with_empty_places(interactions, written):
    model = written(np.ones((1, 3)), interactions(1, 3, [(0, 0)]))
    result = evaluate(model, interactions(1, 3, [(0, 2)]), config=EvaluationConfig(latency_requests=0))
    assert result.lists[0, :3].tolist() == [1, 2, -1]
    assert result.metrics["precision_at_20"] == 1 / 20


def test_a_test_without_positive_rows_is_refused(interactions, written):
    model = written(np.ones((1, 3)), interactions(1, 3, [(0, 0)]))
    with pytest.raises(TooLittleData, match="1 test rows, none of them positive: an evaluation needs one"):
        evaluate(model, interactions(1, 3, [(0, 1)], [-1]), config=CONFIG)


def test_negatives_of_another_split_are_refused(interactions, written):
    model = written(np.ones((1, 3)), interactions(1, 3, [(0, 0)]))
    with pytest.raises(DataError, match="negatives for 2 users, test rows over 1"):
        evaluate(model, interactions(1, 3, [(0, 1)]), config=CONFIG, negatives=np.zeros((2, 1), np.int32))


@pytest.mark.parametrize("cutoffs", [(), (0, 5)])
def test_cutoffs_that_are_none_are_refused(interactions, written, cutoffs):
    model = written(np.ones((1, 3)), interactions(1, 3, [(0, 0)]))
    with pytest.raises(ConfigError, match="cutoffs are numbers from 1"):
        evaluate(model, interactions(1, 3, [(0, 1)]), config=EvaluationConfig(cutoffs=cutoffs))


def test_the_configuration_in_the_repository_is_valid_and_complete():
    values = read_yaml(root() / "conf" / "evaluation.yaml")
    check(EvaluationConfig, values, "conf/evaluation.yaml")
    assert set(values) == set(EvaluationConfig.model_fields)


@pytest.mark.data
def test_popularity_reaches_the_published_numbers_on_the_split_of_the_ncf_paper(shared_data, tmp_path):
    data = check(DataConfig, dataset.config_of(str(shared_data / "ml-1m-ncf")), "ml-1m-ncf")
    split = dataset.load(data, cache=tmp_path).split
    model = Popularity().fit(split.train_and_validation)
    config = EvaluationConfig(latency_requests=0)
    found = evaluate(model, split.test, config=config, negatives=split.negatives).metrics
    assert found["n_users"] == 6040
    assert found["sampled_hit_rate_at_10"] == pytest.approx(0.4535, abs=0.002)
    assert found["sampled_ndcg_at_10"] == pytest.approx(0.2543, abs=0.002)


def sampled_cases():
    """40 users with two items each in training and one in the test."""
    users, items = IdMap([f"u{n:02d}" for n in range(40)]), IdMap([f"i{n}" for n in range(12)])
    known = np.repeat(np.arange(40), 2)
    train = Interactions.from_arrays(users, items, known, (known * 3 + np.tile([0, 1], 40)) % 12)
    test = Interactions.from_arrays(users, items, np.arange(40), (np.arange(40) * 3 + 5) % 12)
    return Popularity().fit(train), test


def test_a_sample_of_the_users_is_the_same_for_every_seed_and_says_what_it_is_of():
    model, test = sampled_cases()
    config = CONFIG.model_copy(update={"users": 15})

    first, other, whole = (
        evaluate(model, test, config=one, seed=seed) for one, seed in ((config, 0), (config, 7), (CONFIG, 0))
    )

    assert first.per_user["user_id"].tolist() == other.per_user["user_id"].tolist()
    assert (first.metrics["n_users"], first.metrics["sampled_from_users"]) == (15, 40)
    assert "sampled_from_users" not in whole.metrics
    asked = whole.per_user.set_index("user_id").loc[first.per_user["user_id"]].reset_index()
    assert asked.equals(first.per_user)
    assert first.intervals["recall_at_3"] == bootstrap_interval(asked["recall_at_3"], resamples=200)


def test_a_sample_of_all_users_or_more_is_all_of_them():
    model, test = sampled_cases()

    for most in (40, 41):
        metrics = evaluate(model, test, config=CONFIG.model_copy(update={"users": most})).metrics
        assert metrics["n_users"] == 40
        assert "sampled_from_users" not in metrics
