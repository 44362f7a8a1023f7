"""The pages of a registered model and of its versions say what a reader asks, and go on saying it after a change."""

import json

import pytest

from recstage import registry
from recstage.registry import descriptions, mlflow_client
from recstage.registry.audit_log import Change


def page_of(driver, number=None):
    if number is None:
        return driver.client.get_registered_model(driver.name).description
    return driver.client.get_model_version(driver.name, str(number)).description


@pytest.fixture
def two(registry_driver):
    registry_driver.register("als", mean=0.3)
    registry_driver.register("knn", mean=0.35)
    return registry_driver


def test_a_new_version_says_what_it_is_and_how_to_promote_it(two):
    page = page_of(two, 2)
    assert "knn on toy · never was Production" in page
    assert "`recstage promote 2 --name recommender`" in page
    assert "| NDCG@10&emsp; | 0.3" in page


def test_the_page_of_the_registered_model_reads_as_a_history(two):
    registry.set_production("recommender", 1, how="promote", by="ada", reason="the first")
    registry.set_production("recommender", 2, how="promote", by="ada", reason="better | by far")
    registry.set_production("recommender", 1, how="rollback", by="bob", reason="slow")
    page = page_of(two)
    assert page.index("rollback&emsp; | bob&emsp; | slow") < page.index("better \\| by far") < page.index("the first")
    assert "**Production: version 1, als on toy** since" in page
    assert "*Promote model*" in page


def test_figures_stand_beside_those_of_production_and_follow_it(two):
    registry.set_production("recommender", 1, how="promote", by="ada")
    assert "Production: 1 (als)" in page_of(two, 2)
    registry.set_production("recommender", 2, how="promote", by="ada")
    assert "· Production since" in page_of(two, 2)
    assert "Production: 2 (knn)" in page_of(two, 1)
    assert "was Production from" in page_of(two, 1)


def test_a_change_made_in_the_mlflow_ui_is_told_too(two):
    two.stage(2)
    registry.reconcile()
    assert "MLflow UI (stage)" in page_of(two)
    assert registry.reconcile().change is None


def test_what_a_user_wrote_stays(two):
    two.client.update_model_version("recommender", "1", f"Mine.\n\n{page_of(two, 1)}\n\nAlso mine.")
    registry.set_production("recommender", 1, how="promote", by="ada")
    page = page_of(two, 1)
    assert page.startswith("Mine.")
    assert page.endswith("Also mine.")
    assert "Production since" in page


def test_the_verdict_of_the_gate_is_in_words(two):
    evidence = json.dumps({"checks": [{"outcome": "passed", "message": "a significant gain"}]})
    mlflow_client.tag_version("recommender", 2, {"gate_verdict": "passed", "gate_evidence": evidence})
    registry.describe("recommender")
    assert "- passed: a significant gain" in page_of(two, 2)


def test_a_description_fits_what_mlflow_stores():
    text = descriptions.merged("notes " * 1000, "**als on toy**\n\nfigures")
    assert text.startswith("**als on toy**")
    assert len(text) <= descriptions.LONGEST
    assert text.endswith("…")


def test_the_history_holds_times_that_a_reader_understands(two):
    registry.set_production("recommender", 1, how="promote", by="ada")
    (value,) = [value for key, value in mlflow_client.peek("recommender").tags.items() if key.startswith("production/")]
    assert json.loads(value)["at"].endswith("Z")
    old = json.dumps({"version": 2, "previous": 1, "at": 1_700_000_000_000, "by": "ada", "how": "promote"})
    mlflow_client.tag_model("recommender", "production/2023-11-14T22:13:20.000Z/v2", old)
    assert registry.history()[0] == Change(2, 1, 1_700_000_000_000, "ada", "promote")


def test_a_description_begins_with_what_it_is_and_takes_the_place_of_its_predecessor():
    first = descriptions.merged("", "**als on toy**\n\nfigures")
    assert first.startswith("**als on toy**")  # what the table of versions shows of it
    theirs = f"ours\n\n{first}\n\nof the run"
    second = descriptions.merged(theirs, "**knn on toy**\n\nothers")
    assert second == theirs.replace("als", "knn").replace("figures", "others")
    earlier = f"{descriptions.BEGIN}\n**als on toy**\n\nfigures\n\n{descriptions.END}"
    assert descriptions.merged(earlier, "**als on toy**\n\nfigures") == first
