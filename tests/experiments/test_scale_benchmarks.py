"""A small run of `python -m experiments.benchmarks scale-index`: what it measures is what it says."""

import numpy as np
import pytest

from experiments.benchmarks.scale import index, vectors


def test_the_index_is_measured_for_each_kind_of_vectors_and_each_size(monkeypatch):
    pytest.importorskip("faiss", reason="FAISS is an extra: pip install recstage[faiss]")
    monkeypatch.setattr(vectors, "USERS", 150)
    monkeypatch.setattr(index, "QUERIES", 100)
    monkeypatch.setattr(index, "ASKED", 10)
    found = list(index.index_figures([500, 2000], seed=0))
    assert sum(one.name.endswith("processor time of building") for one in found) == 2 * len(vectors.KINDS)
    recalls = {one.name: one for one in found if one.goal is not None}
    assert set(recalls) == {"  recall@100, seen items left out", "  p99 of a list"}
    structured = [one for one in found if "recall@100" in one.name and "seen" in one.name and one.goal is not None]
    assert len(structured) == len(vectors.KINDS) - 1
    assert all(0.9 < one.value <= 1 for one in structured)
    for one in found:
        if "a filter leaves" in one.name and "recall" in one.name:
            assert one.note == "full lists: 100%"


@pytest.mark.parametrize("kind", vectors.KINDS)
def test_the_same_seed_makes_the_same_vectors(kind, monkeypatch):
    monkeypatch.setattr(vectors, "USERS", 50)
    ours, theirs = (vectors.KINDS[kind](1000, 3).targets_.all() for _ in range(2))
    np.testing.assert_array_equal(ours, theirs)
    assert ours.shape == (1000, vectors.FACTORS)
