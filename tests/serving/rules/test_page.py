"""docs/rules.md: each command is answered as the page says, and the page names every kind of rule, list and segment."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from recstage.config import root
from serving.app import create_app
from serving.rules.attributes import BUILT_IN
from serving.rules.definitions import KINDS, LIST_KINDS
from tests.serving.documented import follow, steps_of
from tests.serving.doubles import FakePointer

PAGE = (root() / "docs" / "rules.md").read_text()


def test_each_command_of_the_page_is_answered_as_it_says(als, stage, settings_in, tmp_path):
    settings = settings_in(database_url=f"sqlite:///{tmp_path}/service.db")
    with TestClient(create_app(settings, pointer=FakePointer(stage(als, "1")))) as client:
        posting, filtering, setting, changing = steps_of(PAGE)
        follow(client, posting)
        cheap, _ = follow(client, filtering)
        assert {one["item_id"] for one in cheap["items"]} == {"i1", "i4"}
        *_, listed = follow(client, setting)
        assert listed["items"][0]["item_id"] == "i4"
        follow(client, changing)


@pytest.mark.parametrize("name", [*KINDS, *LIST_KINDS, *BUILT_IN])
def test_the_page_names(name):
    assert f"`{name}`" in PAGE
