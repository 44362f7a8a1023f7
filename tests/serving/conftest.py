"""A tiny catalogue, fitted models as bundles on disk, a pointer set by the test, and an application around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from recstage import bundle
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.models.base import Recommender
from recstage.models.baselines.popularity import Popularity
from recstage.models.factorization.als import ALS, ALSParams
from serving.app import create_app
from serving.interfaces import Dependencies
from serving.models.repository import ProductionVersion
from serving.settings import ServingSettings
from tests.serving.doubles import FakePointer

N_USERS, N_ITEMS = 60, 40


@pytest.fixture(scope="session")
def interactions() -> Interactions:
    """60 users in three groups that each like a third of 40 items, and item i0 that all like."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(N_USERS):
        own = [item for item in range(1, N_ITEMS) if item % 3 == user % 3]
        liked = [0, *rng.choice(own, size=6, replace=False).tolist()]
        rows += [(f"u{user}", f"i{item}", 100 * user + rank) for rank, item in enumerate(liked)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    return Interactions.from_frame(frame)


@pytest.fixture(scope="session")
def catalogue(interactions: Interactions) -> Catalogue:
    """Titles, and the item's third as its category; i39 is unavailable."""
    ids = interactions.items.ids
    frame = pd.DataFrame(
        {
            "item_id": ids,
            "title": [f"Title of {item}" for item in ids],
            "text": [f"about group{int(item[1:]) % 3} things" for item in ids],
            "categories": [[f"c{int(item[1:]) % 3}"] for item in ids],
            "available": [item != "i39" for item in ids],
        }
    )
    return Catalogue.from_frame(frame, interactions.items)


@pytest.fixture(scope="session")
def als(interactions: Interactions, catalogue: Catalogue) -> ALS:
    params = ALSParams(factors=8, regularization=1.0, iterations=5)
    return ALS(params).fit(interactions, catalogue=catalogue, seed=1)


@pytest.fixture(scope="session")
def popularity(interactions: Interactions, catalogue: Catalogue) -> Popularity:
    return Popularity().fit(interactions, catalogue=catalogue)


@pytest.fixture
def stage(tmp_path: Path) -> Callable[..., ProductionVersion]:
    """Writes a model as the bundle of a version."""

    def make(model: Recommender, version: str, **known: Any) -> ProductionVersion:
        folder = tmp_path / "bundles" / version
        bundle.save(model, folder, metadata={"data": "tiny"})
        return ProductionVersion("recommender", version, folder, **known)

    return make


def settings_with(tmp_path: Path, **values: Any) -> ServingSettings:
    """Settings for a test: its own folder, no registry, no database."""
    return ServingSettings(
        **{
            "bundle_dir": tmp_path / "serving",
            "follow_registry": False,
            "database_url": "",
            "poll_seconds": 0.2,
            **values,
        }
    )


@pytest.fixture
def settings_in(tmp_path: Path) -> Callable[..., ServingSettings]:
    """`settings_with` for this test's folder."""
    return lambda **values: settings_with(tmp_path, **values)


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Any]:
    """Runs an application for the length of a `with` block: `with serve(pointer, setting=...) as client`."""

    @contextmanager
    def run(pointer: FakePointer, *, dependencies: Dependencies | None = None, **values: Any) -> Iterator[TestClient]:
        app = create_app(settings_with(tmp_path, **values), dependencies=dependencies, pointer=pointer)
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client

    return run
