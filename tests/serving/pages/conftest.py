"""One service and one browser for all tests of the pages; a test gets a fresh browser context."""

from __future__ import annotations

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
from serving.models.repository import ProductionVersion
from serving.settings import ServingSettings
from tests.serving.doubles import FakePointer
from tests.serving.pages.browsing import CHROMIUM, FLAGS, running


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


@pytest.fixture(scope="session")
def url(serve: Callable[..., AbstractContextManager[str]], version: ProductionVersion) -> Iterator[str]:
    """A service with a version and a database, without keys."""
    with serve(FakePointer(version)) as found:
        yield found


@pytest.fixture(scope="session")
def api(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=10) as client:
        yield client


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}: apt-get install chromium")
    with playwright.sync_playwright() as found:
        launched = found.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address in a new page of a context of its own: `visit(url, color_scheme="dark")`."""
    contexts = []

    def go(address: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(address)
        return page

    yield go
    for context in contexts:
        context.close()
