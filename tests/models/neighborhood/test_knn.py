"""KNN: similarities by hand, and scores by the formulas, written out densely."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from recstage.config import model_config_of
from recstage.data.interactions import Interactions, Users
from recstage.models import build
from recstage.models.neighborhood.knn import Knn, KnnParams
from recstage.models.neighborhood.neighbors import Rows
from recstage.models.neighborhood.weighting import Weighting
from recstage.models.recent_items import recent
from recstage.steps.train_settings import settings_from
from tests.models.synthetic_blocks import blocks, disguised, group_of, ids


def random_rows(n: int = 40, m: int = 30, seed: int = 0) -> sparse.csr_matrix:
    return sparse.random(n, m, 0.2, format="csr", dtype=np.float32, random_state=seed)


def random_interactions(n_users: int = 30, n_items: int = 25, seed: int = 0) -> Interactions:
    random = np.random.default_rng(seed)
    user, item = np.nonzero(random.random((n_users, n_items)) < 0.3)
    weight = np.where(
        random.random(len(user)) < 0.2, 0, random.uniform(0.5, 2.0, len(user))
    )  # ties would be settled by chance
    return Interactions.from_arrays(
        ids("u", n_users), ids("i", n_items), user, item, weight, random.permutation(len(user))
    )


def cosines(rows: np.ndarray, shrinkage: float = 0.0) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1)
    scale = length[:, None] * length + shrinkage
    item_similarity = np.divide(rows @ rows.T, scale, out=np.zeros_like(scale), where=scale > 0)
    np.fill_diagonal(item_similarity, 0)
    return item_similarity


def strongest(item_similarity: np.ndarray, k: int) -> np.ndarray:
    """Only the k highest of each row."""
    kept = np.zeros_like(item_similarity)
    for row, values in enumerate(item_similarity):
        best = np.argsort(-values, kind="stable")[:k]
        kept[row, best] = values[best]
    return kept


def test_neighbours_by_hand() -> None:
    rows = sparse.csr_matrix(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]], np.float32))
    found, similarity = Rows(rows).nearest(2)
    half = np.sqrt(0.5)
    assert found.tolist() == [[1, 2], [0, -1], [0, -1], [-1, -1]]
    np.testing.assert_allclose(similarity, [[half, 0.5], [half, 0], [0.5, 0], [0, 0]], atol=1e-6)


def test_shrinkage_by_hand() -> None:
    rows = sparse.csr_matrix(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]], np.float32))
    found, similarity = Rows(rows, shrinkage=2.0).nearest(1)
    assert found.tolist() == [[1], [0], [0]]
    np.testing.assert_allclose(similarity[:, 0], [1 / (np.sqrt(2) + 2), 1 / (np.sqrt(2) + 2), 1 / (2 + 2)], atol=1e-6)


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("k", [1, 5, 100])
def test_compiled_and_own_search_find_the_same(k: int, cosine: bool) -> None:
    rows = Rows(random_rows(), cosine=cosine)
    compiled, own = rows.nearest(k), rows.similar(rows.rows, k, itself=np.arange(40))
    np.testing.assert_array_equal(compiled[0], own[0])
    np.testing.assert_allclose(compiled[1], own[1], atol=1e-6)


def test_tfidf_by_hand() -> None:
    rows = sparse.csr_matrix(np.array([[4, 1], [0, 1], [0, 1]], np.float32))
    weighted = Weighting.of(rows, "tfidf")(rows).toarray()
    rare, common = np.log(4 / 2) + 1, np.log(4 / 4) + 1
    np.testing.assert_allclose(weighted, [[2 * rare, common], [0, common], [0, common]], rtol=1e-6)


def test_bm25_by_hand() -> None:
    rows = sparse.csr_matrix(np.array([[3, 1], [0, 2]], np.float32))
    weighted = Weighting.of(rows, "bm25", k1=1.0, b=0.5)(rows).toarray()
    rare, common = np.log(1 + 1.5 / 1.5), np.log(1 + 0.5 / 2.5)
    long, short = 0.5 + 0.5 * 4 / 3, 0.5 + 0.5 * 2 / 3  # lengths 4 and 2, 3 on average
    expected = [[3 * 2 / (long + 3) * rare, 1 * 2 / (long + 1) * common], [0, 2 * 2 / (short + 2) * common]]
    np.testing.assert_allclose(weighted, expected, rtol=1e-6)


def test_the_row_of_an_unknown_user_is_weighted_as_the_training_rows_were() -> None:
    rows = random_rows()
    for kind in ("none", "tfidf", "bm25"):
        weigh = Weighting.of(rows, kind)
        np.testing.assert_allclose(weigh(rows[7]).toarray(), weigh(rows)[7].toarray(), rtol=1e-6)


def test_the_nth_last_choice_is_divided_by_a_power_of_n() -> None:
    users = Users.unknown(6, [5, 2, 0, 3], weights=[1.0, 2.0, 0.0, 1.0])  # oldest first; one dismissed
    assert recent(users, 0.0).toarray().tolist() == [[0, 0, 2, 1, 0, 1]]
    np.testing.assert_allclose(recent(users, 1.0).toarray(), [[0, 0, 2 / 3, 1, 0, 1 / 4]])
    np.testing.assert_allclose(recent(users, 0.5).toarray(), [[0, 0, 2 / np.sqrt(3), 1, 0, 0.5]], rtol=1e-6)


@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
@pytest.mark.parametrize("weighting", ["none", "tfidf", "bm25"])
def test_by_item_scores_are_the_formulas(weighting: str, shrinkage: float) -> None:
    rows = random_interactions()
    params = KnnParams(
        by="item", neighbors=6, weighting=weighting, shrinkage=shrinkage, amplification=1.5, popularity_discount=0.4,
        recency_decay=0.7,
    )  # fmt: skip
    model = Knn(params).fit(rows)
    items = rows.matrix.T.tocsr()
    item_similarity = (
        strongest(cosines(Weighting.of(items, weighting)(items).toarray().astype(float), shrinkage), 6) ** 1.5
    )
    expected = recent(rows.all_users, 0.7).toarray() @ item_similarity.T * rows.item_counts.clip(1) ** -0.4
    np.testing.assert_allclose(model.score(rows.all_users), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.score(disguised(rows.all_users)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
def test_by_user_scores_are_the_formulas(shrinkage: float) -> None:
    rows = random_interactions()
    params = KnnParams(
        by="user", neighbors=4, shrinkage=shrinkage, amplification=2.0, popularity_discount=0.4, recency_decay=0.7,
        similarity_recency_decay=0.3,
    )  # fmt: skip
    model = Knn(params).fit(rows)
    item_similarity = strongest(cosines(recent(rows.all_users, 0.3).toarray().astype(float), shrinkage), 4) ** 2
    choices = recent(rows.all_users, 0.7).toarray()
    choices = choices / np.linalg.norm(choices, axis=1, keepdims=True).clip(1e-9)
    expected = item_similarity @ choices * rows.item_counts.clip(1) ** -0.4
    np.testing.assert_allclose(model.score(rows.all_users), expected, rtol=1e-4, atol=1e-5)


def test_by_user_an_unknown_user_is_scored_by_the_nearest_trained_users() -> None:
    rows = random_interactions()
    model = Knn(KnnParams(by="user", neighbors=3)).fit(rows)
    history = [2, 7, 11]
    query = np.zeros(25)
    query[history] = 1
    histories = rows.matrix.toarray().astype(float)
    item_similarity = histories @ query / (np.linalg.norm(histories, axis=1).clip(1e-9) * np.sqrt(3))
    kept = strongest(item_similarity[None], 3)[0]
    expected = kept @ (histories / np.linalg.norm(histories, axis=1, keepdims=True).clip(1e-9))
    np.testing.assert_allclose(model.score(Users.unknown(25, history))[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("by", ["user", "item"])
def test_the_contributions_of_neighbours_add_up_to_the_score(by: str) -> None:
    model = Knn(KnnParams(by=by, neighbors=20, popularity_discount=0.3, recency_decay=0.5)).fit(blocks())
    reason = model.why("user-33", "thing-2-4")
    assert reason.method == "knn"
    assert reason.score == pytest.approx(float(model.predict("user-33", ["thing-2-4"])[0]), rel=1e-4)
    assert reason.score == pytest.approx(sum(one.value for one in reason.contributions), rel=1e-4)
    assert {one.kind for one in reason.contributions} == {by}
    assert {group_of(one.name) for one in reason.contributions} == {2}


def test_neighbours_are_not_named_to_the_user() -> None:
    model = Knn(KnnParams(by="user", neighbors=14)).fit(blocks())
    reason = model.why("user-33", "thing-2-4")
    n, share = len(reason.contributions), model.train_.item_counts[model.items.find("thing-2-4")]
    assert reason.text.startswith(
        f"Of the 14 users most similar to you {n} ({n / 14:.0%}) chose it, of all "
        f"{share / model.train_.n_users:.0%}. What they and you chose: item thing-"
    )
    assert "user-" not in reason.text
    own = model.known(["user-33"]).items
    named = reason.text.partition("chose: ")[2].rstrip(".").replace(" and ", ", ").split(", ")
    assert {name.removeprefix("item ") for name in named} <= set(model.items.id_of(own))


def test_the_name_of_version_0_1_for_the_decay_in_similarities_still_works() -> None:
    assert KnnParams(likeness_decay=0.4) == KnnParams(similarity_recency_decay=0.4)
    assert build(model_config_of("knn"), likeness_decay=0.4).params.similarity_recency_decay == 0.4
    settings = settings_from("knn", "ml-100k", ["--model.params.likeness_decay", "0.4"])
    assert build(settings.model).params.similarity_recency_decay == 0.4


def test_by_item_and_by_user_need_no_neighbour_to_answer() -> None:
    rows = Interactions.from_arrays(ids("u", 2), ids("i", 3), [0, 1], [0, 1])
    for by in ("user", "item"):
        assert Knn(KnnParams(by=by)).fit(rows).score(rows.all_users).tolist() == [[0, 0, 0], [0, 0, 0]]
