"""Dockerfiles, compose, Kubernetes, systemd: linted, and held to the settings and files that they name."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from recstage.config import root
from serving.settings import PREFIX, ServingSettings, load
from tests.deploy.deployment import compose, filled_pairs, folder, pairs

DEPLOY = folder()
DOCKERFILES = sorted(path.name for path in DEPLOY.glob("*.Dockerfile"))
COMPOSE: dict[str, Any] = compose()
ENV_FILES = ("service.env", "mlflow.env")
SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "S3_KEY", "S3_SECRET", "MLFLOW_SECRET", "MLFLOW_PASSWORD")
MANIFESTS = [
    pytest.param(manifest, id=f"{path.stem}-{manifest['kind']}")
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text())
]
KUBERNETES = "1.34"
TRAINING_ONLY = ("torch", "optuna")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_dockerfile_has_no_fault_that_hadolint_finds(name):
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([hadolint, DEPLOY / name], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_a_dockerfile_copies_exists_and_is_sent_to_the_build(name):
    text = (DEPLOY / name).read_text()
    ignored = DEPLOY / f"{name}.dockerignore"
    sent = ignored.read_text().split() if ignored.exists() else []
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (root() / source).exists(), source
            assert not sent or f"!{source.split('/')[0]}" in sent, source
    assert re.search(r"^USER 10001$", text, re.MULTILINE)


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_follows_the_schema_of_kubernetes(manifest):
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_the_schema_finds_a_misspelt_field():
    wrong = {**MANIFESTS[1].values[0], "specc": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_every_variable_of_compose_stands_in_the_example_and_nothing_else():
    texts = [(DEPLOY / "compose.yaml").read_text(), *(value for name in ENV_FILES for value in pairs(name).values())]
    used = {name for text in texts for name in re.findall(r"\$\{([A-Z0-9_]+)", text)}
    assert used == pairs("example.env").keys()


def test_the_example_holds_no_secret_and_names_the_parts_of_compose():
    values = pairs("example.env")
    keys = json.loads(values.pop("API_KEYS").strip("'"))
    assert [key["sha256"] for key in keys] == ["", ""]
    assert {values.pop(name) for name in (*SECRETS, "SERVICE_KEY", "GRAFANA_PASSWORD", "READ_DATABASE_URL")} == {""}
    hosts = {re.findall(r"^(?:http://)?([a-z]+):", value)[0] for value in values.values()}
    assert hosts <= COMPOSE["services"].keys()


@pytest.mark.parametrize("name", ENV_FILES)
def test_an_env_file_writes_no_secret_out_and_compose_reads_it(name):
    secret = [variable for variable in pairs(name) if re.search(r"PASSWORD|SECRET|KEYS?$|KEY_ID", variable)]
    assert secret
    assert all(re.fullmatch(r"\$\{[A-Z0-9_]+\}", pairs(name)[variable]) for variable in secret)
    assert [service for service in COMPOSE["services"].values() if service.get("env_file") == name]


def test_compose_refers_to_what_it_defines_and_to_files_that_exist():
    services = COMPOSE["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= services.keys(), name
        for config in service.get("configs", ()):
            assert config["source"] in COMPOSE["configs"], name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            known = source in COMPOSE["volumes"] or (DEPLOY / source).exists()
            assert known, (name, source)
        if "image" in service:
            assert re.search(r":v?\d", service["image"]), f"{name} needs a fixed version"
        else:
            assert (DEPLOY / service["build"]["context"]).resolve() == root()
            assert (root() / service["build"]["dockerfile"]).is_file()


def test_compose_opens_ports_on_the_loopback_only():
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def environments() -> dict[str, set[str]]:
    """The settings that each file sets, by its name."""
    container = next(m.values[0] for m in MANIFESTS if m.values[0]["kind"] == "Deployment")["spec"]["template"]["spec"]
    variables = {one["name"] for one in container["containers"][0].get("env", ())}
    secret = next(m.values[0] for m in MANIFESTS if m.values[0]["kind"] == "Secret")["stringData"]
    texts = {name: (DEPLOY / name).read_text() for name in ("service.Dockerfile", "recstage.service")}
    found = {name: set(re.findall(rf"({PREFIX}\w+)=", text)) for name, text in texts.items()}
    return {"service.env": set(pairs("service.env")), "kubernetes": variables | set(secret), **found}


@pytest.mark.parametrize("name", sorted(environments()))
def test_the_settings_that_are_set_exist(name):
    known = {f"{PREFIX}{field}".upper() for field in ServingSettings.model_fields}
    assert {variable for variable in environments()[name] if variable.startswith(PREFIX)} <= known


@pytest.mark.parametrize("name", ["kubernetes", "recstage.service"])
def test_kubernetes_and_systemd_set_what_compose_sets(name):
    text = (DEPLOY / "recstage.service").read_text()
    named = {"recstage.service": set(re.findall(r"^#   (\w+)$", text, re.MULTILINE))}.get(name, environments()[name])
    assert named == environments()["service.env"]


def test_the_service_starts_with_the_settings_of_compose(monkeypatch):
    values = pairs("example.env") | dict.fromkeys(SECRETS, "a-secret")
    values["API_KEYS"] = json.dumps([{"name": "ops", "role": "admin", "sha256": "ab" * 32}])
    for variable, value in filled_pairs("service.env", values).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv(f"{PREFIX}HOST", "0.0.0.0")  # as the image sets it
    settings = load()
    settings.check_binding()
    assert (settings.workers, settings.guarded) == (2, True)


def test_the_requirements_of_the_service_are_pinned_and_leave_out_what_only_trains():
    lines = (DEPLOY / "service-requirements.txt").read_text().splitlines()
    names = [re.split(r"[\[ ]", line)[0] for line in lines if not line.startswith("#")]
    constraints = (root() / "constraints.txt").read_text().splitlines()
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in constraints}
    assert set(names) <= pinned
    assert not set(names) & set(TRAINING_ONLY)


@pytest.mark.integration
def test_the_service_and_the_commands_of_its_registry_import_nothing_that_only_trains():
    block = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {TRAINING_ONLY!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
import serving.app, serving.__main__, serving.models.registry_sync, serving.store.__main__
import recstage.commands.app, recstage.steps.registry.promote, recstage.steps.registry.rollback
"""
    found = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, cwd=root(), check=False)
    assert found.returncode == 0, found.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_the_unit_is_one_of_systemd(tmp_path):
    unit = (DEPLOY / "recstage.service").read_text()
    unit = re.sub(r"/opt/recstage/\.venv/bin/python", sys.executable, unit)  # verify wants the program to exist
    path = tmp_path / "recstage.service"
    path.write_text(unit)
    found = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    ours = [line for line in found.stderr.splitlines() if str(path) in line or "recstage.service" in line]
    assert not [line for line in ours if "Unknown" in line or "Failed to parse" in line or "Invalid" in line], ours


def test_the_proxies_listen_on_and_close_before_the_same_service():
    nginx, haproxy = ((DEPLOY / name).read_text() for name in ("nginx.conf", "haproxy.cfg"))
    port, keep = (
        ServingSettings.model_fields["port"].default,
        ServingSettings.model_fields["keep_alive_seconds"].default,
    )
    assert f"server 127.0.0.1:{port};" in nginx
    assert f"server one 127.0.0.1:{port}" in haproxy
    (of_nginx,) = re.findall(r"keepalive_timeout (\d+)s", nginx)
    (of_haproxy,) = re.findall(r"timeout http-keep-alive (\d+)s", haproxy)
    assert max(int(of_nginx), int(of_haproxy)) < keep
    assert f"req.body_size gt {ServingSettings.model_fields['max_body_bytes'].default} " in haproxy
    assert all("/metrics" in text and "/api/operations/" in text for text in (nginx, haproxy))
    (stream,) = re.findall(r"location = /api/recommendations/stream \{(.*?)\}", nginx, re.DOTALL)
    assert "proxy_buffering off;" in stream


def test_every_image_names_its_version():
    texts = [path.read_text() for path in (DEPLOY / "compose.yaml", *(DEPLOY / name for name in DOCKERFILES))]
    images = [name for text in texts for name in re.findall(r"^(?:FROM|\s+image:) (\S+)", text, re.MULTILINE)]
    assert len(images) > len(DOCKERFILES)
    for image in images:
        assert re.search(r":v?\d+\.?\d*", image), image


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_a_dockerfile_installs_is_pinned_and_what_it_runs_is_there(name):
    text = (DEPLOY / name).read_text().replace("\\\n", " ")
    pins = (root() / "constraints.txt").read_text()
    installs = re.findall(r"pip install (?!--no-deps)([^\n&]*)", text)
    assert installs
    for install in installs:
        assert "--constraint" in install
        words = [
            word for word in install.split() if not word.startswith(("-", ".", '".')) and not word.endswith(".txt")
        ]
        for word in words:
            package = re.sub(r'["\']|\[.*', "", word)
            assert re.search(rf"^{re.escape(package)}==", pins, re.MULTILINE), package
    for words in map(json.loads, re.findall(r"CMD (\[.*\])$", text, re.MULTILINE)):
        program = re.findall(r"exec (\S+)", words[-1])[0] if words[0] == "sh" else words[0]
        assert Path(sys.executable).with_name(program).exists(), program
