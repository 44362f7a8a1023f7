"""Cursor pages: no item comes twice, whichever worker answers and whatever changes between two pages."""

from __future__ import annotations

import httpx
import pytest

from serving.api.cursor import MAX_SHOWN, Cursors
from serving.errors import Problem
from serving.interfaces import RecentActivity
from tests.serving.doubles import FakePointer, MemoryStore

KEY = "a-Strong-one-4-tests9"


@pytest.fixture
def store() -> MemoryStore:
    found = MemoryStore()
    found.activity = [RecentActivity(f"i{n}", 40.0 - n, 40.0 - n, 0.0) for n in range(40)]
    return found


@pytest.fixture
def pointer(als, stage) -> FakePointer:
    return FakePointer(stage(als, "7"))


@pytest.fixture
def client(pointer, store, serve):
    with serve(pointer, dependencies=store.dependencies()) as client:
        yield client


def get(client, path: str, params: dict):
    """A request with further parameters; the client alone would replace those of the path."""
    return client.get(str(httpx.URL(path).copy_merge_params(params)))


def page(client, path: str, cursor: str = "*", **params) -> tuple[list[str], str | None]:
    response = get(client, path, {**params, "cursor": cursor, "limit": 7})
    assert response.status_code == 200, response.text
    body = response.json()
    return [one["item_id"] for one in body["items"]], body["next"]


PATHS = ["/api/recommendations?user_id=u5&exclude_seen=false", "/api/popular", "/api/trending", "/api/items/i4/similar"]


@pytest.mark.parametrize("path", PATHS)
def test_pages_together_are_the_long_list_and_end(client, path):
    whole = get(client, path, {"limit": 40}).json()
    assert "next" not in whole
    seen, cursor = page(client, path)
    while cursor is not None:
        more, cursor = page(client, path, cursor)
        seen += more
    assert seen == [one["item_id"] for one in whole["items"]]
    assert len(seen) > 14


def test_any_worker_reads_the_cursor_of_another(pointer, store, serve, client):
    first, cursor = page(client, PATHS[0])
    with serve(pointer, dependencies=store.dependencies()) as other:
        second, _ = page(other, PATHS[0], cursor)
    assert len(second) == 7
    assert not set(first) & set(second)


def test_a_swap_new_events_and_hidden_items_between_two_pages_repeat_nothing(client, pointer, store, popularity, stage):
    first, cursor = page(client, PATHS[0])
    pointer.staged = stage(popularity, "8")
    client.app.state.service.versions.step()
    store.interacted("u5", "i10", "i13")
    store.hide("i0")
    response = get(client, PATHS[0], {"cursor": cursor, "limit": 40}).json()
    second = [one["item_id"] for one in response["items"]]
    assert response["model_version"] == "8"
    assert not set(first) & set(second)
    assert len({*first, *second} | {"i0", "i39"}) == 40


@pytest.mark.parametrize(
    ("cursor", "sentence"),
    [
        ("AAAA", "query.cursor: it is not one that this service made. Begin with cursor=*"),
        ("A", "it is not one that this service made"),
        ("a b", "query.cursor: String should match pattern"),
        ("A" * 6001, "query.cursor: String should have at most 6000 characters"),
        ("", "query.cursor: String should have at least 1 character"),
    ],
    ids=["short", "no base64", "space", "long", "empty"],
)
@pytest.mark.parametrize("path", PATHS)
def test_a_cursor_that_is_none_is_refused(client, path, cursor, sentence):
    response = get(client, path, {"cursor": cursor})
    assert response.status_code == 422
    assert sentence in response.json()["detail"]


@pytest.mark.parametrize("path", PATHS)
def test_a_changed_cursor_and_one_of_another_request_are_refused(client, path):
    _, cursor = page(client, path)
    changed = cursor[:20] + ("A" if cursor[20] != "A" else "B") + cursor[21:]
    assert get(client, path, {"cursor": changed}).status_code == 422
    response = get(client, path, {"cursor": cursor, "exclude": "i1"})
    assert response.status_code == 422
    assert "it belongs to a request with other parameters" in response.json()["detail"]
    assert page(client, path, cursor, explain=True)[0] == page(client, path, cursor)[0]


def test_the_key_follows_from_the_secrets(settings_in):
    def cursors(**values) -> Cursors:
        return Cursors(settings_in(**values))

    guarded = {"api_keys": [{"name": "a", "key": KEY}]}
    made = cursors(**guarded).next(b"", ["i1"], 1, "same")
    assert len(cursors(**guarded).shown(made, "same")) == 4
    with pytest.raises(Problem, match="not one that this service made"):
        cursors(api_keys=[{"name": "a", "key": KEY + "x"}]).shown(made, "same")


def test_a_cursor_holds_a_bounded_number_of_items(settings_in):
    cursors = Cursors(settings_in())
    made = cursors.next(b"\x00" * 4 * (MAX_SHOWN - 1), ["i1"], 1, "same")
    assert len(made) < 6000
    assert cursors.next(cursors.shown(made, "same"), ["i2"], 1, "same") is None
