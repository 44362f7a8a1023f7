"""The circle in its short form, against a service of its own; and the simulated users that make it turn."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from functools import partial

import httpx
import numpy as np
import pytest

from experiments.loop import visit
from experiments.loop.__main__ import MARK, made
from recstage.config import SyntheticSource, root
from recstage.data.synthetic.population import Population
from recstage.errors import ConfigError, StoreError
from recstage.steps.simulation.visitors import Visitors

SOURCE = SyntheticSource(users=60, items=60, interactions=600, seed=4)


@pytest.mark.integration
def test_the_circle_ends_with_a_promotion_on_live_evidence(tmp_path):
    home = tmp_path / "loop"
    named = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RECSTAGE_"))}
    command = [sys.executable, "-m", "experiments.loop", "--quick", "--folder", str(home)]
    done = subprocess.run(command, cwd=root(), env=named, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    for stage in range(1, 7):
        assert f"\n{stage}. " in f"\n{done.stdout}"
    assert "too early: the promotion gate refused it: no experiment was read" in done.stdout
    assert "better: click_through" in done.stdout
    assert "no guard limit broke" in done.stdout
    assert _metric(home, "promoted") == 1.0
    assert _metric(home, "lists_a_minute") > 0


def _metric(home, name):
    import sqlite3

    with sqlite3.connect(home / "mlflow.db") as database:
        query = (
            "SELECT m.value FROM metrics m JOIN runs r USING (run_uuid) WHERE r.name = 'feedback loop' AND m.key = ?"
        )
        ((value,),) = database.execute(query, (name,)).fetchall()
    return value


def test_a_folder_that_holds_something_else_is_not_emptied(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="it holds files that no circle left"):
        made(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert not (tmp_path / MARK).exists()


def test_what_users_find_by_themselves_is_of_their_taste_more_often_than_chance():
    population = Population(SOURCE, seed=1)
    users, items = population.history(3000)
    assert not population.bot[users].any()
    assert (population.joins[users] <= 0).all()
    assert (items >= 0).all()
    random = np.random.default_rng(0).integers(0, SOURCE.items, (3000, 1))
    ours, theirs = (population.likes(users, shown, 0.0).mean() for shown in (items[:, None], random))
    assert ours > theirs + 0.1


def test_the_same_seed_gives_the_same_past():
    first, second = (Population(SOURCE, seed=2).history(200) for _ in range(2))
    assert json.dumps([part.tolist() for part in first]) == json.dumps([part.tolist() for part in second])


def test_a_service_that_does_not_answer_is_one_line():
    visitors = Visitors(Population(SOURCE), "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="127.0.0.1:9: it does not answer"):
        visitors.post_catalogue()
    with pytest.raises(StoreError, match="it gave no list; statuses {0: 20}"):
        visitors.visit(20, 0.5)


def test_simulated_users_are_written_into_a_service_by_one_command(capsys, monkeypatch):
    stored: dict[str, int] = {}
    busy = [True, False]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            items = [{"item_id": f"i{number:05d}"} for number in range(10)]
            return httpx.Response(200, json={"items": items, "model_version": "7", "request_id": "r"})
        if busy.pop() if busy else False:
            return httpx.Response(503)
        body = next(iter(json.loads(request.content).values()))
        stored[request.url.path] = stored.get(request.url.path, 0) + len(body)
        return httpx.Response(200, json={"stored": len(body)})

    for kind in ("Client", "AsyncClient"):
        real = getattr(httpx, kind)
        faked = partial(real, transport=httpx.MockTransport(answer))
        monkeypatch.setattr(httpx, kind, lambda faked=faked, limits=None, **given: faked(**given))
    words = ["--users", "60", "--items", "60", "--past", "300", "--lists", "40"]
    assert visit.main(words) == 0
    assert stored["/api/items"] == 60
    assert stored["/api/interactions"] >= 300
    assert "version 7" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--users", "3"], ["--lists", "-1"]])
def test_too_few_simulated_users_are_one_line(words, capsys):
    assert visit.main(words) == 2
    assert "it is at least" in capsys.readouterr().err


def test_users_visit_from_a_notebook_too_which_has_an_event_loop_under_way():
    async def cell():
        Visitors(Population(SOURCE), "http://127.0.0.1:9").visit(5, 0.5)

    with pytest.raises(StoreError, match="it gave no list"):
        asyncio.run(cell())
