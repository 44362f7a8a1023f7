"""Content: similarity by words and categories, users and items unknown to training, and what it refuses."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions, Users
from recstage.errors import ConfigError, TooLittleData
from recstage.models.content.content_features import Description
from recstage.models.content.model import Content, ContentParams
from recstage.models.content.text_svd import ItemFeatures
from tests.models.synthetic_blocks import blocks, catalogue, group_of, ids

UNKNOWN_USER = Users.unknown(40)


def described(**columns: list) -> Catalogue:
    """Items i000, i001, ... with the given columns."""
    items = ids("i", len(next(iter(columns.values()))))
    return Catalogue.from_frame(pd.DataFrame({"item_id": items.ids, **columns}), items)


def new_items(*items: tuple[str, list[str]]) -> Catalogue:
    """Items unknown to training: a text and categories each."""
    return described(text=[text for text, _ in items], categories=[names for _, names in items])


def fitted(**params: object) -> Content:
    return Content(ContentParams(**params)).fit(blocks(), catalogue=catalogue())


def scores_of_new(model: Content, user_id: str, items: Catalogue) -> np.ndarray:
    """One user's scores of items unknown to training, as the service computes them."""
    return (model.profiles(model.known([user_id])) @ model.embed_items(items).T).toarray()[0]


def test_similarity_by_hand() -> None:
    texts = ["red apple", "green apple", "green pear", "stone"]  # 'stone' and 'red' are in one text alone
    rows = Description.learn(described(text=texts), category_share=0.0, max_words=100).of(described(text=texts))
    apple = np.log(5 / 3) + 1  # both words are in two texts, so both weigh the same
    assert apple == pytest.approx(np.log((4 + 1) / (2 + 1)) + 1)
    item_similarity = (rows @ rows.T).toarray()
    half = np.sqrt(0.5)
    np.testing.assert_allclose(item_similarity[:3, :3], [[1, half, 0], [half, 1, half], [0, half, 1]], atol=1e-6)
    assert not item_similarity[3].any()


def test_category_share_is_the_weight_of_categories_in_the_similarity() -> None:
    items = described(text=["a1 b1", "a1 b1", "c1 d1", "c1 d1"], categories=[["x"], ["y"], ["x"], ["y"]])
    for share in (0.0, 0.3, 1.0):
        rows = Description.learn(items, category_share=share, max_words=100).of(items)
        same_text, same_category = (rows[0] @ rows[1].T).toarray()[0, 0], (rows[0] @ rows[2].T).toarray()[0, 0]
        assert same_text == pytest.approx(1 - share, abs=1e-6)
        assert same_category == pytest.approx(share, abs=1e-6)


def test_the_most_frequent_words_are_kept() -> None:
    texts = ["apple pear", "apple pear", "apple", "plum", "plum"]
    assert Description.learn(described(text=texts), category_share=0.5, max_words=1).words == ("apple",)
    assert Description.learn(described(text=texts), category_share=0.5, max_words=2).words == ("apple", "pear")


def test_new_items_are_scored_from_their_text_without_training() -> None:
    model = fitted()
    new = new_items(("An orbit around a planet", []), ("The spoon in the oven", []), ("", ["group 3"]), ("Xyzzy", []))
    for user_id in ("user-3", "user-20", "user-50"):
        scores = scores_of_new(model, user_id, new)
        expected = {0: 0, 1: 1, 3: 2}[group_of(user_id)]
        assert scores.argmax() == expected
        assert scores[3] == 0
    trained = model.score(model.known(["user-3"]))[0]
    same = scores_of_new(model, "user-3", catalogue())
    np.testing.assert_allclose(same, trained, atol=1e-6)


def test_declared_preferences_serve_users_without_a_history() -> None:
    model = fitted()
    best = model.score_declared(UNKNOWN_USER, [["group 2"]])[0].argsort()[-10:]
    assert {group_of(model.items.ids[item]) for item in best} == {2}
    assert not model.score_declared(UNKNOWN_USER, [["no such category"]]).any()


def test_declared_preferences_add_to_a_history() -> None:
    history = Users.unknown(40, blocks().items.index_of(["thing-0-1"]))

    def share_of_group_2(weight: float) -> float:
        scores = fitted(preference_weight=weight).score_declared(history, [["group 2"]])[0]
        groups = [group_of(item) for item in blocks().items.ids]
        return float(scores[np.equal(groups, 2)].sum() / scores.sum())

    assert share_of_group_2(0.0) < 0.1  # all titles share a word
    assert 0.2 < share_of_group_2(0.5) < share_of_group_2(2.0)


def test_a_catalogue_without_a_word_is_refused() -> None:
    with pytest.raises(
        TooLittleData, match="a catalogue without texts and categories: content describes items by them"
    ):
        Content().fit(blocks())


def test_users_whose_choices_have_no_description_get_the_most_popular() -> None:
    items = described(text=["apple tree", "apple pie", "", ""])
    rows = Interactions.from_arrays(ids("u", 2), items.items, [0, 1], [0, 2])
    model = Content().fit(rows, catalogue=items)
    assert [one.method for one in model.recommend_batch(["u000", "u001"], 2)] == ["content", "popularity"]


def test_categories_alone_and_text_alone_suffice() -> None:
    likes = Interactions.from_arrays(ids("u", 1), ids("i", 4), [0], [0])
    for items in (described(categories=[["x"], ["x"], ["y"], ["y"]]), described(text=["a1 b1", "b1 a1", "c1", "c1"])):
        assert Content().fit(likes, catalogue=items).recommend("u000", 1).item_ids == ["i001"]


def test_words_and_categories_in_common_explain() -> None:
    reason = fitted(category_share=0.4).why("user-50", "thing-3-1")
    assert {one.name for one in reason.contributions} == {"thing", "glacier", "summit", "rope", "group 3"}
    assert reason.text.startswith("It has in common with what you chose: group 3 (40%), ")
    assert reason.score == pytest.approx(float(fitted().predict("user-50", ["thing-3-1"])[0]), abs=1e-6)


def test_an_encoder_without_its_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match="encoder 'all-MiniLM-L6-v2': sentence embeddings need the package"):
        fitted(encoder="all-MiniLM-L6-v2")


def test_an_encoder_replaces_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Encoder:
        """One dimension for each of four words: 1 if the text holds it."""

        def __init__(self, name: str, device: str) -> None:
            assert (name, device) == ("four-words", "cpu")

        def encode(self, texts: list[str], convert_to_numpy: bool) -> np.ndarray:
            words = ("orbit", "oven", "tempo", "rope")
            return np.array([[float(word in text) for word in words] for text in texts], np.float32)

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Encoder))
    model = fitted(encoder="four-words", category_share=0.0)
    assert group_of(model.recommend("user-20", 1).item_ids[0]) == 1
    assert scores_of_new(model, "user-20", new_items(("oven", []), ("rope", []))).tolist() == [1, 0]
    restored = Content.restore(model.params, model.state(), model.train_, model.catalogue_)
    np.testing.assert_array_equal(restored.score(blocks().all_users), model.score(blocks().all_users))
    assert model.why("user-20", "thing-1-1").text == "It has in common with what you chose: meaning (100%)."


def test_words_of_any_script_survive_saving() -> None:
    items = described(text=["čokoláda 東京 мост", "čokoláda 東京 мост"], categories=[["ženy\u2028"], ["děti"]])
    fitted_to = Description.learn(items, category_share=0.5, max_words=10)
    again = Description.from_state(fitted_to.state())
    assert again.words == fitted_to.words == ("čokoláda", "мост", "東京")
    assert again.categories == fitted_to.categories == ("děti", "ženy\u2028")


def test_directions_that_texts_do_not_span_have_no_part_in_a_new_text():
    """Two different texts, and four directions asked for: two of them are rounding."""
    known = described(text=["red apple", "green pear", "apple red", "pear green", "red apple", "green pear"])
    features = ItemFeatures.learn(known, 4, 1)
    assert np.count_nonzero(features.scale) == 2
    assert np.abs(features.of(described(text=["red pear", "green apple", "apple"]))).max() < 10
