"""The first steps of docs/guide.md, as a new reader takes them: each command prints what stands below it."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from fastapi.testclient import TestClient

from recstage.config import root
from serving.app import create_app
from tests.serving.doubles import FakePointer

HERE = "http://127.0.0.1:8000"
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
STEP = re.compile(r"(curl .*?)\n# (\d{3}) (\{.*?\})$", re.DOTALL | re.MULTILINE)


def steps() -> list[list[tuple[list[str], int, dict[str, Any]]]]:
    """The commands of each block, the status and the fields of the answer that are printed below each."""
    text = (root() / "docs" / "guide.md").read_text().split("## First steps with the service")[1].split("\n## ")[0]
    blocks = [
        [
            (shlex.split(command.replace("\\\n", " ")), int(status), json.loads(answer))
            for command, status, answer in STEP.findall(block)
        ]
        for block in BLOCK.findall(text)
    ]
    assert text.count("curl ") == sum(map(len, blocks))
    return blocks


def send(client: TestClient, words: list[str]) -> Any:
    """What curl would send."""
    method, url, headers, body = "GET", "", {}, None
    arguments = iter(words[1:])
    for word in arguments:
        match word:
            case "-X":
                method = next(arguments)
            case "-H":
                name, _, value = next(arguments).partition(": ")
                headers[name] = value
            case "-d":
                body = next(arguments)
            case _:
                url = word
    assert url.startswith(HERE)
    return client.request(method, url.removeprefix(HERE), headers=headers, content=body)


def test_the_first_steps_of_the_guide_give_the_documented_results(als, popularity, stage, settings_in, tmp_path):
    collecting, listing, telling, promoting, leaving = steps()
    pointer = FakePointer()
    settings = settings_in(database_url=f"sqlite:///{tmp_path}/service.db")
    with TestClient(create_app(settings, pointer=pointer)) as client:
        service = client.app.state.service

        def follow(block: list[tuple[list[str], int, dict[str, Any]]]) -> list[dict[str, Any]]:
            answers = []
            for words, status, printed in block:
                response = send(client, words)
                assert response.status_code == status, (words, response.text)
                answers.append(response.json())
                assert printed.items() <= {name: answers[-1].get(name) for name in printed}.items(), (words, answers)
            return answers

        follow(collecting)
        service.fallback.step()
        (listed,) = follow(listing)
        assert listed["items"][0]["item_id"] == "dune"
        assert all(item["reason"] for item in listed["items"])
        follow(telling)
        again = send(client, listing[0][0]).json()
        assert "dune" not in [item["item_id"] for item in again["items"]]

        pointer.staged = stage(als, "1", promoted_by="alex")
        service.versions.step()
        (first,) = follow(promoting)
        pointer.staged = stage(popularity, "2", previous="1")
        service.versions.step()
        second = send(client, promoting[0][0]).json()
        assert (second["version"], second["promotion"]["previous_version"]) == ("2", "1")
        assert second["served_since"] > first["served_since"]
        follow(leaving)
        assert send(client, ["curl", f"{HERE}/api/users/cid/history"]).status_code == 404
