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

DEPLOY = root() / "conf" / "deploy"
DOCKERFILES = sorted(path.name for path in DEPLOY.glob("*.Dockerfile"))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
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
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", (DEPLOY / "compose.yaml").read_text()))
    given = set(re.findall(r"^([A-Z0-9_]+)=", (DEPLOY / "example.env").read_text(), re.MULTILINE))
    assert used == given


def test_the_example_holds_no_secret():
    lines = (DEPLOY / "example.env").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    keys = json.loads(values.pop("API_KEYS").strip("'"))
    assert [key["sha256"] for key in keys] == ["", ""]
    assert set(values.values()) == {""}


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
    compose = COMPOSE["services"]["service"]["environment"]
    container = next(m.values[0] for m in MANIFESTS if m.values[0]["kind"] == "Deployment")["spec"]["template"]["spec"]
    variables = {one["name"] for one in container["containers"][0]["env"]}
    secret = next(m.values[0] for m in MANIFESTS if m.values[0]["kind"] == "Secret")["stringData"]
    texts = {name: (DEPLOY / name).read_text() for name in ("service.Dockerfile", "recstage.service")}
    found = {name: set(re.findall(rf"({PREFIX}\w+)=", text)) for name, text in texts.items()}
    return {"compose": set(compose), "kubernetes": variables | set(secret), **found}


@pytest.mark.parametrize("name", sorted(environments()))
def test_the_settings_that_are_set_exist(name):
    known = {f"{PREFIX}{field}".upper() for field in ServingSettings.model_fields}
    assert {variable for variable in environments()[name] if variable.startswith(PREFIX)} <= known


def test_the_service_starts_with_the_settings_of_compose(monkeypatch):
    values = {"POSTGRES_PASSWORD": "p", "API_KEYS": json.dumps([{"name": "ops", "role": "admin", "sha256": "ab" * 32}])}
    for variable, value in COMPOSE["services"]["service"]["environment"].items():
        filled = re.sub(r"\$\{(\w+)[^}]*\}", lambda found: values.get(found[1], "x"), value)
        monkeypatch.setenv(variable, filled)
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


@pytest.mark.slow
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
