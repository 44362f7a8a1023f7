"""Small runs of `python -m experiments.benchmarks scale-index` and `scale-data`: what they measure is what they say."""

import numpy as np
import pytest

from experiments.benchmarks.scale import data, index, vectors


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


def test_growth_is_fitted_to_every_size_and_held_to_its_goal_from_a_tenth_on(monkeypatch, tmp_path):
    def job(name, folder, size, memory=""):
        fit = {"fit_seconds": 2.0, "fit_processor_seconds": 4.0, "users": 10.0}
        return {"seconds": size**1.2 / 1e6, "processor_seconds": 3.0 * size**0.9 / 1e6, "peak_mb": 700.0, **fit}

    monkeypatch.setattr(data, "_job", job)
    found = list(data.data_figures(tmp_path, [1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000]))
    slopes = {one.name: one for one in found if one.name.startswith("slope")}
    assert {name: (round(one.value, 6), one.reached, one.note) for name, one in slopes.items()} == {
        "slope of time from 1,000,000 to 100,000,000 events": (1.2, True, "of 5 sizes"),
        "slope of processor time from 1,000,000 to 100,000,000 events": (0.9, True, "of 5 sizes"),
        "slope of time from 10,000,000 to 100,000,000 events": (1.2, False, "of 3 sizes"),
        "slope of processor time from 10,000,000 to 100,000,000 events": (0.9, True, "of 3 sizes"),
    }
    memory = [(one.note, one.goal and one.goal.words) for one in found if one.name == "  greatest memory"]
    assert memory == [
        ("memory=1100MB", None),
        ("memory=1100MB", None),
        ("memory=1200MB", "<= 1200"),
        ("memory=3GiB", None),
        ("memory=8GiB", "<= 8192"),
    ]
