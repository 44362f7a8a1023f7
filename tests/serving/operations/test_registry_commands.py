"""Commands of the registry: exit statuses become problems, and one runs at a time."""

from __future__ import annotations

import asyncio
import sys

import psutil
import pytest

from serving.errors import Problem
from serving.operations import registry_commands
from serving.operations.registry_commands import Ended, RegistryCommands, result_of

REFUSED = (
    "same as: mlflow run . -e promote\nfailed: ndcg_at_10 0.3 against 0.4\n"
    "recstage: version 3 of recommender (knn): the promotion gate refused it: ndcg_at_10 0.3 against 0.4 (p < 0.05 is"
    " asked for); coverage_at_10 0.1, at least 0.2. Improve it, or promote it with --force true and a --reason.\n"
)


def test_the_last_line_is_the_result():
    assert result_of(Ended(0, 'progress\n{"version": 3}\n', "warnings")) == {"version": 3}


def test_a_refusal_of_the_gate_has_its_reasons_one_by_one():
    with pytest.raises(Problem, match="the promotion gate refused it") as refused:
        result_of(Ended(3, "", REFUSED))
    assert (refused.value.status, refused.value.kind) == (409, "gate-refused")
    assert [one["rule"] for one in refused.value.errors] == [
        "ndcg_at_10 0.3 against 0.4 (p < 0.05 is asked for)",
        "coverage_at_10 0.1, at least 0.2",
    ]


def test_wrong_input_is_said_and_anything_else_is_not():
    with pytest.raises(Problem, match="version 99 of recommender") as refused:
        result_of(Ended(2, "", "recstage: version 99 of recommender: there is no such version. There are 1 to 3.\n"))
    assert refused.value.status == 422
    for ended in (Ended(1, "", "Traceback ... /home/secret\n"), Ended(2, "", "usage: unexpected\n")):
        with pytest.raises(Problem, match="the request id finds its output") as failed:
            result_of(ended)
        assert failed.value.status == 500


def test_a_second_command_is_refused_while_one_runs(monkeypatch):
    async def main() -> None:
        commands, started, go_on = RegistryCommands(), asyncio.Event(), asyncio.Event()

        async def run(command: list[str]) -> Ended:
            started.set()
            await go_on.wait()
            return Ended(0, '{"version": 1}', "")

        monkeypatch.setattr(registry_commands, "_run", run)
        first = asyncio.create_task(commands.run(["promote", "1"]))
        await started.wait()
        with pytest.raises(Problem, match="Another change") as refused:
            await commands.run(["promote", "2"])
        assert refused.value.status == 409
        go_on.set()
        assert await first == {"version": 1}
        assert await commands.run(["promote", "2"]) == {"version": 1}

    asyncio.run(main())


def test_a_command_that_is_cancelled_ends(tmp_path):
    async def main() -> None:
        script = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
        task = asyncio.create_task(registry_commands._run([sys.executable, "-c", script]))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
