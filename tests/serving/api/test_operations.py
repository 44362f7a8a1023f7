"""GET /api/operations and the changes of the registry: roles, what is missing, and what is passed on."""

from __future__ import annotations

import pytest

from serving.models.overview.copy import ChangeRow, RegistryCopy, VersionRow, write_copy
from serving.models.repository import BundleRepository
from serving.operations.registry_commands import RegistryCommands
from tests.serving.doubles import FakePointer

KEYS = [{"name": f"{role}-key", "role": role, "key": f"a-key-for-the-role-{role}"} for role in ("service", "admin")]
ADMIN = {"x-api-key": KEYS[1]["key"]}
PROMOTE, ROLLBACK = "/api/operations/promote", "/api/operations/rollback"


@pytest.fixture
def words(monkeypatch) -> list[list[str]]:
    """The commands that would have run."""
    ran: list[list[str]] = []

    async def run(self, given):
        ran.append(list(given))
        return {"version": 3, "previous": 2, "gate": "passed", "checks": ["passed: well"]}

    monkeypatch.setattr(RegistryCommands, "run", run)
    return ran


def test_it_says_what_serves_and_what_is_not_known(als, stage, serve):
    staged = stage(als, "7", since="2026-11-26T09:12:03.120Z", promoted_by="alex", reason="better", previous="6")
    with serve(FakePointer(staged)) as client:
        client.get("/api/recommendations", params={"user_id": "u1"})
        found = client.get("/api/operations").json()
    assert (found["role"], found["served"]["version"], found["served"]["promotion"]["by"]) == ("admin", "7", "alex")
    assert (found["registry"], found["click_through"], found["drift"]) == (None, None, None)
    assert found["live"]["methods"] == {"als": 1}


def test_without_a_model_it_says_so_instead_of_failing(serve):
    with serve(FakePointer()) as client:
        found = client.get("/api/operations").json()
    assert found["served"] is None
    assert [one["name"] for one in found["conditions"]] == ["nothing-staged"]


def test_versions_are_read_from_the_copy_and_compared_with_production(als, stage, serve, tmp_path):
    repository = BundleRepository(tmp_path / "serving", "recommender")
    repository.prepare()
    about = {"created_at": 1_700_000_000_000, "run_id": "r", "data": "d", "split": "s"}
    rows = (
        VersionRow("3", "Staging", "knn", **about, fingerprint="g", gate="refused", gate_reasons="one; two"),
        VersionRow("2", "Production", "als", **about, fingerprint="f", figures={"ndcg_at_10": 0.3}),
        VersionRow("1", "Archived", "als", **about, fingerprint="f"),
    )
    write_copy(
        repository, RegistryCopy(1_700_000_000.0, rows, (ChangeRow("2", "1", 1_700_000_000_000, "a", "promote", ""),))
    )
    with serve(FakePointer(stage(als, "2")), follow_registry=True) as client:
        found = client.get("/api/operations").json()["registry"]
    assert [(one["version"], one["comparable"]) for one in found["versions"]] == [
        ("3", False),
        ("2", True),
        ("1", True),
    ]
    assert found["versions"][0]["gate_reasons"] == ["one", "two"]
    assert found["changes"][0]["previous"] == "1"


def test_only_an_admin_may_change_something(als, stage, serve, words):
    with serve(FakePointer(stage(als, "2")), api_keys=KEYS, follow_registry=True) as client:
        service = {"x-api-key": KEYS[0]["key"]}
        assert client.get("/api/operations", headers=service).json()["role"] == "service"
        for path, body in ((PROMOTE, {"version": "3", "reason": "why not"}), (ROLLBACK, {"reason": "why not"})):
            assert client.post(path, json=body, headers=service).status_code == 403
            assert client.post(path, json=body).status_code == 401
    assert words == []


def test_a_change_is_passed_on_with_who_and_why_and_polled_for_at_once(als, stage, serve, words):
    pointer = FakePointer(stage(als, "2"))
    with serve(pointer, api_keys=KEYS, follow_registry=True) as client:
        reason = "--force, 'quoted' and; more"
        answer = client.post(PROMOTE, json={"version": "3", "reason": reason}, headers=ADMIN)
        assert (answer.status_code, answer.json()["version"], answer.json()["gate"]) == (200, 3, "passed")
        client.post(PROMOTE, json={"version": "3", "reason": "really", "force": True}, headers=ADMIN)
        client.post(ROLLBACK, json={"to": "1", "reason": "back"}, headers=ADMIN)
    about = ["--name=recommender", "--by=admin-key"]
    assert words == [
        ["promote", "3", *about, f"--reason={reason}"],
        ["promote", "3", *about, "--reason=really", "--force"],
        ["rollback", *about, "--reason=back", "--to=1"],
    ]
    assert pointer.polls_requested == 3


@pytest.mark.parametrize(
    "body",
    [
        {"version": "best", "reason": "why not"},
        {"version": "--force", "reason": "why not"},
        {"version": "3"},
        {"version": "3", "reason": ""},
        {"version": "3", "reason": "two\nlines"},
        {"version": "3", "reason": "why not", "force": "yes"},
        {"version": "3", "reason": "why not", "name": "another"},
    ],
)
def test_a_change_that_is_not_well_formed_is_refused(als, stage, serve, words, body):
    with serve(FakePointer(stage(als, "2")), follow_registry=True) as client:
        assert client.post(PROMOTE, json=body).status_code == 422
    assert words == []


def test_the_share_is_passed_on_and_returned_as_the_registry_has_it(als, stage, serve, monkeypatch):
    ran, running = [], {"experiment": "e", "production": 7, "challenger": 8, "share": 0.25, "mode": "split"}

    async def run(self, given):
        ran.append(list(given))
        return {"name": "recommender", **running}

    monkeypatch.setattr(RegistryCommands, "run", run)
    with serve(FakePointer(stage(als, "7")), follow_registry=True) as client:
        answer = client.post("/api/operations/experiment", json={"share": 0.25})
        for share in (1.01, -0.1, "0.1", None):
            assert client.post("/api/operations/experiment", json={"share": share}).status_code == 422
    assert answer.json() == running
    assert ran == [["experiment", "--share=0.25", "--mode=split", "--name=recommender"]]


def test_a_service_that_follows_no_registry_changes_none(als, stage, serve, words):
    with serve(FakePointer(stage(als, "2"))) as client:
        answer = client.post(PROMOTE, json={"version": "3", "reason": "why not"})
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/no-registry")
    assert words == []
