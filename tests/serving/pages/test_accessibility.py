"""axe-core finds nothing wrong with a page: light and dark, wide and narrow; and nothing is wider than the screen."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow
PAGES = {"/?user_id=u50": ".card:not(.skeleton)", "/plain?user_id=u50": ".card", "/ops": "#state .tile"}


@pytest.fixture(scope="session")
def axe():
    return pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra `browser`").Axe()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_violation(visit, url, axe, path, scheme, width):
    page = visit(url + path, color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce")
    page.wait_for_selector(PAGES[path])
    if page.locator("button.title").count():
        page.locator("button.title").first.click()
        page.wait_for_selector(".similar li")
    found = axe.run(page).response["violations"]
    assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
