"""docs/client.md: every block of Python runs against a service, and the page names every exception."""

from __future__ import annotations

import re
import time

import pytest

from recstage import client as package
from recstage.client import Client, ClientError, Unavailable
from recstage.config import root

PAGE = (root() / "docs" / "client.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def run(block: str, url: str) -> None:
    exec(compile(block.replace("http://127.0.0.1:8000", url), "docs/client.md", "exec"), {})  # noqa: S102


def test_the_blocks_of_the_page_run(url, capsys):
    with Client(url) as client:
        client.post_interactions({"user_id": "bob", "item_id": "dune", "interaction_type": "click"})
        deadline = time.monotonic() + 20
        while True:  # until the fallback models are fitted
            try:
                client.recommendations(user_id="bob")
                break
            except Unavailable:
                assert time.monotonic() < deadline
    synchronous, asynchronous, problems = BLOCKS
    run(synchronous, url)
    run(asynchronous, url)
    told = capsys.readouterr().out
    assert "ann [" in told
    assert "bob [" in told
    run(problems, url)
    told = capsys.readouterr().out
    assert "404 unknown-item There is no item 'nothing' here." in told
    assert "('query.limit', 'Input should be greater than or equal to 1')" in told


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, value in vars(package).items()
        if isinstance(value, type) and issubclass(value, ClientError) and name not in ("ClientError", "ProblemError")
    ],
)
def test_the_page_names_every_exception(name):
    assert f"`{name}`" in PAGE
