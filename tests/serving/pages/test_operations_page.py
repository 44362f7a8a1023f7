"""The operations page in a real browser, on a real registry: what it shows, a refusal, a rollback."""

from __future__ import annotations

import time
from dataclasses import replace

import httpx
import jwt
import pytest

from recstage import registry
from serving.app import create_app
from serving.errors import Problem
from serving.operations.registry_commands import RegistryCommands
from serving.settings import ServingSettings
from tests.serving.doubles import FakePointer
from tests.serving.pages.browsing import Observed, running, until

pytestmark = pytest.mark.integration
KEYS = [{"name": f"{role}-key", "role": role, "key": f"a-key-for-the-role-{role}"} for role in ("client", "service")]
SECRET = "Vq7-kT9xW2mZp4_hR8aD3sYf6uJ1cB5n"
PATIENCE_MS = 120_000
NOTHING = {
    "#state": "Put one into the stage Staging",
    "#clicks": "there is no database",
    "#drift": "there is no database",
    "#methods": "No list was requested yet",
    "#versions": "follows none",
    "#history": "None yet",
}


def change(page, button: str, reason: str) -> None:
    page.get_by_role("button", name=button, exact=True).first.click()
    page.locator("#reason").fill(reason)
    page.locator("#change-go").click()


def set_share(page, percent: int) -> None:
    page.get_by_role("button", name="Set the share").click()
    page.locator("#share").fill(str(percent))
    page.locator("#change-go").click()


def listed(url: str) -> str | None:
    """The version that made a list just now."""
    return httpx.get(f"{url}/api/recommendations?user_id=u0", timeout=10).json().get("model_version")


def test_an_admin_is_refused_by_the_gate_shows_the_challenger_to_a_share_and_rolls_back(
    visit, registry_driver, tmp_path
):
    first = registry_driver.register("popularity", mean=0.3)
    second = registry_driver.register("als", mean=0.2)
    before = registry_driver.register("popularity", mean=0.2)
    for number in (before, first):
        registry.set_production(registry_driver.name, number, how="promote", by="alex", reason="by hand")
    settings = ServingSettings(
        bundle_dir=tmp_path / "serving", database_url=f"sqlite:///{tmp_path}/service.db", poll_seconds=0.2
    )
    with running(create_app(settings)) as url:
        page = visit("about:blank")
        page.set_default_timeout(PATIENCE_MS)
        seen = Observed.of(page)
        page.goto(f"{url}/ops")
        page.wait_for_selector(f"#state .main .big:has-text('Version {first}')")

        change(page, f"Promote version {second}", "to try it")
        page.wait_for_selector("#change-result :text('The promotion gate refused it')")
        assert "ndcg_at_10" in page.locator("#change-result li").first.inner_text()
        page.locator("#change-cancel").click()
        page.wait_for_selector("#versions .badge.refused")

        registry_driver.stage(second, "Staging")
        set_share(page, 100)
        page.wait_for_selector(f"#notices :text('Version {second} is shown to 100 % of the users')")
        assert registry_driver.tags(second)["experiment.share"] == "1"
        until(lambda: listed(url) == str(second), "the version in Staging is shown")

        registry_driver.stage(second, "Archived")  # elsewhere, while the page still shows it
        set_share(page, 50)
        page.wait_for_selector("#change-result .error:has-text('no version is staged Staging')")
        page.locator("#change-cancel").click()

        change(page, "Roll back", "it was worse")
        page.wait_for_selector(f"#state .main .big:has-text('Version {before}')")
        page.wait_for_selector("#history :text('it was worse')")
        assert "the operations page" in page.locator("#history").inner_text()
        assert seen.errors == []
    assert registry_driver.staged == [before]


def test_an_admin_may_promote_past_the_gate_and_set_the_share(visit, serve, version, registry_copy, monkeypatch):
    given = []

    async def run(self, words):
        given.append(words)
        if words[0] == "experiment":
            return {"experiment": "e", "production": 7, "challenger": 8, "share": 0.25, "mode": "split"}
        if "--force" not in words:
            raise Problem(409, "gate-refused", "refused", errors=[{"where": "gate", "rule": "no significant gain"}])
        return {"version": 8, "previous": 7, "gate": "forced", "checks": []}

    monkeypatch.setattr(RegistryCommands, "run", run)
    with serve(FakePointer(version), bundle_dir=registry_copy, follow_registry=True) as url:
        page = visit(f"{url}/ops")
        change(page, "Promote version 8", "it covers more")
        page.wait_for_selector("#change-result li:text('no significant gain')")
        page.locator("#force").check()
        page.locator("#change-go").click()
        page.wait_for_selector("#notices :text('Version 8 is Production now (gate: forced)')")
        set_share(page, 25)
        page.wait_for_selector("#notices :text('Version 8 is shown to 25 % of the users')")
    assert ["--force" in words for words in given] == [False, True, False]
    assert given[-1][:2] == ["experiment", "--share=0.25"]


def test_a_rollback_that_leads_nowhere_is_off_and_says_why(visit, serve, version, registry_copy):
    for previous, off in ((None, True), ("6", False)):
        pointer = FakePointer(replace(version, previous=previous))
        with serve(pointer, bundle_dir=registry_copy, follow_registry=True) as url:
            page = visit(f"{url}/ops")
            button = page.get_by_role("button", name="Roll back", exact=True)
            button.wait_for()
            assert button.is_disabled() == off
            assert page.locator("#no-way-back").count() == off


def test_live_figures_click_through_and_drift_are_shown(visit, serve, version):
    with serve(FakePointer(version)) as url:
        page = visit(url + "/?user_id=u1")
        page.get_by_role("button", name="Like").first.click()
        page.wait_for_selector("#feed :text('Liked')")
        page.goto(f"{url}/ops")
        page.wait_for_selector("#methods :text('als')")
        page.wait_for_selector("#clicks :text('Version 7')")
        page.wait_for_selector("#drift :text('too few to tell')")
        page.wait_for_selector("#alerts :text('Nothing is wrong.')")
        assert "ndcg_at_10 +0.012" in page.locator("#state").inner_text()
        page.wait_for_selector("#versions :text('follows none')")
        assert page.locator("button:text('Roll back')").count() == 0


def test_a_key_of_too_low_a_role_is_asked_for_another_and_one_without_admin_changes_nothing(visit, serve, version):
    with serve(FakePointer(version), api_keys=KEYS) as url:
        page = visit(f"{url}/ops")
        page.locator("#key").fill(KEYS[0]["key"])
        page.get_by_role("button", name="Continue").click()
        page.wait_for_selector("#signin-why:text('This needs the role service')")
        page.locator("#key").fill(KEYS[1]["key"])
        page.get_by_role("button", name="Continue").click()
        page.wait_for_selector("#state .main :text('Version 7')")
        assert page.locator("#account").inner_text() == "service-key (service)"
        assert page.locator("button:text('Promote')").count() == 0


def test_without_model_and_database_each_part_says_what_it_lacks(visit, serve):
    with serve(FakePointer(None), database_url="") as url:
        page = visit(f"{url}/ops")
        page.wait_for_selector("#state .main :text('nothing can be served')")
        for part, text in NOTHING.items():
            assert text in page.locator(part).inner_text()


def test_markup_in_what_the_registry_holds_is_text(visit, serve, version):
    markup = "<img src=x onerror=alert(1)>"
    with serve(FakePointer(replace(version, promoted_by=markup, reason=f"{markup} better"))) as url:
        page = visit("about:blank")
        seen = Observed.of(page)
        page.goto(f"{url}/ops")
        page.wait_for_selector("#state .main dd")
        assert f"{markup} better" in page.locator("#state .main").inner_text()
        assert page.locator("main img").count() == 0
        assert seen.errors == []


def test_an_expired_token_is_said_and_a_slow_service_waited_for(visit, serve, version):
    with serve(FakePointer(version), jwt_secret=SECRET) as url:
        page = visit(f"{url}/ops")
        page.locator("#key").fill(jwt.encode({"role": "admin", "exp": time.time() - 60}, SECRET, "HS256"))
        page.get_by_role("button", name="Continue").click()
        page.wait_for_selector("#key-error:text('The token has expired.')")
        page.route("**/api/operations", lambda route: (time.sleep(2), route.continue_()))
        page.locator("#key").fill(jwt.encode({"role": "admin", "exp": time.time() + 600}, SECRET, "HS256"))
        page.get_by_role("button", name="Continue").click()
        page.wait_for_selector("#notices :text('Still waiting for the service')")
        page.wait_for_selector("#state .main :text('Version 7')")


def test_without_javascript_the_page_says_where_to_look(visit, url):
    page = visit(f"{url}/ops", java_script_enabled=False)
    assert "JavaScript is off" in page.locator("noscript").inner_text()


def test_a_service_that_ends_is_said_and_what_was_known_stays(visit, serve, version):
    with serve(FakePointer(version)) as url:
        page = visit(f"{url}/ops")
        page.wait_for_selector("#state .main :text('Version 7')")
    page.wait_for_selector("#notices .error:has-text('The service does not answer')")
    assert "Version 7" in page.locator("#state").inner_text()
