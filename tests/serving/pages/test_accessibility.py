"""axe-core finds nothing wrong with a page, a dialog or an error: light and dark, wide and narrow; and nothing is wider
than the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from serving.errors import Problem
from serving.operations.registry_commands import RegistryCommands
from tests.serving.doubles import FakePointer

pytestmark = pytest.mark.integration
KEYS = [{"name": "shop", "role": "service", "key": "a-Strong-one-4-tests9"}]


@pytest.fixture(scope="session")
def axe():
    return pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra `browser`").Axe()


@pytest.fixture
def examine(axe) -> Callable[[Any], None]:
    """Fails where a page as it stands has a violation or is too wide, in light and dark, at 390 and 1440 pixels."""

    def run(page: Any) -> None:
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                found = axe.run(page).response["violations"]
                found = [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found]
                assert found == [], f"{scheme}, {width} pixels"
                assert page.evaluate("document.documentElement.scrollWidth") <= width

    return run


def test_the_storefront_with_an_open_item_and_its_dialog(visit, url, examine):
    page = visit(f"{url}/?user_id=u50")
    page.wait_for_selector(".card:not(.skeleton)")
    page.locator("button.title").first.click()
    page.wait_for_selector(".similar li")
    page.locator("button.act.dismiss").nth(2).click()
    page.wait_for_selector("#feed li")
    examine(page)
    page.get_by_role("button", name="New user").click()
    page.evaluate("document.getElementById('create-error').textContent = 'This id cannot be one.'")
    examine(page)


def test_the_storefront_with_an_error_and_its_sign_in(visit, serve, version, examine):
    with serve(FakePointer(version), api_keys=KEYS) as url:
        page = visit(f"{url}/?user_id=u50")
        page.locator("#key").fill("wrong-key")
        page.get_by_role("button", name="Continue").click()
        page.wait_for_selector("#key-error:has-text('unknown')")
        examine(page)
        page.locator("#key").fill(KEYS[0]["key"])
        page.get_by_role("button", name="Continue").click()
        page.wait_for_selector(".card:not(.skeleton)")
        page.route("**/api/recommendations?*", lambda route: route.abort())
        page.locator("#unseen").uncheck()
        page.wait_for_selector("#notices .error")
        examine(page)


@pytest.mark.parametrize("path", ["/plain?user_id=u50", "/plain?user_id=%01"])
def test_the_plain_list_and_its_problem(visit, url, examine, path):
    examine(visit(url + path))


def test_the_operations_page_with_a_refusal_in_its_dialog(visit, serve, version, registry_copy, monkeypatch, examine):
    async def refuse(self, words):
        raise Problem(409, "gate-refused", "refused", errors=[{"where": "gate", "rule": "no significant gain"}])

    monkeypatch.setattr(RegistryCommands, "run", refuse)
    with serve(FakePointer(version), bundle_dir=registry_copy, follow_registry=True) as url:
        page = visit(f"{url}/ops")
        page.wait_for_selector("#versions table")
        examine(page)
        page.get_by_role("button", name="Promote version 8").click()
        page.locator("#reason").fill("it covers more")
        page.locator("#change-go").click()
        page.wait_for_selector("#change-result li")
        examine(page)
        page.locator("#change-cancel").click()
        page.get_by_role("button", name="Set the share").click()
        examine(page)


def test_the_operations_page_without_anything(visit, serve, examine):
    with serve(FakePointer(None), database_url="") as url:
        page = visit(f"{url}/ops")
        page.wait_for_selector("#state .tile")
        examine(page)
