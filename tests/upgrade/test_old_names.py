"""Names of version 0.1 still work, each with one warning that says the new name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recstage import config, models, renamed
from recstage.config import ModelConfig
from recstage.errors import ConfigError
from serving import __main__ as serving_main
from serving.monitoring.metrics import Metrics
from serving.settings import PREFIX, ServingSettings, load

pytestmark = pytest.mark.slow

VALUES = {
    "body_seconds": 7.0,
    "bundles": "data/elsewhere",
    "own_models_seconds": 11.0,
    "reverse_name": "backwards",
    "standing_lag_ms": 80.0,
}
OLD = sorted(renamed.SETTINGS)


@pytest.fixture(autouse=True)
def in_a_fresh_program():
    renamed.warn.cache_clear()
    yield
    renamed.warn.cache_clear()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder that is taken for the repository, without any setting."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "MLproject").touch()
    monkeypatch.setenv("RECSTAGE_HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    config.root.cache_clear()
    yield tmp_path
    config.root.cache_clear()


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "recstage.renamed"]


def value_of(settings: ServingSettings, old: str) -> object:
    found = getattr(settings, renamed.SETTINGS[old])
    return str(found) if isinstance(found, Path) else found


# -- settings ---------------------------------------------------------------------------------------------------------


def test_each_old_setting_has_a_value_to_try_and_a_setting_in_its_place():
    assert set(VALUES) == set(OLD)
    assert set(renamed.SETTINGS.values()) <= set(ServingSettings.model_fields)
    assert not set(OLD) & set(ServingSettings.model_fields)


@pytest.mark.parametrize("old", OLD)
def test_an_old_setting_is_read_from_the_yaml_file(home, caplog, old):
    (home / "conf" / "serving.yaml").write_text(json.dumps({old: VALUES[old]}))
    assert value_of(load([]), old) == VALUES[old]
    assert warnings_in(caplog) == [line_of(f"conf/serving.yaml: {old}", renamed.SETTINGS[old])]


@pytest.mark.parametrize("old", OLD)
def test_an_old_setting_is_read_from_the_environment(home, caplog, monkeypatch, old):
    monkeypatch.setenv(f"{PREFIX}{old.upper()}", str(VALUES[old]))
    assert value_of(load([]), old) == VALUES[old]
    new = renamed.SETTINGS[old].upper()
    assert warnings_in(caplog) == [line_of(f"{PREFIX}{old.upper()}", f"{PREFIX}{new}")]


@pytest.mark.parametrize("old", OLD)
@pytest.mark.parametrize("form", ["--{}={}", "--{} {}"])
def test_an_old_setting_is_read_from_the_command_line(home, caplog, old, form):
    assert value_of(load(form.format(old, VALUES[old]).split()), old) == VALUES[old]
    assert warnings_in(caplog) == [line_of(f"--{old}", f"--{renamed.SETTINGS[old]}")]


def line_of(old: str, new: str) -> str:
    return f"recstage: {old} is called {new} now; only this version still takes the old name"


def test_new_names_are_read_without_a_warning(home, caplog, monkeypatch):
    (home / "conf" / "serving.yaml").write_text("bundle_dir: data/elsewhere\n")
    monkeypatch.setenv(f"{PREFIX}QUEUE_LAG_MS", "80")
    found = load(["--reverse_model_name", "backwards"])
    assert (str(found.bundle_dir), found.queue_lag_ms, found.reverse_model_name) == ("data/elsewhere", 80, "backwards")
    assert warnings_in(caplog) == []


def test_a_second_look_at_the_settings_warns_no_second_time(home, caplog):
    (home / "conf" / "serving.yaml").write_text("bundles: data/elsewhere\n")
    load([])
    load([])
    assert len(warnings_in(caplog)) == 1


def test_a_later_source_wins_by_whichever_name(home, monkeypatch):
    (home / "conf" / "serving.yaml").write_text("queue_lag_ms: 60\nbody_seconds: 3\n")
    monkeypatch.setenv(f"{PREFIX}STANDING_LAG_MS", "70")
    monkeypatch.setenv(f"{PREFIX}BODY_TIMEOUT_SECONDS", "4")
    found = load([])
    assert (found.queue_lag_ms, found.body_timeout_seconds) == (70, 4)
    assert load(["--standing_lag_ms", "80"]).queue_lag_ms == 80


def test_a_setting_by_both_names_in_one_place_is_refused(home, monkeypatch):
    monkeypatch.setenv(f"{PREFIX}STANDING_LAG_MS", "70")
    monkeypatch.setenv(f"{PREFIX}QUEUE_LAG_MS", "80")
    with pytest.raises(ConfigError, match="the setting is given twice. Remove RECSTAGE_SERVING_STANDING_LAG_MS"):
        load([])
    monkeypatch.delenv(f"{PREFIX}STANDING_LAG_MS")
    (home / "conf" / "serving.yaml").write_text("bundles: a\nbundle_dir: b\n")
    with pytest.raises(ConfigError, match="the setting is given twice. Remove bundles"):
        load([])


def test_a_wrong_value_of_an_old_name_is_refused_by_the_new_name(home, monkeypatch):
    monkeypatch.setenv(f"{PREFIX}STANDING_LAG_MS", "-1")
    with pytest.raises(ConfigError, match="queue_lag_ms"):
        load([])


def test_workers_get_old_variables_by_their_new_names(home, monkeypatch):
    monkeypatch.setenv(f"{PREFIX}STANDING_LAG_MS", "70")
    for new in renamed.SETTINGS.values():  # set and deleted, so that what `_export` sets is undone after the test
        monkeypatch.setenv(f"{PREFIX}{new.upper()}", "")
        monkeypatch.delenv(f"{PREFIX}{new.upper()}")
    serving_main._export(load([]))
    assert load([]).queue_lag_ms == 70
    assert f"{PREFIX}STANDING_LAG_MS" not in os.environ


def test_worker_processes_repeat_no_warning(caplog, monkeypatch):
    monkeypatch.setattr(renamed.multiprocessing, "parent_process", lambda: object())
    renamed.warn("old", "new")
    assert warnings_in(caplog) == []


# -- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), renamed.TARGETS.items())
def test_an_old_class_name_in_a_yaml_file_is_found_with_one_warning(caplog, old, new):
    mine = ModelConfig(name="mine", target=old)
    assert type(models.build(mine)) is models.class_of(new) is models.class_of(old)
    assert models.params_class(mine) is models.class_of(new).Params
    assert warnings_in(caplog) == [line_of(f"conf/model/mine.yaml: {old}", new)]


def test_an_old_class_name_in_a_bundle_brings_no_warning(caplog):
    for old in renamed.TARGETS:
        models.class_of(old)
    assert warnings_in(caplog) == []


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize(
    ("old", "arguments", "says"),
    [
        ("serving.database", ["verify"], '"revision"'),
        ("serving.drills", ["--help"], "--quick"),
        ("serving.store.drills", ["--help"], "ingest"),
        ("serving.watcher", ["data/serving", "60", "recommender"], ""),
    ],
)
def test_an_old_command_runs_with_one_line_that_names_the_new_one(installation, old, arguments, says):
    done = subprocess.run(
        [sys.executable, "-m", old, *arguments],
        cwd=installation.home,
        env=installation.environment,
        input="",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    lines = [line for line in done.stderr.splitlines() if "is called" in line]
    assert line_of(f"python -m {old}", f"python -m {renamed.COMMANDS[old]}") in lines
    assert len([line for line in lines if "python -m" in line]) == 1


def test_every_old_command_is_tried():
    tried = test_an_old_command_runs_with_one_line_that_names_the_new_one.pytestmark[0].args[1]
    assert {old for old, *_ in tried} == set(renamed.COMMANDS)


def test_a_mistake_in_an_old_command_is_one_line_and_status_2(installation):
    done = installation.run("-m", "serving.database", "upgrad")
    assert done.status == 2
    assert "invalid choice: 'upgrad'" in done.messages


# -- metrics ----------------------------------------------------------------------------------------------------------


def exposed(metrics: Metrics) -> list[str]:
    return metrics.render().decode().splitlines()


def test_renamed_metrics_are_shown_by_both_names():
    metrics = Metrics()
    metrics.count_recommendation("als")
    metrics.model_swaps.labels("recommender", "swapped").inc()
    metrics.swap_seconds.observe(0.2)
    metrics.swapped_at.labels("recommender").set(5)
    metrics.registry_age.labels("recommender").set(3)
    lines = exposed(metrics)
    assert 'recstage_answers_total{method_used="als"} 1.0' in lines
    for old, new in renamed.METRICS.items():
        by_old = sorted(line.removeprefix(old.removesuffix("_total")) for line in lines if line.startswith(old))
        by_new = sorted(line.removeprefix(new.removesuffix("_total")) for line in lines if line.startswith(new))
        assert by_old == by_new != []
        assert any(line.startswith(f"# HELP {old} Old name of ") for line in lines)


def test_renamed_labels_stand_beside_their_new_names():
    metrics = Metrics()
    metrics.fallbacks.labels("strategy").inc()
    metrics.refused.labels("overloaded").inc(2)
    lines = exposed(metrics)
    assert 'recstage_fallbacks_total{reason="strategy",why="strategy"} 1.0' in lines
    assert 'recstage_requests_refused_total{reason="overloaded",why="overloaded"} 2.0' in lines


def test_several_workers_show_old_names_too(tmp_path):
    program = (
        "from serving.monitoring.metrics import Metrics; m = Metrics(); m.count_recommendation('als');"
        "m.fallbacks.labels('strategy').inc(); print(m.render().decode())"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert 'recstage_answers_total{method_used="als"} 1.0' in done.stdout
    assert 'recstage_recommendations_total{method_used="als"} 1.0' in done.stdout
    assert 'recstage_fallbacks_total{reason="strategy",why="strategy"} 1.0' in done.stdout


def test_dashboard_and_alerts_use_new_names_only():
    folder = Path(__file__).parents[2] / "conf" / "monitoring"
    text = "".join(path.read_text() for path in folder.iterdir())
    assert [old for old in renamed.METRICS if old in text] == []
    assert "why" not in text.replace("says why", "")


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_about_upgrading_lists_every_old_name_with_its_new_one():
    page = (Path(__file__).parents[2] / "docs" / "upgrading.md").read_text()
    for table in (renamed.SETTINGS, renamed.COMMANDS, renamed.METRICS, renamed.LABELS, renamed.TARGETS):
        for old, new in table.items():
            assert any(f"`{old}`" in line and f"`{new}`" in line for line in page.splitlines()), old
