"""The real data sets hold what their authors say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recstage.config import DataConfig, check
from recstage.data.dataset import Dataset, config_of, load

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def ncf(shared_data: Path, cache: Path) -> Dataset:
    return loaded("ml-1m-ncf", cache)


def loaded(name: str, cache: Path) -> Dataset:
    return load(check(DataConfig, config_of(name), name), cache=cache)


def test_movielens_1m_in_the_paper_s_split(ncf: Dataset) -> None:
    report = ncf.report

    assert (report["users"], report["items"], report["pairs"]) == (6040, 3706, 1_000_209)
    assert (report["validation"], report["test"]) == (6040, 6040)
    assert report["train"] == 1_000_209 - 2 * 6040
    assert report["dropped"] == {}
    assert not ncf.time_is_clock


def test_its_candidates_are_99_for_everybody_and_hardly_ever_touched(ncf: Dataset) -> None:
    split = ncf.split
    assert split.negatives is not None
    assert split.negatives.shape == (6040, 99)
    assert (split.negatives >= 0).all()
    seen = split.train_and_validation.union(split.test).all_users.seen.toarray()
    # of 597,960 candidates the rebuilt files contradict their own pairs in 156
    assert np.take_along_axis(seen, split.negatives.astype(np.int64), axis=1).sum() == 156


def test_its_films_are_described_under_the_authors_ids(ncf: Dataset) -> None:
    catalogue = ncf.catalogue
    item = int(catalogue.items.index_of(["0"])[0])  # 0 is MovieLens's 1193

    assert catalogue.titles[item] == "One Flew Over the Cuckoo's Nest"
    assert "Drama" in catalogue.categories[item]
    assert ncf.report["items_described"] > 3690


def test_movielens_1m_without_ratings_and_its_films(shared_data: Path, cache: Path) -> None:
    config = check(DataConfig, config_of(str(shared_data / "ml-1m-implicit")), "implicit")

    dataset = load(config, cache=cache)

    assert (dataset.report["users"], dataset.report["items"], dataset.report["pairs"]) == (6040, 3706, 1_000_209)
    assert not dataset.time_is_clock
    first = int(dataset.catalogue.items.index_of(["1"])[0])
    assert dataset.catalogue.titles[first] == "Toy Story (1995)"
    assert dataset.catalogue.categories[first] == ("Animation", "Children's", "Comedy")


def test_movielens_100k_from_its_archive_cut_in_time(shared_data: Path, cache: Path) -> None:
    dataset = loaded("ml-100k", cache)

    report, split = dataset.report, dataset.split
    assert (report["users"], report["items"], report["pairs"]) == (943, 1682, 100_000)
    assert report["train"] + report["validation"] + report["test"] == 100_000
    assert report["test"] == pytest.approx(20_000, abs=20)
    assert split.train.timestamp.max() < split.validation.timestamp.min()
    assert split.validation.timestamp.max() < split.test.timestamp.min()
    assert dataset.time_is_clock


def test_an_archive_by_its_path_is_the_same_data(shared_data: Path, cache: Path) -> None:
    values = config_of(str(shared_data / "ml-100k.zip")) | {"split": {"method": "temporal"}}

    assert load(check(DataConfig, values, "zip"), cache=cache).fingerprint == loaded("ml-100k", cache).fingerprint
