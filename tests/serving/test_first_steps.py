"""docs/first-steps.md, as a new reader takes them: each command prints what stands below it."""

from __future__ import annotations

from fastapi.testclient import TestClient

from recstage.config import root
from serving.app import create_app
from tests.serving.documented import HERE, Step, follow, send, steps_of
from tests.serving.doubles import FakePointer


def steps() -> list[list[Step]]:
    """The blocks of the first steps."""
    return steps_of((root() / "docs" / "first-steps.md").read_text())


def test_the_first_steps_of_the_guide_give_the_documented_results(als, popularity, stage, settings_in, tmp_path):
    collecting, listing, telling, promoting, leaving = steps()
    pointer = FakePointer()
    settings = settings_in(database_url=f"sqlite:///{tmp_path}/service.db")
    with TestClient(create_app(settings, pointer=pointer)) as client:
        service = client.app.state.service

        follow(client, collecting)
        service.fallback.step()
        (listed,) = follow(client, listing)
        assert listed["items"][0]["item_id"] == "dune"
        assert all(item["reason"] for item in listed["items"])
        follow(client, telling)
        again = send(client, listing[0][0]).json()
        assert "dune" not in [item["item_id"] for item in again["items"]]

        pointer.staged = stage(als, "1", promoted_by="alex")
        service.versions.step()
        (first,) = follow(client, promoting)
        pointer.staged = stage(popularity, "2", previous="1")
        service.versions.step()
        second = send(client, promoting[0][0]).json()
        assert (second["version"], second["promotion"]["previous_version"]) == ("2", "1")
        assert second["served_since"] > first["served_since"]
        follow(client, leaving)
        assert send(client, ["curl", f"{HERE}/api/users/cid/history"]).status_code == 404
