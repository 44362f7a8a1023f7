"""What the service says of its health: one list for `/api/model`, `/health/ready`, the metrics and the log."""

from __future__ import annotations

import json
import logging
import re
import time

import pytest

from recstage.config import root
from recstage.errors import StoreError
from serving.errors import without_paths
from serving.health.conditions import ActiveCondition, Condition
from serving.models.repository import PollResult
from serving.models.version_manager import VersionManager
from tests.serving.doubles import FakePointer, MemoryStore

BROKEN = "state.npz does not match its SHA-256. Train it again, or promote another version."


@pytest.fixture
def pointer(als, stage) -> FakePointer:
    return FakePointer(stage(als, "7"))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def client(pointer, serve, store):
    with serve(pointer, dependencies=store.dependencies(), follow_registry=True) as client:
        yield client


def gauge(client) -> set[tuple[str, str]]:
    """The conditions that the metrics report: (name, model)."""
    lines = re.findall(r'recstage_condition\{condition="([^"]*)",model="([^"]*)"\} 1\.0', client.get("/metrics").text)
    return set(lines)


def told(client) -> tuple[dict | None, list[str]]:
    """`failing` and the names of the conditions, which all places agree on."""
    # between the two a second may pass, which some conditions tell
    model, ready = (
        json.loads(re.sub(r"\d+ seconds", "some seconds", client.get(path).text))
        for path in ("/api/model", "/health/ready")
    )
    assert (ready["degraded"], ready["conditions"]) == (model["degraded"], model["conditions"])
    assert [one["text"] for one in model["conditions"]] == model["degraded"]
    assert gauge(client) == {(one["name"], one["model"] or "") for one in model["conditions"]}
    return model["failing"], [one["name"] for one in model["conditions"]]


# -- each condition ---------------------------------------------------------------------------------------------------


def test_a_recent_poll_without_a_problem_is_health(client, pointer):
    pointer.poll_result = PollResult(time.time(), "7")
    assert told(client) == (None, [])


def test_a_version_that_cannot_be_fetched_is_failing_while_the_one_before_serves(client, pointer):
    pointer.poll_result = PollResult(time.time(), "8", BROKEN, tries=3, about="version")
    assert told(client) == ({"version": "8", "reason": BROKEN, "tries": 3}, ["version-unfetchable"])
    assert client.get("/api/model").json()["version"] == "7"
    assert f"version 8: {BROKEN}" in client.get("/health/ready").json()["degraded"][0]


def test_a_version_that_cannot_be_loaded_is_failing(client, pointer, popularity, stage):
    pointer.staged = stage(popularity, "8")
    (pointer.staged.folder / "state.npz").write_bytes(b"cut off")
    client.app.state.service.versions.step()
    failing, names = told(client)
    assert (failing["version"], names) == ("8", ["version-unloadable"])
    assert "state.npz does not match" in failing["reason"]


def test_a_registry_that_does_not_answer_is_no_failing_version(client, pointer):
    pointer.poll_result = PollResult(time.time(), None, "the MLflow server does not answer")
    assert told(client) == (None, ["registry-unavailable"])


def test_a_folder_of_bundles_that_is_full_is_told(client, pointer):
    pointer.poll_result = PollResult(time.time(), "8", "No space left on device (ENOSPC)", about="disk")
    assert told(client) == (None, ["bundles-not-writable"])


def test_polls_that_stopped_are_told(client, pointer):
    client.app.state.service.versions._started_at -= 600
    pointer.poll_result = PollResult(time.time() - 300, "7")
    assert told(client) == (None, ["registry-stale"])
    assert "the registry was last polled 30" in client.get("/health/ready").json()["degraded"][0]


def test_the_poll_of_an_earlier_run_is_not_called_overdue_at_the_start(client, pointer):
    pointer.poll_result = PollResult(time.time() - 86_400, "7")
    assert told(client) == (None, [])


def test_a_first_poll_that_hangs_is_told_while_no_version_serves(serve):
    with serve(FakePointer(), follow_registry=True) as client:
        client.app.state.service.versions._started_at -= 60
        answer = client.get("/health/ready")
        assert ("registry-stale", "recommender") in gauge(client)
    assert answer.status_code == 503
    assert re.search(r"the registry was not polled in the 6\d seconds since the service", answer.json()["detail"])


def test_a_hanging_poll_of_the_reverse_model_is_told(client, pointer):
    pointer.poll_result = PollResult(time.time(), "7")
    client.app.state.service.reverse_versions._started_at -= 60
    assert told(client) == (None, ["registry-stale"])
    assert gauge(client) == {("registry-stale", "recommender-reverse")}


def test_a_registered_model_that_was_deleted_is_told(client, pointer):
    pointer.poll_result = PollResult(time.time(), None, absent=True)
    assert told(client) == (None, ["model-unregistered"])


def test_a_name_that_was_never_registered_is_no_condition_of_the_reverse_model(client):
    client.app.state.service.reverse_versions._pointer.write_poll(PollResult(time.time(), None, absent=True))
    assert told(client) == (None, [])


def test_a_contradiction_of_stage_and_alias_is_told(client, pointer):
    conflict = "stage Production moved to 8 and alias production to 9: version 7 stays until they agree"
    pointer.poll_result = PollResult(time.time(), "7", conflict=conflict)
    assert told(client) == (None, ["stage-alias-conflict"])
    assert conflict in client.get("/health/ready").json()["degraded"][0]


def test_an_unavailable_database_is_told(client, store):
    store.unavailable = True
    assert told(client) == (None, ["database-unavailable"])


def test_writes_that_fail_are_told(client, store):
    store.refused_writes = "no space is left on its disk"
    assert told(client) == (None, ["writes-failing"])
    assert client.get("/health/ready").json()["degraded"][0].endswith("no space is left on its disk")


def test_a_staged_version_that_is_not_here_is_not_called_nothing(serve):
    pointer = FakePointer()
    pointer.poll_result = PollResult(time.time(), "8", BROKEN, tries=1, about="version")
    with serve(pointer) as client:
        answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert f"version 8 cannot be fetched: {BROKEN}" in answer.json()["detail"]
    assert "nothing is staged" not in answer.text


@pytest.mark.parametrize(("staged", "name"), [("8", "version-missing"), (None, "nothing-staged")])
def test_while_fallback_models_serve_the_staged_version_is_named(serve, als, stage, staged, name):
    pointer = FakePointer(stage(als, "7"))
    with serve(pointer, follow_registry=True) as client:
        pointer.staged, pointer.last_good = None, None
        client.app.state.service.versions.step()
        pointer.poll_result = PollResult(time.time(), staged)
        assert told(client) == (None, [name])


def test_nothing_is_called_unstaged_before_the_registry_was_read(serve, als, stage):
    pointer = FakePointer(stage(als, "7"))
    with serve(pointer, follow_registry=True) as client:
        pointer.staged, pointer.last_good = None, None
        client.app.state.service.versions.step()
        for unread in (None, PollResult(time.time() - 3600, None)):
            pointer.poll_result = unread
            assert told(client) == (None, [])


def test_without_any_data_it_is_said_that_no_list_can_be_made(serve):
    with serve(FakePointer(), database_url="") as client:
        (condition,) = client.get("/api/operations").json()["conditions"]
    assert condition["text"].endswith("there is no data to make a list from either")


def test_nothing_is_called_unstaged_where_the_registry_cannot_be_read(serve, als, stage):
    pointer = FakePointer(stage(als, "7"))
    with serve(pointer, follow_registry=True) as client:
        pointer.staged, pointer.last_good = None, None
        client.app.state.service.versions.step()
        pointer.poll_result = PollResult(time.time(), None, "no answer")
        assert told(client)[1] == ["registry-unavailable"]


# -- the one list -----------------------------------------------------------------------------------------------------


def test_the_log_says_once_when_a_condition_begins_and_when_it_ends(client, pointer, caplog):
    with caplog.at_level(logging.INFO, logger="serving.health"):
        pointer.poll_result = PollResult(time.time(), None, "no answer")
        told(client)
        told(client)
        pointer.poll_result = PollResult(time.time(), "7")
        told(client)
    assert [(one.event, one.condition) for one in caplog.records] == [
        ("condition-began", "registry-unavailable"),
        ("condition-ended", "registry-unavailable"),
    ]


def test_the_docs_list_every_condition_with_its_text_and_remedy():
    page = (root() / "docs" / "monitoring.md").read_text()
    for one in Condition:
        assert f"| `{one.label}` | {one.text} | {one.remedy} |" in page, f"docs/monitoring.md lacks {one.label}"


def test_conditions_have_distinct_names_that_are_labels():
    labels = [one.label for one in Condition]
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch("[a-z-]+", label) for label in labels)


# -- no path of this machine ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("bundle /tmp/x/versions/8: state.npz is missing", "bundle 8: state.npz is missing"),
        (
            "[Errno 28] No space left on device: '/tmp/a folder/poll.json'",
            "[Errno 28] No space left on device: 'poll.json'",
        ),
        ("sqlite:////tmp/data/service.db: locked", "service.db: locked"),
        ("sqlite:////tmp/mlflow.db cannot be read (see file:///tmp/log)", "mlflow.db cannot be read (see log)"),
        ("Run python -m serving.store restore /tmp/backup.db.", "Run python -m serving.store restore backup.db."),
        ("There is nothing at /api/foo/bar; /docs lists what there is.",) * 2,
        ("a score of 3/4 and https://example.org/tmp/x",) * 2,
    ],
)
def test_a_path_of_this_machine_loses_its_folders_and_a_route_stays(text, public):
    assert without_paths(text) == public


def test_no_open_answer_holds_a_path_of_this_machine(serve, als, popularity, stage, tmp_path, monkeypatch):
    """Errors with absolute paths in every place that an open answer quotes."""
    secret = str(tmp_path)
    error = StoreError(f"sqlite:///{secret}/service.db", rule=f"{secret}/x cannot be read", fix=f"Mend {secret}/x")
    poll = {
        "registry": PollResult(time.time(), None, str(error)),
        "version": PollResult(time.time(), "8", f"bundle {secret}/8: is broken", tries=1, about="version"),
        "disk": PollResult(time.time(), "8", f"No space left on device: '{secret}/poll.json'", about="disk"),
        "conflict": PollResult(time.time(), "7", conflict=f"{secret}/mlflow.db disagrees"),
    }
    store = MemoryStore(refused_writes=str(error))
    pages = (
        "/health/live",
        "/health/ready",
        "/api/model",
        "/api/recommendations?user_id=u1",
        "/openapi.json",
        "/nothing",
    )
    for serving in (True, False):
        pointer = FakePointer(stage(als, f"7{serving}") if serving else None)
        with serve(pointer, dependencies=store.dependencies(), follow_registry=True) as client:
            for pointer.poll_result in (None, *poll.values()):
                for page in pages:
                    assert secret not in client.get(page).text
            pointer.staged = stage(popularity, f"8{serving}")
            (pointer.staged.folder / "state.npz").unlink()
            client.app.state.service.versions.step()
            for page in pages:
                assert secret not in client.get(page).text
            store.unavailable = True
            assert secret not in client.get("/health/ready").text
            store.unavailable = False


def test_every_condition_s_sentence_hides_the_paths_of_its_detail(tmp_path):
    for one in Condition:
        assert str(tmp_path) not in ActiveCondition(one, "recommender", f"see {tmp_path}/x").sentence


def test_why_nothing_serves_hides_paths(stage, popularity, tmp_path):
    from serving.monitoring.metrics import Metrics

    pointer = FakePointer(stage(popularity, "2"))
    (pointer.staged.folder / "manifest.json").unlink()
    manager = VersionManager("recommender", pointer, Metrics())
    manager.step()
    assert str(tmp_path) not in manager.why_not_ready()
    assert "manifest.json cannot be read" in manager.why_not_ready()


def test_a_service_that_starts_with_nothing_to_serve_waits_for_the_first_version(als, stage, serve):
    pointer = FakePointer()
    with serve(pointer, start_wait_seconds=20) as client:
        assert client.get("/api/recommendations", params={"user_id": "u5"}).status_code == 503
        pointer.staged = stage(als, "7")
        client.portal.call(client.app.state.service._first_poll)
        assert client.get("/api/recommendations", params={"user_id": "u5"}).json()["model_version"] == "7"


def test_it_waits_no_longer_than_the_setting_says(serve):
    with serve(FakePointer(), start_wait_seconds=0.05) as client:
        client.portal.call(client.app.state.service._first_poll)
        assert client.get("/health/ready").status_code == 503
