"""docs/database.md and docs/events.md name every table, command, type, field and route."""

from __future__ import annotations

import re

import pytest

from recstage.config import root
from serving.api.routes import users
from serving.api.routes.catalogue import items
from serving.api.routes.events import feedback, interactions
from serving.api.routes.events.interactions import EventBody
from serving.store import __main__ as database
from serving.store.db.tables import INTERACTION_TYPES, Table

DATABASE = (root() / "docs" / "database.md").read_text()
EVENTS = (root() / "docs" / "events.md").read_text()


def commands() -> list[str]:
    (choices,) = (action.choices for action in database._parser()._actions if action.choices)
    return list(choices)


@pytest.mark.parametrize("name", sorted(Table.metadata.tables))
def test_every_table_is_drawn(name):
    assert re.search(rf"\b{name}\b", DATABASE)


@pytest.mark.parametrize("name", commands())
def test_every_command_is_listed(name):
    assert f"python -m serving.store {name}" in DATABASE


@pytest.mark.parametrize("name", INTERACTION_TYPES)
def test_every_type_is_listed_with_its_weight(name, data):
    assert f"`{name}`" in EVENTS
    head, row = EVENTS.split("| implement |")[1].split("\n")[0], EVENTS.split("|---|---|---|---|---|---|---|---|\n")[1]
    place = ["implement", *(part.strip() for part in head.strip(" |").split("|"))].index(name)
    cell = row.split("\n")[0].strip(" |").split("|")[place]
    weight = data.weights[name]
    if isinstance(weight, float):
        assert float(re.match(r"[\d.]+", cell.strip())[0]) == weight


@pytest.mark.parametrize("name", list(EventBody.model_fields))
def test_every_field_of_an_event_is_explained(name):
    assert re.search(rf"^\| .*`{name}`", EVENTS, re.MULTILINE)


@pytest.mark.parametrize(
    "path", sorted({route.path for one in (interactions, feedback, items, users) for route in one.router.routes})
)
def test_every_route_is_shown(path):
    example = re.sub(r"\{item_id:id\}", "2858", re.sub(r"\{user_id:id\}", "42", path)).removeprefix("/api")
    assert example in EVENTS
