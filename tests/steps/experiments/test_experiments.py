"""Beginning an experiment, reading it, and the rollback of a bad Production."""

from __future__ import annotations

import json
import time

import pytest

from recstage import registry
from recstage.config.steps import PromoteSettings
from recstage.errors import ConfigError, DataError, GateRefused, NoProduction, RegistryError, StoreError
from recstage.steps.experiments import ab_report, experiment, off_policy, watch
from recstage.steps.registry import promote, promotion_history

NAME = "recommender-2-vs-1"


@pytest.fixture
def pair(registry_driver):
    """Version 1 in Production, version 2 in Staging."""
    production, challenger = registry_driver.register(), registry_driver.register(seed=1)
    registry.set_production("recommender", production, how="promote", by="test")
    registry.set_staging("recommender", challenger, how="stage", by="test")
    return registry_driver


def report(live, *arguments):
    return ab_report.run(ab_report.settings_from(["--url", live.url, *arguments]))


# -- experiment -------------------------------------------------------------------------------------------------------


def test_an_experiment_is_tags_of_the_version_in_staging(pair):
    found = experiment.run(experiment.settings_from(["--share", "0.3", "--mode", "bandit"]))
    assert (found.experiment, found.production, found.challenger) == (NAME, 1, 2)
    assert pair.tags(2)["experiment.share"] == "0.3"
    assert pair.tags(2)["experiment.mode"] == "bandit"


@pytest.mark.parametrize("words", [["--share", "1.5"], ["--share", "half"], ["--mode", "sideways"]])
def test_a_wrong_share_or_mode_is_told(pair, words):
    with pytest.raises(ConfigError):
        experiment.run(experiment.settings_from(words))


def test_an_experiment_needs_both_versions(registry_driver):
    number = registry_driver.register()
    with pytest.raises(NoProduction):
        experiment.run(experiment.settings_from([]))
    registry.set_production("recommender", number, how="promote", by="test")
    with pytest.raises(RegistryError, match="no version is staged Staging"):
        experiment.run(experiment.settings_from([]))


# -- ab-report --------------------------------------------------------------------------------------------------------


def test_a_better_challenger_is_found_and_both_versions_carry_the_report(pair, live):
    live.show(1, 300, 10, 0.2, arm="production", experiment=NAME)
    live.show(2, 300, 10, 0.3, arm="challenger", experiment=NAME)
    found = report(live)
    assert (found.experiment, found.verdict, found.production, found.challenger) == (NAME, "better", "1", "2")
    assert pair.tags(2)["experiment.verdict"] == "better"
    assert pair.tags(2)["experiment.report"] == found.run_id
    assert pair.tags(1)["experiment.against.report"] == found.run_id
    assert "experiment.verdict" not in pair.tags(1)
    names = {one.path for one in pair.client.list_artifacts(found.run_id)}
    assert "ab-report.txt" in names
    (main,) = [row for row in found.rows if (row["metric"], row["segment"]) == ("click_through", "all")]
    assert main["low"] > 0
    assert main["users"] == 600


def test_an_unintended_split_is_invalid_and_has_no_figures(pair, live):
    live.show(1, 600, 3, 0.2, arm="production", experiment=NAME)
    live.show(2, 300, 3, 0.4, arm="challenger", experiment=NAME)
    found = report(live)
    assert found.verdict == "invalid"
    assert found.rows == []
    assert "sample-ratio mismatch" in pair.tags(2)["experiment.summary"]


def test_an_experiment_of_a_deleted_challenger_can_still_be_read(pair, live):
    live.show(1, 150, 3, 0.2, arm="production", experiment=NAME)
    live.show(2, 150, 3, 0.2, arm="challenger", experiment=NAME)
    pair.delete(2)
    found = report(live, "--experiment", NAME)
    assert (found.challenger, found.verdict) == ("2", "undecided")


def test_an_unknown_experiment_is_told_with_those_that_there_are(pair, live):
    with pytest.raises(DataError, match="no list of such an experiment"):
        report(live)
    live.show(1, 5, 1, 0.2, arm="production", experiment="another")
    with pytest.raises(DataError, match="another"):
        report(live, "--experiment", "anothr")


def test_a_database_that_is_not_there_is_told(pair, live):
    with pytest.raises(StoreError, match="cannot be read"):
        ab_report.run(ab_report.settings_from(["--url", f"{live.url}-not"]))


def test_interleaved_lists_are_read_by_the_team_of_the_chosen_item(pair, live):
    live.show(1, 300, 5, 0.4, arm="interleaved", experiment=NAME, chance=1.0, teams=[0, 1])  # the last one is chosen
    found = report(live)
    assert found.verdict == "better"
    assert found.rows[0]["metric"] == "preference"


def test_lists_that_rules_left_to_production_are_no_part_of_the_preference(pair, live):
    live.show(1, 300, 5, 0.4, arm="interleaved", experiment=NAME, chance=1.0, teams=[0, 1])
    live.show(1, 50, 1, 1.0, arm="interleaved", experiment=NAME, chance=1.0, seed=1)
    found = report(live)
    assert found.left_out == {"lists that were Production's alone": 50}
    assert found.rows[0]["users"] == 300


# -- watch ------------------------------------------------------------------------------------------------------------


def look(live, *arguments):
    return watch.run(watch.settings_from(["--once", "true", "--url", live.url, *arguments]))


@pytest.fixture
def fresh(registry_driver):
    """Version 1, then version 2 in Production, promoted just now."""
    versions = registry_driver.register(), registry_driver.register(seed=1)
    for number in versions:
        registry.set_production("recommender", number, how="promote", by="test")
    return registry_driver


SETTLED = ("--promotion.watch.settle_seconds", "0")


def test_a_production_within_its_limits_stays(fresh, live):
    live.show(1, 100, 5, 0.3, at=time.time() - 60)
    live.show(2, 100, 5, 0.28, at=time.time() + 1)
    found = look(live)
    assert (found.production, found.watched, found.breaches, found.rolled_back) == (2, True, [], None)


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"items": ()}, "empty lists 100.0%"),
        ({"method": "error", "items": ()}, "errors 100.0%"),
        ({"method": "popularity"}, "fallbacks 100.0%"),
        ({"milliseconds": 400.0}, "a list takes 400.0 ms"),
        ({"rate": 0.02}, "click-through"),
    ],
)
def test_a_broken_limit_rolls_back_records_the_reason_and_tells(fresh, live, tmp_path, about, told):
    live.show(1, 100, 5, 0.3, at=time.time() - 60)
    live.show(2, 100, 5, **{"rate": 0.3, **about}, at=time.time())
    note = tmp_path / "note.json"
    time.sleep(0.05)
    found = look(live, *SETTLED, "--promotion.watch.command", f"tee {note}")
    assert (found.rolled_back, found.production) == (2, 1)
    assert told in found.breaches[0]
    assert fresh.staged == [1]
    last = registry.history("recommender")[-1]
    assert (last.how, last.by, told in last.reason) == ("rollback", "recstage watch", True)
    assert json.loads(note.read_text())["version"] == 2


def test_what_was_rolled_back_is_promoted_again_with_force_only(fresh, live):
    live.show(1, 100, 5, 0.3, at=time.time() - 60)
    live.show(2, 100, 5, 0.3, items=())
    look(live)
    with pytest.raises(GateRefused, match="the watcher rolled it back: empty lists"):
        promote.run(promote.settings_from(["--version", "2"]))
    assert promote.run(promote.settings_from(["--version", "2", "--force", "true"])).version == 2
    assert isinstance(promote.settings_from([]), PromoteSettings)
    assert promotion_history.run(promotion_history.settings_from([])).name == "recommender"


def test_a_way_back_is_not_watched(fresh, live):
    live.show(1, 100, 5, 0.3, at=time.time() - 60)
    live.show(2, 100, 5, 0.3, items=())
    look(live)
    live.show(1, 100, 5, 0.0, items=())
    found = look(live)
    assert (found.watched, found.production) == (False, 1)


def test_too_few_lists_break_no_limit(fresh, live):
    live.show(2, 10, 2, 0.0, items=())
    assert look(live).breaches == []


def test_dry_run_says_what_it_would_do_and_does_nothing(fresh, live):
    live.show(2, 100, 5, 0.0, items=())
    found = look(live, "--dry_run", "true")
    assert found.breaches
    assert fresh.staged == [2]


def test_a_webhook_that_fails_is_told_and_the_rollback_is_done(fresh, live):
    live.show(2, 100, 5, 0.0, items=())
    found = look(live, "--promotion.watch.webhook", "http://127.0.0.1:9/nobody")
    assert found.rolled_back == 2
    assert found.not_told[0].startswith("webhook")


# -- off-policy -------------------------------------------------------------------------------------------------------


def estimate(live, *arguments):
    return off_policy.run(off_policy.settings_from(["--url", live.url, *arguments]))


def test_an_estimate_without_exploration_is_refused_with_its_reason(pair, live):
    live.show(1, 20, 2, 0.5, user_ids=("u0", "u1"))
    found = estimate(live)
    assert found.version == 2
    assert {one["method"] for one in found.estimates} == {"ips", "snips", "dr", "cascade"}
    assert all("no slot was explored" in one["refused"] for one in found.estimates)


def test_lists_that_agree_with_the_candidate_are_estimated_by_their_clicks(pair, live):
    # u1 has i0 already, so the candidate lists i1 first: it was shown there with chance .5, and clicked by half
    live.show(1, 400, 1, 0.5, user_ids=("u1",), items=("i1",), propensity=0.5)
    live.show(1, 400, 1, 0.0, user_ids=("u1",), items=("i9",), propensity=0.5, seed=1)
    found = estimate(live)
    snips = next(one for one in found.estimates if one["method"] == "snips")
    assert snips["refused"] == ""
    cascade = next(one for one in found.estimates if one["method"] == "cascade")
    for one in (snips, cascade):  # of one slot, both models say the same
        assert one["value"] == pytest.approx(0.5, abs=0.08)
    assert (snips["of"], cascade["of"]) == ("clicks per list", "share of lists with a click")
    assert found.logged == pytest.approx(0.25, abs=0.05)


def test_lists_of_users_unknown_to_the_candidate_are_told(pair, live):
    live.show(1, 20, 2, 0.5)
    with pytest.raises(DataError, match="none was shown to a user"):
        estimate(live)
