"""docs/api.md: each command and each line of JavaScript is answered, and every route that recommends is shown."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess

import pytest
from fastapi.testclient import TestClient

from recstage.config import root
from serving.api.routes import ROUTERS
from serving.app import create_app
from tests.serving.documented import send
from tests.serving.doubles import FakePointer

PAGE = (root() / "docs" / "api.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("curl ")
]
LINES = [line for block in re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line]
RECORDER = """
const sent = [];
globalThis.fetch = (path, options) => { sent.push({path, ...options}); return Promise.resolve({json: () => ({})}); };
%s;
console.log(JSON.stringify(sent));
"""


@pytest.fixture(scope="module")
def client(als, tmp_path_factory):
    from recstage import bundle
    from serving.models.repository import ProductionVersion
    from tests.serving.conftest import settings_with

    folder = tmp_path_factory.mktemp("page")
    bundle.save(als, folder / "bundle")
    settings = settings_with(folder, database_url=f"sqlite:///{folder}/service.db", stream_seconds=0.01)
    app = create_app(settings, pointer=FakePointer(ProductionVersion("recommender", "1", folder / "bundle")))
    with TestClient(app, raise_server_exceptions=False) as found:
        described = {"items": [{"item_id": "i1", "title": "One", "categories": ["Drama"]}]}
        assert found.post("/api/items", json=described).status_code == 201
        event = {"user_id": "42", "item_id": "i1", "interaction_type": "like"}
        assert found.post("/api/interactions", json=event).status_code == 201
        yield found


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_answered(client, command):
    response = send(client, shlex.split(command))
    assert response.is_success, response.text
    assert response.text if "event-stream" in response.headers["content-type"] else response.json()


@pytest.mark.skipif(shutil.which("node") is None, reason="JavaScript is run by node, which is not installed")
def test_each_line_of_javascript_is_answered(client):
    script = RECORDER % ";\n".join(LINES)
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True, timeout=60)
    sent = json.loads(done.stdout)
    assert len(sent) == len(LINES) >= 3
    for one in sent:
        path, method = one["path"], one.get("method", "GET")
        response = client.request(method, path, headers=one.get("headers"), content=one.get("body"))
        assert response.is_success, (path, response.text)


def test_every_route_that_recommends_is_shown():
    shown = " ".join(COMMANDS)
    paths = {
        route.path
        for router in ROUTERS
        for route in router.routes
        if "recommendations" in getattr(route, "tags", ()) and getattr(route, "include_in_schema", False)
    }
    assert len(paths) >= 8
    for path in paths - {"/api/recommendations/feedback"}:
        assert re.search(re.sub(r"\\\{.*?\\\}", r"[^/\\s]+", re.escape(path)) + r"[?' ]", shown), path
