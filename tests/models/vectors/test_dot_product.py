"""Models of dot products: when they take an index, that it travels with them, and what is said without FAISS."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from recstage import bundle
from recstage.errors import BundleError, ConfigError
from recstage.models.factorization.als import ALS, ALSParams
from recstage.models.factorization.reverse_als import ReverseALS
from recstage.models.hybrid import Hybrid
from recstage.models.vectors import dot_product
from tests.models.synthetic_blocks import HIDDEN, active_users, blocks, catalogue

SMALL = {"factors": 6, "regularization": 2.0, "alpha": 5.0, "iterations": 20, "length_discount": 0.5}


def fitted(kind: type[ALS] = ALS, **params: object) -> ALS:
    rows = blocks().transposed() if kind.reverse else blocks()
    return kind(ALSParams(**{**SMALL, **params})).fit(rows, seed=1, catalogue=None if kind.reverse else catalogue())


def needs_faiss() -> None:
    pytest.importorskip("faiss", reason="FAISS is an extra: pip install recstage[faiss]")


@pytest.mark.parametrize("kind", [ALS, ReverseALS])
def test_an_index_lists_what_exact_search_lists(kind: type[ALS]) -> None:
    needs_faiss()
    exact, indexed = fitted(kind, index="exact"), fitted(kind, index="faiss")
    assert (exact.indexed, indexed.indexed) == (False, True)
    assert indexed.index_recall == 1.0, "so few vectors are one group"
    users = exact.train_.all_users
    for exclude_seen in (True, False):
        ours, theirs = (model.rank(users, 5, exclude_seen=exclude_seen) for model in (indexed, exact))
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-3, atol=1e-5)
        for row in range(0, len(users), 7):  # of nearly equal items one may stand for the other
            own = indexed.scores_of(users.take([row]), ours.items[row])[0]
            np.testing.assert_allclose(ours.scores[row], own, rtol=1e-3, atol=1e-5)


def test_exclusions_and_unavailable_items_leave_full_lists() -> None:
    needs_faiss()
    model, n = fitted(index="faiss"), blocks().n_items
    listed = model.recommend(active_users()[0], n, exclude_seen=False, exclude=["thing-1-1", "thing-2-2"]).item_ids
    assert sorted(listed) == sorted(set(blocks().items.ids) - {HIDDEN, "thing-1-1", "thing-2-2"})


@pytest.mark.parametrize(("index", "items", "taken"), [("auto", 40, True), ("auto", 41, False), ("exact", 1, False)])
def test_the_size_of_the_catalogue_chooses(
    index: str, items: int, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_faiss()
    monkeypatch.setattr(dot_product, "INDEXED_FROM", items)
    assert blocks().n_items == 40
    assert fitted(index=index).indexed is taken


def test_the_index_is_part_of_the_bundle_and_its_recall_stays(tmp_path: Path) -> None:
    needs_faiss()
    model = fitted(index="faiss")
    bundle.save(model, tmp_path / "bundle")
    loaded = bundle.load(tmp_path / "bundle")
    bundle.verify_answers(loaded)
    assert loaded.model.indexed
    assert loaded.model.index_recall == model.index_recall
    assert loaded.model.recommend_batch(active_users(), 5) == model.recommend_batch(active_users(), 5)


def test_fitting_again_forgets_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_faiss()
    monkeypatch.setattr(dot_product, "INDEXED_FROM", 1)
    model = fitted()
    monkeypatch.setattr(dot_product, "INDEXED_FROM", 41)
    assert model.indexed
    assert not model.fit(blocks(), seed=1).indexed


def test_a_composite_is_as_good_as_the_worst_index_of_its_parts() -> None:
    needs_faiss()
    parts = {"good": fitted(index="faiss"), "exact": fitted(index="exact"), "worse": fitted(index="faiss")}
    assert parts["worse"].index_ is not None
    parts["worse"].index_.recall = 0.9
    composite = Hybrid()
    composite.parts_ = parts
    assert composite.index_recall == 0.9
    assert fitted(index="exact").index_recall is None


# -- without FAISS ----------------------------------------------------------------------------------------------------


@pytest.fixture
def without_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(dot_product, "find_spec", lambda name: None)


def test_a_large_catalogue_is_told_of_the_extra(
    without_faiss: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dot_product, "INDEXED_FROM", 40)
    with caplog.at_level(logging.WARNING):
        assert not fitted().indexed
    assert (
        "als: each of 40 items is scored for every list; an index is faster: pip install 'recstage[faiss]'"
        in caplog.text
    )


def test_an_index_that_is_asked_for_is_refused(without_faiss: None) -> None:
    with pytest.raises(ConfigError, match="FAISS is not installed"):
        fitted(index="faiss")


@pytest.mark.parametrize("index", ["auto", "faiss"])
def test_a_bundle_with_an_index_is_served_exactly_unless_the_index_is_asked_for(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needs_faiss()
    monkeypatch.setattr(dot_product, "INDEXED_FROM", 40)
    model = fitted(index=index)
    bundle.save(model, tmp_path / "bundle")
    theirs = model.recommend_batch(active_users(), 2)
    monkeypatch.setitem(sys.modules, "faiss", None)
    if index == "faiss":
        with pytest.raises(BundleError, match="FAISS is not installed"):
            bundle.load(tmp_path / "bundle")
        return
    with caplog.at_level(logging.WARNING):
        loaded = bundle.load(tmp_path / "bundle").model
    assert "als has an index, but each of its 40 items is scored: FAISS is not installed" in caplog.text
    ours = loaded.recommend_batch(active_users(), 2)
    assert [one.item_ids for one in ours] == [one.item_ids for one in theirs]
