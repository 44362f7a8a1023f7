"""The operations page in a real browser, on a real registry: what it shows, a refusal, a rollback."""

from __future__ import annotations

import time

import pytest

from recstage import registry
from serving.app import create_app
from serving.errors import Problem
from serving.models.overview.copy import RegistryCopy, VersionRow, write_copy
from serving.models.repository import BundleRepository
from serving.operations.registry_commands import RegistryCommands
from serving.settings import ServingSettings
from tests.serving.doubles import FakePointer
from tests.serving.pages.browsing import Observed, running

pytestmark = pytest.mark.slow
KEYS = [{"name": f"{role}-key", "role": role, "key": f"a-key-for-the-role-{role}"} for role in ("client", "service")]
PATIENCE_MS = 60_000


def change(page, button: str, reason: str) -> None:
    page.get_by_role("button", name=button, exact=True).first.click()
    page.locator("#reason").fill(reason)
    page.locator("#change-go").click()


def test_an_admin_is_refused_by_the_gate_and_rolls_back(visit, registry_driver, tmp_path):
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

        change(page, "Roll back", "it was worse")
        page.wait_for_selector(f"#state .main .big:has-text('Version {before}')")
        page.wait_for_selector("#history :text('it was worse')")
        assert "the operations page" in page.locator("#history").inner_text()
        assert seen.errors == []
    assert registry_driver.staged == [before]


def test_an_admin_may_promote_past_the_gate_and_set_the_share(visit, serve, version, monkeypatch, tmp_path):
    given = []

    async def run(self, words):
        given.append(words)
        if words[0] == "experiment":
            return {"experiment": "e", "production": 7, "challenger": 8, "share": 0.25, "mode": "split"}
        if "--force" not in words:
            raise Problem(409, "gate-refused", "refused", errors=[{"where": "gate", "rule": "no significant gain"}])
        return {"version": 8, "previous": 7, "gate": "forced", "checks": []}

    monkeypatch.setattr(RegistryCommands, "run", run)
    repository = BundleRepository(tmp_path / "serving", "recommender")
    repository.prepare()
    row = VersionRow("8", "Staging", "knn", 1_700_000_000_000, "r", "d", "s", "f")
    write_copy(repository, RegistryCopy(time.time(), (row,), ()))
    with serve(FakePointer(version), bundle_dir=tmp_path / "serving", follow_registry=True) as url:
        page = visit(f"{url}/ops")
        change(page, "Promote version 8", "it covers more")
        page.wait_for_selector("#change-result li:text('no significant gain')")
        page.locator("#force").check()
        page.locator("#change-go").click()
        page.wait_for_selector("#notices :text('Version 8 is Production now (gate: forced)')")
        page.get_by_role("button", name="Set the share").click()
        page.locator("#share").fill("25")
        page.locator("#change-go").click()
        page.wait_for_selector("#notices :text('Version 8 is shown to 25 % of the users')")
    assert ["--force" in words for words in given] == [False, True, False]
    assert given[-1][:2] == ["experiment", "--share=0.25"]


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


def test_a_service_that_ends_is_said_and_what_was_known_stays(visit, serve, version):
    with serve(FakePointer(version)) as url:
        page = visit(f"{url}/ops")
        page.wait_for_selector("#state .main :text('Version 7')")
    page.wait_for_selector("#notices .error:has-text('The service does not answer')")
    assert "Version 7" in page.locator("#state").inner_text()
