import numpy as np
import pytest

from recstage.data.catalogue import Catalogue
from recstage.evaluation import diversity
from recstage.evaluation.diversity import co_occurrence_diversity, diversity_of, vector_diversity
from recstage.rerank import unit_rows


def slowly(lists, k, vectors):
    """Pair by pair, as the definition reads."""
    found = []
    for items in lists[:, :k]:
        known = [vectors[i] for i in items if i >= 0 and vectors[i].any()]
        pairs = [1 - known[a] @ known[b] for b in range(len(known)) for a in range(b)]
        found.append(np.mean(pairs) if pairs else np.nan)
    return found


def test_items_of_one_category_have_no_diversity_and_of_two_have_all():
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    lists = np.array([[0, 1], [0, 2]], np.int32)
    assert vector_diversity(lists, [2], vectors)[:, 0] == pytest.approx([0, 1])


def test_the_mean_is_over_the_pairs_of_the_list():
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert vector_diversity(np.array([[0, 1, 2]], np.int32), [3], vectors)[0, 0] == pytest.approx((0 + 1 + 1) / 3)


def test_an_item_of_which_nothing_is_known_is_left_out():
    vectors = np.array([[1, 0], [1, 0], [0, 0]], np.float32)
    lists = np.array([[0, 2, 1], [0, 2, -1]], np.int32)
    assert vector_diversity(lists, [3], vectors)[:, 0] == pytest.approx([0, np.nan], nan_ok=True)


def test_a_list_of_one_has_no_pairs_and_so_no_diversity():
    assert np.isnan(vector_diversity(np.array([[0, 1]], np.int32), [1], np.eye(2, dtype=np.float32))).all()


@pytest.fixture
def lists():
    random = np.random.default_rng(0)
    lists = np.argsort(random.random((50, 30)), axis=1)[:, :12].astype(np.int32)
    lists[random.random(50) < 0.3, 7:] = -1
    return lists


@pytest.mark.parametrize("at_once", [1 << 22, 100])
def test_vectors_give_what_the_definition_says(lists, at_once, monkeypatch):
    monkeypatch.setattr(diversity, "FLOATS_AT_ONCE", at_once)
    vectors = unit_rows(np.random.default_rng(1).normal(size=(30, 5)).astype(np.float32))
    vectors[3] = 0
    found = vector_diversity(lists, [12, 1, 5], vectors)
    for column, k in enumerate([12, 1, 5]):
        assert found[:, column] == pytest.approx(slowly(lists, k, vectors), abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("at_once", [1 << 17, 10])
def test_co_occurrence_is_the_cosine_of_the_binary_columns(lists, at_once, interactions, monkeypatch):
    monkeypatch.setattr(diversity, "WORDS_AT_ONCE", at_once)
    random = np.random.default_rng(2)
    liked = random.random((130, 30)) < random.random(30)
    liked[:, 4] = False
    train = interactions(130, 30, np.argwhere(liked), 3.5 * np.ones(liked.sum()))
    found = co_occurrence_diversity(lists, [12, 5, 1], train)
    columns = unit_rows(liked.T.astype(np.float32))
    for column, k in enumerate([12, 5, 1]):
        assert found[:, column] == pytest.approx(slowly(lists, k, columns), abs=1e-6, nan_ok=True)


def test_a_dismissal_is_no_co_occurrence(interactions):
    train = interactions(2, 2, [(0, 0), (0, 1), (1, 0), (1, 1)], [1, 1, 1, -1])
    assert co_occurrence_diversity(np.array([[0, 1]], np.int32), [2], train)[0, 0] == pytest.approx(1 - 1 / np.sqrt(2))


def test_beyond_a_number_of_people_a_sample_of_them_speaks(interactions, monkeypatch):
    monkeypatch.setattr(diversity, "MOST_USERS", 64)
    liked = np.random.default_rng(3).random((500, 2)) < 0.5
    train = interactions(500, 2, np.argwhere(liked))
    exact = 1 - (liked[:, 0] & liked[:, 1]).sum() / np.sqrt(liked[:, 0].sum() * liked[:, 1].sum())
    sampled = co_occurrence_diversity(np.array([[0, 1]], np.int32), [2], train)[0, 0]
    assert sampled != exact
    assert sampled == pytest.approx(exact, abs=0.2)


def test_categories_speak_before_the_model_and_the_model_before_co_occurrence(interactions, written):
    train = interactions(2, 2, [(0, 0), (1, 0), (1, 1)])
    lists = np.array([[0, 1]], np.int32)
    model = written(np.zeros((2, 2)), train)
    assert diversity_of(lists, [2], model)[1] == "co-occurrence"
    model.vectors = np.array([[2, 0], [3, 3]], np.float32)
    found, source = diversity_of(lists, [2], model)
    assert (source, found[0, 0]) == ("item vectors", pytest.approx(1 - 1 / np.sqrt(2)))
    empty = Catalogue.empty(train.items)
    categories = Catalogue(train.items, empty.titles, empty.texts, [("a", "b"), ("b",)], empty.available)
    found, source = diversity_of(lists, [2], model, categories)
    assert (source, found[0, 0]) == ("categories", pytest.approx(1 - 1 / np.sqrt(2)))
