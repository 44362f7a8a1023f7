"""Settings: read from everywhere, refused clearly, documented all."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
import yaml

from recstage.config import root
from recstage.errors import ConfigError
from recstage.steps.experiments import ab_report
from recstage.steps.retraining import pipeline_metrics
from serving import __main__ as serving_main
from serving.monitoring.metrics import Metrics
from serving.settings import ServingSettings, load
from tests.serving.doubles import FakePointer

TABLE_ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", re.MULTILINE)


def documented() -> dict[str, str]:
    text = (root() / "docs" / "service.md").read_text().split("## Settings")[1].split("\n## ")[0]
    return {name: default for name, default, _ in TABLE_ROW.findall(text)}


def test_every_setting_is_documented_and_nothing_else():
    assert set(documented()) == set(ServingSettings.model_fields)


@pytest.mark.parametrize("name", list(ServingSettings.model_fields))
def test_the_documented_default_is_the_default(name):
    default = ServingSettings.model_fields[name].default
    words = {None: "none", (): "none", True: "true", False: "false", "": "empty"}
    is_word = default is None or isinstance(default, bool | tuple) or default == ""
    assert documented()[name] == (words[default] if is_word else f"`{default}`")


def test_the_command_line_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("RECSTAGE_SERVING_PORT", "9001")
    monkeypatch.setenv("RECSTAGE_SERVING_CORS_ORIGINS", '["https://a.example"]')
    assert load([]).port == 9001
    assert load(["--port", "9002"]).port == 9002
    assert load([]).cors_origins == ("https://a.example",)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("RECSTAGE_SERVING_PROT", "1", "Did you mean 'RECSTAGE_SERVING_PORT'?"),
        ("RECSTAGE_SERVING_PORT", "70000", "less than or equal to 65535"),
        ("RECSTAGE_SERVING_PRECOMPUTED", "often", "'slow', 'always' or 'never'"),
        ("RECSTAGE_SERVING_API_KEYS", "not json", "api_keys"),
        ("RECSTAGE_SERVING_API_KEYS", '[{"name": "a"}]', "an API key has a key or its sha256"),
        (
            "RECSTAGE_SERVING_API_KEYS",
            json.dumps([{"name": "a", "key": "Vq7-kT9xW2mZp4_h"}, {"name": "a", "key": "R8aD3sYf6uJ1cB5n"}]),
            "API keys have distinct names",
        ),
        ("RECSTAGE_SERVING_JWT_PUBLIC_KEY", "/no/such/file.pem", "there is no such file"),
    ],
)
def test_a_wrong_variable_is_one_clear_line(monkeypatch, name, value, sentence):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load([])
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECSTAGE_SERVING_JWT_SECRET", "hunter2"),
        ("RECSTAGE_SERVING_WEBHOOK_SECRET", "hunter2"),
        ("RECSTAGE_SERVING_API_KEYS", '[{"name": "a", "key": "hunter2"}]'),
    ],
)
def test_a_wrong_secret_is_not_repeated(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load([])
    assert "hunter2" not in str(caught.value)
    assert "should have at least" in str(caught.value)


def test_secrets_do_not_show_when_settings_are_printed():
    url = "postgresql://me:a-password@127.0.0.1/service"
    settings = ServingSettings(
        jwt_secret="Vq7-kT9xW2mZp4_hR8aD3sYf6uJ1cB5n",
        api_keys=[{"name": "a", "key": "a-Strong-one-4-tests9"}],
        database_url=url,
    )
    assert "a-password" not in repr(settings) + str(settings)
    assert "ssss" not in repr(settings)
    assert "kkkk" not in repr(settings)


# -- what watches it --------------------------------------------------------------------------------------------------


def metric_names() -> set[str]:
    """All series that the service can show, with the suffixes of their kinds."""
    names = set()
    for family in Metrics().registry.collect():
        names |= {family.name, f"{family.name}_total", f"{family.name}_bucket", f"{family.name}_count"}
    return names


@pytest.mark.parametrize("file", ["alerts.yml", "grafana-dashboard.json"])
def test_the_monitoring_files_name_metrics_that_exist(file):
    text = (root() / "conf" / "monitoring" / file).read_text()
    parsed = yaml.safe_load(text) if file.endswith("yml") else json.loads(text)
    assert parsed
    used = set(re.findall(r"recstage_\w+", text))
    assert used
    written = {*pipeline_metrics.HELP, *re.findall(r"^(recstage_\w+)", ab_report.METRICS_TEXT, re.MULTILINE)}
    assert used <= metric_names() | written


ASKED_FOR = {
    "ManyRequestsFail": "> 0.05",
    "RecommendationsVerySlow": "> 0.2",
    "CacheMisses": "< 0.8",
    "ModelFails": "> 5",
    "FewLearnedLists": "< 0.6",
    "InteractionsDryUp": "offset 1d",
    "ModelStale": "> 14 * 86400",
    "RetrainingFails": "< 0.8",
    "TriggerMissed": "> 8 * 86400",
    "SampleRatioMismatch": "< 0.01",
}


def test_there_is_a_rule_for_everything_that_somebody_must_know():
    rules = yaml.safe_load((root() / "conf" / "monitoring" / "alerts.yml").read_text())["groups"][0]["rules"]
    expressions = {rule["alert"]: rule["expr"] for rule in rules}
    assert len(expressions) == len(rules)
    assert {name for name, part in ASKED_FOR.items() if part not in expressions.get(name, "")} == set()


def test_promtool_takes_the_rules_and_they_fire_when_they_should(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus): the rules are not run")
    folder = root() / "conf" / "monitoring"
    subprocess.run([promtool, "check", "rules", str(folder / "alerts.yml")], check=True, capture_output=True)
    cases = yaml.safe_load((root() / "tests" / "serving" / "alert_cases.yml").read_text())
    cases["rule_files"] = [str(folder / "alerts.yml")]
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(cases))
    done = subprocess.run([promtool, "test", "rules", str(tmp_path / "cases.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_shows_every_metric():
    text = (root() / "conf" / "monitoring" / "grafana-dashboard.json").read_text()
    missing = {family.name for family in Metrics().registry.collect() if family.name not in text}
    assert missing == set()


def test_the_scrape_configuration_loads_the_alerts():
    folder = root() / "conf" / "monitoring"
    scrape = yaml.safe_load((folder / "prometheus.yml").read_text())
    assert all((folder / name).is_file() for name in scrape["rule_files"])
    assert scrape["scrape_configs"][0]["metrics_path"] == "/metrics"


# -- reload and webhook -----------------------------------------------------------------------------------------------


def signed(secret: str, body: bytes, sent: str, delivery: str = "d-1") -> dict[str, str]:
    from mlflow.webhooks.delivery import _generate_hmac_signature

    signature = _generate_hmac_signature(secret, delivery, sent, body.decode())
    return {"x-mlflow-signature": signature, "x-mlflow-delivery-id": delivery, "x-mlflow-timestamp": sent}


def test_the_webhook_of_mlflow_requests_a_poll(als, stage, serve):
    import time

    secret, body = "webhook-secret-of-some-length", b'{"entity": "model_version_tag", "action": "set"}'
    pointer, now = FakePointer(stage(als, "1")), str(int(time.time()))
    keys = [{"name": "web", "role": "client", "key": "a-Strong-one-4-tests9"}]
    with serve(pointer, webhook_secret=secret, api_keys=keys) as client:
        statuses = [
            client.post("/api/model/webhook", content=body, headers=headers).status_code
            for headers in (
                signed(secret, body, now),
                signed("another-secret-of-that-length", body, now),
                signed(secret, b"another body", now),
                signed(secret, body, str(int(now) - 3600)),
                signed(secret, body, str(int(now) + 3600)),
                {},
            )
        ]
    assert statuses == [202, 401, 401, 401, 401, 401]
    assert pointer.polls_requested == 1


def test_without_its_secret_the_webhook_is_off(als, stage, serve):
    with serve(FakePointer(stage(als, "1"))) as client:
        assert client.post("/api/model/webhook", content=b"{}").status_code == 404


def test_reload_requests_a_poll_and_names_the_version(als, stage, serve):
    pointer = FakePointer(stage(als, "1"))
    with serve(pointer) as client:
        answered = client.post("/api/model/reload")
    assert (answered.status_code, answered.json()) == (202, {"status": "looking", "version": "1"})
    assert pointer.polls_requested == 1


# -- several workers --------------------------------------------------------------------------------------------------


def test_settings_reach_the_workers_as_they_were_given(monkeypatch, tmp_path):
    from serving.__main__ import _export

    given = load(
        [
            *("--workers", "2", "--bundle_dir", str(tmp_path / "bundles"), "--database_url", "", "--rate_limit", "2.5"),
            *(
                "--follow_registry",
                "false",
                "--cors_origins",
                '["https://a.example"]',
                "--jwt_secret",
                "Vq7-kT9xW2mZp4_hR8aD3sYf6uJ1cB5n",
            ),
            *("--api_keys", json.dumps([{"name": "a", "role": "admin", "key": "a-Strong-one-4-tests9"}])),
        ]
    )
    for name in ServingSettings.model_fields:
        monkeypatch.setenv(f"RECSTAGE_SERVING_{name.upper()}", "")  # so that it is put back afterwards
        monkeypatch.delenv(f"RECSTAGE_SERVING_{name.upper()}")
    _export(given)
    assert load([]).model_dump() == given.model_dump()


def test_an_idle_connection_is_kept_as_long_as_the_setting(monkeypatch, tmp_path):
    given = {}

    class Config:
        def __init__(self, app, **settings):
            given.update(settings)

        def bind_socket(self):
            raise SystemExit(1)

    monkeypatch.setattr("uvicorn.Config", Config)
    monkeypatch.setattr("serving.monitoring.logging.configure", lambda level: None)
    with pytest.raises(ConfigError):
        serving_main._run(ServingSettings(keep_alive_seconds=33, workers=2, bundle_dir=tmp_path))
    assert given["timeout_keep_alive"] == 33
    assert ServingSettings().keep_alive_seconds > 60  # what proxies keep theirs for


def test_a_broken_evaluation_file_is_one_clear_line_and_exit_status_two(monkeypatch, tmp_path, capsys):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "evaluation.yaml").write_text("cold_below: 9\nhot_from: 4\n")
    monkeypatch.setattr("recstage.config.root", lambda: tmp_path)
    assert serving_main.main(["--port", "0", "--bundle_dir", str(tmp_path / "bundles"), "--database_url", ""]) == 2
    shown = capsys.readouterr().err.strip()
    assert "hot_from = 4 is below cold_below = 9" in shown
    assert shown.count("\n") == 0
