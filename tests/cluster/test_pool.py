"""Calls on a cluster: results, reports, stops, errors, and workers that are lost."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from recstage import cluster
from recstage.cluster import Ended, Pool, Reported, pool
from recstage.errors import ConfigError, ExternalToolError

pytestmark = pytest.mark.integration


def added(shared, argument, report):
    return int(shared.sum()) + argument


def reporting(shared, argument, report):
    for step in range(1, 200):
        report(step, {"v": argument / step})
        time.sleep(0.05)
    return "all steps"


def refusing(shared, argument, report):
    raise ConfigError("learning_rate = 9", rule="too high", fix="Lower it")


def dying(shared, argument, report):
    os._exit(1)


def dying_once(shared, argument, report):
    marker = Path(argument)
    if not marker.exists():
        marker.touch()
        os._exit(1)
    return "made again"


def ended(one: Pool) -> list[Ended]:
    found = []
    while len(one):
        found += [event for event in one.wait() if isinstance(event, Ended)]
    return found


def test_results_come_back_in_the_order_of_the_arguments(ray_cluster):
    with cluster.session():
        assert list(cluster.in_order(added, np.arange(4), range(9))) == list(range(6, 15))


def test_a_call_reports_and_ends_when_it_is_told_to_stop(ray_cluster):
    with cluster.session(), Pool(reporting, None, reports=True) as calls:
        assert calls.cores == 2
        calls.start(7, 6.0)
        seen = []
        while len(calls):
            for event in calls.wait():
                seen.append(event)
                if isinstance(event, Reported) and event.step == 3:
                    calls.stop(7)
    assert seen[0] == Reported(7, 1, {"v": 6.0})
    assert seen[-1] == Ended(7, stopped=True)


def test_an_error_of_ours_is_an_outcome(ray_cluster):
    with cluster.session(), Pool(refusing, None) as calls:
        calls.start(1, None)
        (outcome,) = ended(calls)
    assert isinstance(outcome.error, ConfigError)
    assert str(outcome.error) == "learning_rate = 9: too high. Lower it."


def test_a_call_whose_worker_dies_is_made_again(ray_cluster, tmp_path):
    with cluster.session(), Pool(dying_once, None) as calls:
        calls.start(1, str(tmp_path / "died"))
        assert ended(calls) == [Ended(1, "made again")]


def test_a_call_that_always_kills_its_worker_is_one_line(ray_cluster):
    with cluster.session(), Pool(dying, None) as calls:
        calls.start(3, None)
        with pytest.raises(ExternalToolError, match="call 3 on the Ray cluster: its worker was lost 4 times"):
            ended(calls)


def test_a_worker_with_other_code_is_refused(ray_cluster, monkeypatch):
    monkeypatch.setattr(pool, "code_digest", lambda: "abc")
    with cluster.session(), Pool(added, np.arange(2)) as calls:
        calls.start(1, 0)
        (outcome,) = ended(calls)
    assert "is not that of the caller (abc). Install the same version on every node." in str(outcome.error)
