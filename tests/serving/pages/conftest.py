"""One service for all tests of the pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from recstage import bundle
from recstage.data.catalogue import Catalogue
from recstage.data.interactions import Interactions
from recstage.models.factorization.als import ALS, ALSParams
from serving.app import create_app
from serving.models.overview.copy import RegistryCopy, VersionRow, write_copy
from serving.models.repository import BundleRepository, ProductionVersion
from serving.settings import ServingSettings
from tests.serving.doubles import FakePointer
from tests.serving.pages.browsing import running


@pytest.fixture(scope="session")
def bundled(interactions: Interactions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as a bundle; every title holds markup."""
    ids = interactions.items.ids
    frame = pd.DataFrame(
        {
            "item_id": ids,
            "title": [f"<b onclick=alert(1)>Title</b> of {item}" for item in ids],
            "text": [f"about group{int(item[1:]) % 3} things" for item in ids],
            "categories": [[f"c{int(item[1:]) % 3}"] for item in ids],
            "available": [True] * len(ids),
        }
    )
    params = ALSParams(factors=8, regularization=1.0, iterations=5)
    model = ALS(params).fit(interactions, catalogue=Catalogue.from_frame(frame, interactions.items), seed=1)
    folder = tmp_path_factory.mktemp("pages") / "bundle"
    bundle.save(model, folder, metadata={"data": "tiny"})
    return folder


@pytest.fixture(scope="session")
def version(bundled: Path) -> ProductionVersion:
    why = "ndcg_at_10 +0.012 [0.008, 0.016]"
    return ProductionVersion(
        "recommender", "7", bundled, since="2026-11-26T09:12:03.120Z", promoted_by="alex", reason=why, previous="6"
    )


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[str]]:
    """Serves for the length of a `with` block: `with serve(pointer, setting=...) as url`."""

    @contextmanager
    def run(pointer: FakePointer, **values: Any) -> Iterator[str]:
        folder = tmp_path_factory.mktemp("service")
        known = {"bundle_dir": folder / "serving", "database_url": f"sqlite:///{folder}/service.db"}
        app = create_app(ServingSettings(**{**known, "follow_registry": False, **values}), pointer=pointer)
        with running(app) as url:
            yield url

    return run


@pytest.fixture
def registry_copy(tmp_path: Path) -> Path:
    """A folder of bundles with what the sync process read of a registry: version 8 in Staging."""
    repository = BundleRepository(tmp_path / "serving", "recommender")
    repository.prepare()
    row = VersionRow("8", "Staging", "knn", 1_700_000_000_000, "r", "d", "s", "f")
    write_copy(repository, RegistryCopy(time.time(), (row,), ()))
    return tmp_path / "serving"


@pytest.fixture(scope="session")
def url(serve: Callable[..., AbstractContextManager[str]], version: ProductionVersion) -> Iterator[str]:
    """A service with a version and a database, without keys."""
    with serve(FakePointer(version)) as found:
        yield found


@pytest.fixture(scope="session")
def api(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=10) as client:
        yield client
