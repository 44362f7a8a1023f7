"""The catalogue and users over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from serving.store.db.tables import UserInteraction
from serving.store.training.lineage import RecordTraining
from tests.serving.store.databases import count
from tests.serving.store.factories import wait_until

CLICK = {"user_id": "ann", "item_id": "film", "interaction_type": "click"}
FILM = {"item_id": "film", "title": "A film", "text": "about it", "categories": ["drama", "comedy"]}


def detail(response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["detail"]


# -- items ------------------------------------------------------------------------------------------------------------


def test_an_item_is_ingested_read_changed_hidden_and_deleted(client):
    assert client.post("/api/items", json=FILM).json() == {"created": 1, "replaced": 0}
    expected = {**FILM, "predicted": None, "hidden": False, "expires_at": None, "deleted": False, "attributes": {}}
    assert client.get("/api/items/film").json() == expected
    expiry = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds").replace("+00:00", "Z")
    changed = client.patch("/api/items/film", json={"hidden": True, "expires_at": expiry, "categories": ["drama"]})
    assert changed.json() == {**expected, "hidden": True, "expires_at": expiry, "categories": ["drama"]}
    assert client.patch("/api/items/film", json={"expires_at": None}).json()["expires_at"] is None
    assert client.delete("/api/items/film").status_code == 204
    assert detail(client.get("/api/items/film"), 404) == "There is no item 'film' here."


def test_several_items_are_ingested_at_once(client):
    body = {"items": [FILM, {"item_id": "book"}, {"item_id": "book", "title": "the last one counts"}]}
    assert client.post("/api/items", json=body).json() == {"created": 2, "replaced": 0}
    assert client.get("/api/items/book").json()["title"] == "the last one counts"


def test_an_id_may_hold_slashes_and_spaces(client):
    client.post("/api/items", json={"item_id": "a/b c/ü", "title": "odd"})
    assert client.get("/api/items/a%2Fb%20c%2F%C3%BC").json()["title"] == "odd"
    client.post("/api/interactions", json={**CLICK, "item_id": "a/b c/ü"})
    assert client.get("/api/items/a%2Fb%20c%2F%C3%BC/stats").json()["counts"] == {"click": 1}


def test_a_hidden_item_is_hidden_for_the_service_when_the_answer_comes(client):
    client.post("/api/items", json=FILM)
    dependencies = client.app.state.store.dependencies()
    client.patch("/api/items/film", json={"hidden": True})
    assert dependencies.items.hidden().item_ids == {"film"}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "item_id: Field required"),
        ({**FILM, "title": "x" * 1001}, "title: String should have at most 1000 characters"),
        ({**FILM, "text": "a\x00"}, "text: This must not hold the character NUL"),
        ({**FILM, "categories": ["a"] * 101}, "categories: List should have at most 100 items"),
        ({**FILM, "categories": "drama"}, "categories: Input should be a valid list"),
        ({**FILM, "categories": [""]}, "String should have at least 1 character"),
        ({**FILM, "hidden": "yes"}, "hidden: Input should be a valid boolean"),
        ({**FILM, "expires_at": "9999-01-01T00:00:00Z"}, "This time must be between the years 1970 and 2200"),
        ({**FILM, "price": 3}, "price: Extra inputs are not permitted"),
        ({"items": []}, "List should have at least 1 item"),
        ({"items": [FILM] * 1001}, "At most 1000 items a request"),
        ([FILM], "The body must be a JSON object"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_item_that_breaks_a_rule_is_refused_with_a_sentence(client, body, sentence):
    assert sentence in detail(client.post("/api/items", json=body), 422)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "Give at least one of title, text, categories, hidden, expires_at"),
        ({"title": None}, "title: Input should be a valid string"),
        ({"hidden": None}, "hidden: Input should be a valid boolean"),
        ({"item_id": "other"}, "item_id: Extra inputs are not permitted"),
        ({"hidden": 1}, "hidden: Input should be a valid boolean"),
    ],
)
def test_a_change_that_breaks_a_rule_is_refused_with_a_sentence(client, body, sentence):
    client.post("/api/items", json=FILM)
    assert sentence in detail(client.patch("/api/items/film", json=body), 422)


@pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("DELETE", ""), ("GET", ""), ("GET", "/stats")])
def test_an_unknown_item_is_a_404(client, method, path):
    body = {"title": "x"} if method == "PATCH" else None
    assert (
        detail(client.request(method, f"/api/items/nothing{path}", json=body), 404)
        == "There is no item 'nothing' here."
    )


def test_an_id_with_nul_in_the_path_is_refused(client):
    assert "must not hold control characters" in detail(client.get("/api/items/a%00b/stats"), 422)
    assert "must not hold control characters" in detail(client.get("/api/users/a%00b/history"), 422)
    assert "at most 256 characters" in detail(client.get(f"/api/users/{'x' * 300}/history"), 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/api/users/ann/history"), ("DELETE", "/api/users/ann/profile"), ("PATCH", "/api/items/film/stats")],
)
def test_what_hangs_below_an_id_is_not_taken_for_an_id(client, method, path):
    client.post("/api/interactions", json=CLICK)
    assert "is not allowed here" in detail(client.request(method, path, json={"title": "x"}), 405)
    assert client.get("/api/users/ann/history").status_code == 200


def test_even_a_line_break_in_a_path_gets_its_sentence(client):
    assert "must not hold control characters" in detail(client.delete("/api/users/a%0Ab"), 422)


# -- history ----------------------------------------------------------------------------------------------------------


def test_a_history_is_paged_newest_first_with_preferences(client):
    client.post("/api/items", json={"items": [FILM, {"item_id": "book", "categories": ["drama"]}]})
    events = [
        {**CLICK, "item_id": item, "occurred_at": f"2026-01-01T0{i}:00:00Z"}
        for i, item in enumerate(["film", "book", "x"])
    ]
    client.post("/api/interactions", json={"events": events})
    first = client.get("/api/users/ann/history", params={"limit": 2}).json()
    assert [one["item_id"] for one in first["events"]] == ["x", "book"]
    assert first["preferences"] == pytest.approx({"drama": 0.75, "comedy": 0.25})
    second = client.get("/api/users/ann/history", params={"limit": 2, "cursor": first["next"]}).json()
    assert [one["item_id"] for one in second["events"]] == ["film"]
    assert second["next"] is None


@pytest.mark.parametrize(
    "query",
    [{"limit": 0}, {"limit": 1001}, {"limit": "many"}, {"cursor": "1"}, {"cursor": "a-b"}, {"cursor": "9" * 40 + "-1"}],
)
def test_an_invalid_page_is_refused(client, query):
    client.post("/api/interactions", json=CLICK)
    detail(client.get("/api/users/ann/history", params=query), 422)


def test_an_unknown_user_is_a_404(client):
    assert detail(client.get("/api/users/unknown/history"), 404) == "There is no user 'unknown' here."
    assert detail(client.get("/api/users/unknown/profile"), 404) == "There is no user 'unknown' here."


# -- profile ----------------------------------------------------------------------------------------------------------


def test_a_profile_is_put_and_read(client):
    body = {"role": "editor", "categories": ["drama", "comedy", "drama"], "opted_out": False}
    put = client.put("/api/users/ann/profile", json=body).json()
    assert (put["role"], put["categories"], put["opted_out"]) == ("editor", ["drama", "comedy"], False)
    assert client.get("/api/users/ann/profile").json() == put


def test_a_profile_holds_attributes_of_any_name_until_it_is_replaced_or_erased(client):
    body = {"attributes": {"region": "DE", "age": 37, "member": True, "street": None}}
    assert client.put("/api/users/ann/profile", json=body).json()["attributes"] == {
        "region": "DE",
        "age": 37,
        "member": True,
    }
    histories = client.app.state.store.histories
    known = (("profile.age", 37), ("profile.member", "true"), ("profile.region", "DE"))
    assert histories.history("ann").profile == known
    assert client.get("/api/users/ann/profile").json()["attributes"]["age"] == 37
    assert client.put("/api/users/ann/profile", json={"role": "editor"}).json()["attributes"] == {}
    client.put("/api/users/ann/profile", json=body)
    client.delete("/api/users/ann")
    assert histories.history("ann").profile == ()


def test_after_opting_out_nothing_is_kept_and_the_service_knows(client, sqlite_url):
    client.post("/api/interactions", json=CLICK)
    assert client.put("/api/users/ann/profile", json={"opted_out": True}).json()["opted_out"]
    assert client.post("/api/interactions", json=CLICK).json() == {"stored": 0, "duplicates": 0, "ignored": 1}
    assert count(sqlite_url, UserInteraction) == 1
    dependencies = client.app.state.store.dependencies()
    assert not dependencies.histories.history("ann").personal
    assert dependencies.users.opted_out() == {"ann"}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"role": ""}, "role: String should have at least 1 character"),
        ({"role": "x" * 65}, "role: String should have at most 64 characters"),
        ({"categories": ["a"] * 101}, "categories: List should have at most 100 items"),
        ({"opted_out": "yes"}, "opted_out: Input should be a valid boolean"),
        ({"age": 3}, "age: Extra inputs are not permitted"),
        ({"attributes": {"role": "editor"}}, "'role' has a field of its own"),
        ({"attributes": {"tastes": ["drama"]}}, "texts, numbers, true, false and null, and nothing nested"),
        ({"attributes": {f"a{i}": 1 for i in range(21)}}, "attributes: Dictionary should have at most 20 items"),
        ([], "Input should be a valid dictionary"),
    ],
)
def test_a_profile_that_breaks_a_rule_is_refused_with_a_sentence(client, body, sentence):
    assert sentence in detail(client.put("/api/users/ann/profile", json=body), 422)


# -- erasure ----------------------------------------------------------------------------------------------------------


def test_erasure_reports_removed_rows_and_versions_trained_on_the_user(client, sqlite_url):
    store = client.app.state.store
    for version, user_ids in (("1", ["ann", "bob"]), ("2", ["bob"]), ("3", ["ann"])):
        store.writer.submit(RecordTraining(("recommender", version), user_ids)).result()
    client.post("/api/interactions", json={"events": [CLICK, {**CLICK, "user_id": "bob"}]})
    answer = client.delete("/api/users/ann").json()
    assert answer["removed"]["user_interactions"] == 1
    assert answer["trained_versions"] == [
        {"name": "recommender", "version": "1"},
        {"name": "recommender", "version": "3"},
    ]
    assert (answer["finished_at"], answer["complete"]) == (None, False)
    assert "are being searched" in answer["incomplete_because"]
    assert count(sqlite_url, UserInteraction) == 1
    assert detail(client.get("/api/users/ann/history"), 404) == "There is no user 'ann' here."


def test_an_erasure_is_finished_later_and_its_state_can_be_read(client):
    assert detail(client.get("/api/users/ann/erasure"), 404) == "The user 'ann' was never erased here."
    client.app.state.store.writer.submit(RecordTraining(("recommender", "1"), ["ann"])).result()
    erased = client.delete("/api/users/ann").json()
    wait_until(lambda: client.get("/api/users/ann/erasure").json()["finished_at"])
    state = client.get("/api/users/ann/erasure").json()
    assert state["erased_at"] == erased["erased_at"]
    assert state["trained_versions"] == [{"name": "recommender", "version": "1"}]
    assert not state["complete"]  # this service does not follow a registry
    assert "not followed" in state["incomplete_because"]


def test_erasing_an_unknown_user_succeeds(client):
    answer = client.delete("/api/users/unknown").json()
    assert set(answer["removed"].values()) == {0}
    assert answer["trained_versions"] == []


def test_a_slash_at_the_end_names_no_other_user(client):
    post = client.post("/api/interactions", json={"user_id": "42", "item_id": "film", "interaction_type": "like"})
    assert post.status_code == 201
    answer = client.delete("/api/users/42/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"].removeprefix("http://testserver")) == (307, "/api/users/42")
    assert client.get("/api/users/42/history").status_code == 200
