"""promote, rollback, history, prune, register: from settings to results, as the command line calls them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recstage import registry
from recstage.cli import plain
from recstage.config import GuardrailConfig, PromotionConfig
from recstage.errors import BundleError, ConfigError, GateRefused, RegistryError, StoreError
from recstage.evaluation.latency import Latency
from recstage.promotion import evidence
from recstage.registry import Overtaken
from recstage.steps.registry import compare, promote, promotion_history, prune, register, rollback

pytestmark = pytest.mark.slow


def promoted(version: int | str = "best", **more: object) -> promote.PromoteResult:
    return promote.run(promote.PromoteSettings(version=str(version), by="ada", **more))  # type: ignore[arg-type]


def back(to: int | str = "previous", **more: object) -> rollback.RollbackResult:
    return rollback.run(rollback.RollbackSettings(to=str(to), by="bob", **more))  # type: ignore[arg-type]


def current() -> int | None:
    version = registry.resolve().version
    return None if version is None else version.number


# -- promote ---------------------------------------------------------------------------------------------------------


def test_the_first_version_is_promoted_without_a_champion(registry_driver):
    registry_driver.register("als", mean=0.3)
    result = promoted(1, reason="first")
    assert (result.version, result.previous, result.gate) == (1, None, "passed")
    assert result.checks[0] == (
        "not judged: nothing to compare ndcg_at_10 with: "
        "the first Production, and no run of popularity on the same test rows"
    )
    assert json.dumps(plain(result))
    tags = registry_driver.tags(1)
    assert (tags["promoted_by"], tags["reason"], tags["previous_version"]) == ("ada", "first", "none")


def test_a_better_version_passes_the_gate_and_says_why(registry_driver):
    registry_driver.register("knn", mean=0.3)
    registry_driver.register("als", mean=0.4, seed=1)
    promoted(1)
    result = promoted(2, reason="better")
    assert (result.version, result.previous, result.gate, current()) == (2, 1, "passed", 2)
    tags = registry_driver.tags(2)
    assert tags["gate_verdict"] == "passed"
    assert tags["gate_reasons"] == ""
    found = json.loads(tags["gate_evidence"])
    assert found["passed"] is True
    assert found["against"] == "version 1 (knn)"
    assert found["paired"]["difference"] == pytest.approx(0.1, abs=0.02)


def test_a_worse_version_is_refused_with_reasons_that_it_then_carries(registry_driver):
    registry_driver.register("als", mean=0.4)
    registry_driver.register("knn", mean=0.3, seed=1)
    promoted(1)
    with pytest.raises(
        GateRefused, match=r"version 2 of recommender \(knn\): the promotion gate refused it: ndcg_at_1"
    ):
        promoted(2)
    assert (current(), registry_driver.staged, registry_driver.pointed) == (1, [1], 1)
    tags = registry_driver.tags(2)
    assert tags["gate_verdict"] == "refused"
    assert "no significant gain" in tags["gate_reasons"]
    assert GateRefused.exit_code == 3


def test_force_promotes_what_the_gate_refuses_and_records_it(registry_driver):
    registry_driver.register("als", mean=0.4)
    registry_driver.register("knn", mean=0.3, seed=1)
    promoted(1)
    result = promoted(2, force=True, reason="an experiment")
    assert (result.version, result.gate) == (2, "forced")
    assert registry_driver.tags(2)["gate_verdict"] == "forced"
    assert registry.history()[-1].reason == "an experiment [forced past the gate]"


def test_best_is_the_best_of_those_tested_on_the_rows_of_the_newest(registry_driver):
    registry_driver.register("als", mean=0.9, fingerprint="old")
    registry_driver.register("knn", mean=0.4, fingerprint="new")
    registry_driver.register("ncf", mean=0.3, fingerprint="new", seed=1)
    assert promoted("best").version == 2


def test_best_that_is_production_already_changes_nothing(registry_driver):
    registry_driver.register("als", mean=0.4)
    promoted()
    assert promoted().gate == "unchanged"
    assert len(registry.history()) == 1


def test_the_first_must_beat_popularity_even_if_that_is_only_a_run(registry_driver):
    registry_driver.train("popularity", mean=0.35)
    registry_driver.register("als", mean=0.3, seed=1)
    with pytest.raises(GateRefused, match=r"against 0\.3\d+ of run \w{8} \(popularity\)"):
        promoted(1)
    registry_driver.register("knn", mean=0.5, seed=2)
    assert promoted(2).version == 2


def test_popularity_on_other_rows_does_not_count(registry_driver):
    registry_driver.train("popularity", mean=0.9, fingerprint="other")
    registry_driver.register("als", mean=0.3)
    assert promoted(1).version == 1


@pytest.fixture
def timings(monkeypatch):
    """Sets what a list of the challenger, and of Production next to it, takes in milliseconds."""

    def set_to(*milliseconds: float) -> list[tuple[int, int, int]]:
        asked = []

        def timed(models, user_ids, *, requests, rounds):
            asked.append((len(models), requests, rounds))
            return [Latency(one, one, rounds) for one in milliseconds[: len(models)]]

        monkeypatch.setattr(evidence, "side_by_side", timed)
        return asked

    return set_to


def test_guardrails_are_asked(registry_driver, timings):
    registry_driver.register("als", mean=0.3, metrics={"coverage_at_10": 0.4})
    registry_driver.register("ncf", mean=0.5, metrics={"coverage_at_10": 0.1}, seed=1)
    promoted(1)
    timings(250.0, 20.0)
    with pytest.raises(
        GateRefused,
        match=r"coverage_at_10 0\.1000, less than 0\.5 x 0\.4000; latency p95 250\.0 ms .* against 20\.0",
    ):
        promoted(2)


def test_latency_is_timed_with_production_at_the_promotion_whatever_the_runs_have_logged(registry_driver, timings):
    registry_driver.register("als", mean=0.3, metrics={"latency_p95_ms": 1.0})
    registry_driver.register("ncf", mean=0.5, metrics={"latency_p95_ms": 900.0}, seed=1)
    asked = timings(5.0, 4.0)
    promoted(1)
    checks = promoted(2).checks
    assert "passed: latency p95 5.0 ms (best of 5 rounds) against 4.0 ms of Production, within 100 ms" in checks
    assert asked == [(1, 40, 5), (2, 40, 5)]


def test_a_production_that_cannot_be_loaded_is_no_measure_and_no_hindrance(registry_driver, timings, caplog):
    registry_driver.register("als", mean=0.3)
    registry_driver.register("ncf", mean=0.5, seed=1)
    promoted(1)
    broken = registry.fetch(registry.version_of("recommender", 1))
    (broken / "train.npz").unlink()
    asked = timings(5.0, 4.0)
    assert "passed: latency p95 5.0 ms (best of 5 rounds), within 100 ms" in promoted(2).checks
    assert asked == [(1, 40, 5)]
    assert "latency is judged without version 1" in caplog.text


def test_without_requests_latency_is_not_judged(registry_driver):
    registry_driver.register("als", mean=0.3)
    config = PromotionConfig(guardrails=GuardrailConfig(latency_requests=0))
    assert "not judged: latency was not measured" in promoted(1, promotion=config).checks


@pytest.mark.parametrize("given", ["9", "newest"])
def test_an_unknown_version_is_refused_with_those_there_are(registry_driver, given):
    registry_driver.register()
    registry_driver.register(seed=1)
    with pytest.raises(
        RegistryError, match=rf"version {given} of recommender: there is no such version\. There are 1, 2"
    ):
        promoted(given)


def test_a_version_that_is_no_number_is_told_of_best(registry_driver):
    registry_driver.register()
    with pytest.raises(RegistryError, match=r"version foo of recommender: .*, or best for the best"):
        promoted("foo")


def test_a_promotion_that_changes_nothing_says_so(registry_driver, caplog):
    registry_driver.register()
    promoted(1)
    caplog.clear()
    with caplog.at_level("INFO", logger="recstage.steps.registry.promote"):
        assert promoted(1).gate == "unchanged"
    assert "is Production already: nothing was changed" in caplog.text


def test_a_refusal_gives_its_reasons_once(registry_driver, caplog):
    registry_driver.register("als", mean=0.4)
    registry_driver.register("knn", mean=0.3, seed=1)
    promoted(1)
    caplog.clear()
    with (
        caplog.at_level("INFO", logger="recstage.steps.registry.promote"),
        pytest.raises(GateRefused, match="no significant gain"),
    ):
        promoted(2)
    assert "no significant gain" not in caplog.text
    assert caplog.messages[0].startswith("gate: version 2 of recommender (")
    assert ", against version 1 (" in caplog.messages[0]
    assert "not judged: " in caplog.text


def test_a_misspelt_metric_is_refused_with_the_right_ones(registry_driver):
    registry_driver.register()
    with pytest.raises(ConfigError, match=r"promotion\.metric = 'ndgc_at_10'.*Did you mean 'ndcg_at_10'"):
        promoted(1, promotion=PromotionConfig(metric="ndgc_at_10"))


def test_a_version_whose_run_is_gone_is_refused_but_can_be_forced(registry_driver):
    registry_driver.register()
    source = registry.fetch(registry.version_of("recommender", 1)).parents[1]
    registry_driver.client.create_model_version("recommender", str(source), tags={"algorithm": "als"})
    promoted(1)
    with pytest.raises(GateRefused, match=r"there is no evidence to compare: version 2 .*: its run \(none\)"):
        promoted(2)
    assert promoted(2, force=True).version == 2


def test_a_version_whose_model_cannot_be_served_is_not_promoted_by_force_neither(registry_driver):
    registry_driver.register("als", mean=0.3)
    registry_driver.register("knn", mean=0.4, seed=1)
    promoted(1)
    (registry.fetch(registry.version_of("recommender", 2)) / "state.npz").write_bytes(b"")
    for force in (False, True):
        with pytest.raises(BundleError, match=r"state\.npz does not match its SHA-256\. Train it again"):
            promoted(2, force=force)
    assert (current(), registry_driver.staged, registry_driver.pointed) == (1, [1], 1)
    assert "gate_verdict" not in registry_driver.tags(2)


def test_a_production_on_other_data_that_is_gone_is_a_refusal_in_one_line(registry_driver):
    registry_driver.register(mean=0.3, fingerprint="old")
    registry_driver.register(mean=0.4, fingerprint="new")
    promoted(1)
    with pytest.raises(GateRefused, match=r"its run's config\.yaml does not record what it was trained on"):
        promoted(2)


def test_judged_against_a_production_that_changed_meanwhile_it_is_judged_again(registry_driver, monkeypatch):
    registry_driver.register("knn", mean=0.2)
    registry_driver.register("als", mean=0.5, seed=1)
    registry_driver.register("ncf", mean=0.3, seed=2)
    promoted(1)
    judge, judged = promote.judge, []

    def slow(challenger, champion, config):
        if not judged:
            registry.set_production("recommender", 2, how="promote", by="another process")
        judged.append(champion.number)
        return judge(challenger, champion, config)

    monkeypatch.setattr(promote, "judge", slow)
    with pytest.raises(GateRefused, match=r"against 0\.\d+ of version 2 \(als\)"):
        promoted(3)
    assert judged == [1, 2]
    assert current() == 2


def test_a_production_that_never_holds_still_ends_in_one_line(registry_driver, monkeypatch):
    registry_driver.register("knn", mean=0.2)
    registry_driver.register("als", mean=0.5, seed=1)
    monkeypatch.setattr(
        registry, "set_production", lambda *_, **__: (_ for _ in ()).throw(Overtaken("recommender", 1, 2))
    )
    with pytest.raises(Overtaken, match=r"was version 1 when this was decided and is version 2 now\. Run it again"):
        promoted(2)


def test_a_locked_database_is_one_clear_line(registry_driver, monkeypatch):
    registry_driver.register()

    def locked(*_):
        raise RuntimeError("(sqlite3.OperationalError) database is locked")

    monkeypatch.setattr(promote, "judge", locked)
    with pytest.raises(StoreError, match="the database is locked by another process"):
        promoted(1)


# -- rollback --------------------------------------------------------------------------------------------------------


def test_rollbacks_walk_back_and_do_not_swing(registry_driver):
    for seed in range(3):
        registry_driver.register(seed=seed)
        registry.set_production("recommender", seed + 1, how="promote", by="ada")
    assert (back().version, back(reason="worse").version) == (2, 1)
    assert (registry_driver.staged, registry_driver.pointed, current()) == ([1], 1, 1)
    last = registry.history()[-1]
    assert (last.version, last.previous, last.how, last.by, last.reason) == (1, 2, "rollback", "bob", "worse")
    with pytest.raises(
        RegistryError, match=r"no version that still exists was Production before\. Name one: --to 3 or 2"
    ):
        back()


def test_a_rollback_to_a_named_version_asks_no_gate(registry_driver):
    registry_driver.register("als", mean=0.5)
    registry_driver.register("knn", mean=0.1, seed=1)
    promoted(1)
    result = back(2)
    assert (result.version, result.previous, current()) == (2, 1, 2)
    assert json.dumps(plain(result))


def test_a_rollback_after_a_withdrawal_brings_back_what_was_withdrawn(registry_driver):
    registry_driver.register()
    promoted(1)
    registry_driver.stage(1, "Archived")
    result = back()
    assert (result.version, result.previous, current()) == (1, None, 1)


def test_a_rollback_to_what_does_not_exist_is_refused(registry_driver):
    registry_driver.register()
    with pytest.raises(RegistryError, match=r"version 5 of recommender: there is no such version\. There are 1"):
        back(5)


# -- history ---------------------------------------------------------------------------------------------------------


def test_history_tells_what_was_production_at_a_time(registry_driver):
    for _ in range(2):
        registry_driver.add()
    registry.set_production("recommender", 1, how="promote", by="ada", reason="first")
    between = datetime.now(UTC)
    registry_driver.stage(2)
    result = promotion_history.run(promotion_history.HistorySettings())
    assert (result.production, [one.version for one in result.changes]) == (2, [1, 2])
    assert result.changes[1].by == "MLflow UI (stage)"
    then = promotion_history.run(promotion_history.HistorySettings(at=between.isoformat()))
    assert (then.production, [one.reason for one in then.changes]) == (1, ["first"])
    assert promotion_history.run(promotion_history.HistorySettings(at="2001-01-01")).production is None
    assert json.dumps(plain(result))
    assert (
        promotion_history.as_text(result.changes)
        .splitlines()[1]
        .endswith("version 1    promote    ada                first")
    )


def test_history_reports_what_stage_and_alias_disagree_about(registry_driver):
    for _ in range(3):
        registry_driver.add()
    registry.set_production("recommender", 1, how="promote", by="ada")
    registry_driver.stage(2)
    registry_driver.alias(3)
    result = promotion_history.run(promotion_history.HistorySettings())
    assert result.production == 1
    assert result.conflict.startswith("stage Production moved to 2 and alias production to 3")


def test_a_time_that_is_none_is_refused(registry_driver):
    with pytest.raises(ConfigError, match="--at yesterday: a time is written as ISO 8601"):
        promotion_history.run(promotion_history.HistorySettings(at="yesterday"))


# -- prune, register -------------------------------------------------------------------------------------------------


def test_prune_lists_what_it_deleted_and_why_it_kept_the_rest(registry_driver):
    for _ in range(4):
        registry_driver.add()
    settings = prune.settings_from(["--keep", "2", "--dry_run", "true"])
    assert prune.run(settings).deleted == [1, 2]
    result = prune.run(prune.settings_from(["--keep", "2"]))
    assert result == prune.PruneResult(
        "recommender", [1, 2], {3: "among the last 2 of als", 4: "among the last 2 of als"}, False
    )
    assert sorted(registry_driver.stages) == [3, 4]


def test_register_makes_a_version_of_a_run(registry_driver):
    run_id = registry_driver.train("knn")
    result = register.run(register.settings_from(["--run", run_id]))
    assert result == register.RegisterResult("recommender", 1, "knn", run_id)


def test_steps_on_an_empty_registry_end_in_one_line(registry_driver):
    for step, settings in (
        (promote, promote.PromoteSettings()),
        (rollback, rollback.RollbackSettings()),
        (promotion_history, promotion_history.HistorySettings()),
        (prune, prune.PruneSettings()),
        (compare, compare.CompareSettings()),
    ):
        with pytest.raises(
            RegistryError, match=r"no such registered model\. Nothing is registered yet: train a model with"
        ):
            step.run(settings)


def test_a_rollback_where_nothing_ever_was_production_says_which_versions_there_are(registry_driver):
    registry_driver.add()
    with pytest.raises(RegistryError, match=r"no version that still exists was Production before\. Name one: --to 1"):
        back()


# -- settings --------------------------------------------------------------------------------------------------------


def test_the_gate_is_what_the_yaml_says_unless_overridden():
    assert promote.settings_from().promotion == PromotionConfig()
    settings = promote.settings_from(
        ["--version", "3", "--force", "true", "--promotion.guardrails.latency_p95_ms", "7"]
    )
    assert (settings.version, settings.force, settings.promotion.guardrails.latency_p95_ms) == ("3", True, 7.0)
    assert settings.promotion.guardrails.coverage_ratio == 0.5


@pytest.mark.parametrize("step", [promote, rollback, promotion_history, prune, register])
def test_a_misspelt_setting_is_refused_with_the_right_ones(step):
    with pytest.raises(ConfigError, match=r"--nmae: no such setting\. Did you mean 'name'"):
        step.settings_from(["--nmae", "x"])


def test_every_check_is_a_tag_of_the_version_and_all_are_one_page_of_its_run(registry_driver, timings):
    registry_driver.register("als", mean=0.3)
    timings(5.0, 4.0)
    promoted(1)
    tags = registry_driver.tags(1)
    assert tags["gate.seen-items"].startswith("passed: seen items: none came back")
    assert tags["gate.bundle-size"].startswith("passed: megabytes of the bundle")
    run_id = registry.version_of("recommender", 1).run_id
    assert tags["gate_report"] == f"runs:/{run_id}/gate/report.html"
    page = Path(registry_driver.client.download_artifacts(run_id, "gate/report.html")).read_text()
    assert "<td>seen items<td" in page
    assert "recommender version 1 (als): passed" in page


def test_with_an_experiment_required_its_verdict_decides(registry_driver, timings):
    registry_driver.register("als", mean=0.3)
    timings(5.0, 4.0)
    with pytest.raises(GateRefused, match="no experiment was read for this version"):
        promoted(1, require="ab")
    undecided = {"experiment.verdict": "undecided", "experiment.summary": "41 of 90 days"}
    registry.tag_version("recommender", 1, undecided)
    with pytest.raises(GateRefused, match="the experiment says undecided: 41 of 90 days"):
        promoted(1, require="ab")
    registry.tag_version("recommender", 1, {"experiment.verdict": "better"})
    assert promoted(1, require="ab").gate == "passed"
