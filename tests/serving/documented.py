"""The commands of a page of docs/: `curl` lines in blocks of `sh`, with status and fields of the answer below each."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any
from urllib.parse import quote

from fastapi.testclient import TestClient

HERE = "http://127.0.0.1:8000"
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
STEP = re.compile(r"(curl .*?)\n# (\d{3}) (\{.*?\})$", re.DOTALL | re.MULTILINE)
Step = tuple[list[str], int, dict[str, Any]]


def steps_of(text: str) -> list[list[Step]]:
    """The commands of each block, the status and the fields of the answer that are printed below each."""
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
    method, url, headers, body, parameters = "GET", "", {}, None, []
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
            case "-G":
                pass
            case "--data-urlencode":
                name, _, value = next(arguments).partition("=")
                parameters.append(f"{name}={quote(value)}")
            case _:
                url = word
    assert url.startswith(HERE)
    return client.request(method, "&".join([url.removeprefix(HERE), *parameters]), headers=headers, content=body)


def follow(client: TestClient, block: list[Step]) -> list[dict[str, Any]]:
    """Send the commands of a block; each must be answered as it is printed. Returns the answers."""
    answers = []
    for words, status, printed in block:
        response = send(client, words)
        assert response.status_code == status, (words, response.text)
        answers.append(response.json())
        assert printed.items() <= {name: answers[-1].get(name) for name in printed}.items(), (words, answers)
    return answers
