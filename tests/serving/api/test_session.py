"""What a page is told first: who calls, and what there is to show."""

from __future__ import annotations

from serving.models.repository import ProductionVersion
from tests.serving.doubles import FakePointer, MemoryStore

KEYS = [{"name": role, "role": role, "key": f"a-key-for-the-role-{role}"} for role in ("client", "service")]


def test_without_keys_every_caller_is_admin_and_sees_some_users_and_the_categories(als, stage, serve, interactions):
    with serve(FakePointer(stage(als, "7"))) as client:
        found = client.get("/api/session").json()
    assert (found["role"], found["name"], found["guarded"], found["database"]) == ("admin", "open", False, False)
    assert found["model_version"] == "7"
    assert sorted(found["categories"]) == ["c0", "c1", "c2"]
    assert len({user["user_id"] for user in found["users"]}) == 9
    assert all(user["interactions"] == 7 for user in found["users"])


def test_a_client_sees_no_users(als, stage, serve):
    with serve(FakePointer(stage(als, "7")), api_keys=KEYS) as client:
        of_client = client.get("/api/session", headers={"x-api-key": KEYS[0]["key"]}).json()
        of_service = client.get("/api/session", headers={"x-api-key": KEYS[1]["key"]}).json()
    assert (of_client["role"], of_client["users"], of_client["guarded"]) == ("client", [], True)
    assert len(of_service["users"]) == 9


def test_users_who_opted_out_or_were_erased_are_not_shown_and_none_while_that_is_unknown(als, stage, serve):
    store = MemoryStore(opted_out_users=frozenset({"u0"}), erased_users=frozenset({"u1"}))
    staged: ProductionVersion = stage(als, "7")
    with serve(FakePointer(staged), dependencies=store.dependencies()) as client:
        found = {user["user_id"] for user in client.get("/api/session").json()["users"]}
        assert len(found) == 7
        assert found.isdisjoint({"u0", "u1"})
        store.unavailable = True
        assert client.get("/api/session").json()["users"] == []


def test_without_any_data_there_is_nothing_to_show_and_no_failure(serve):
    with serve(FakePointer()) as client:
        answer = client.get("/api/session")
    assert answer.status_code == 200
    assert (answer.json()["users"], answer.json()["categories"], answer.json()["model_version"]) == ([], [], None)
