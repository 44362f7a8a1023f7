"""The service as replicas on Ray Serve."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from serving.ray.__main__ import main

EXTRA = "Ray is an extra: pip install 'recstage[ray]'"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--replicas", "0"], "--replicas 0: there is one replica at least. Give 1 or more."),
        (["--replicas", "two"], "--replicas two: there is one replica at least. Give 1 or more."),
        (["--workers", "2"], "workers = 2: a replica is one process. Give --replicas in its place."),
    ],
)
def test_a_wrong_option_is_one_line(words, message, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err == f"recstage: {message}\n"


def test_without_ray_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([]) == 2
    assert "pip install 'recstage[ray]', or use python -m serving." in capsys.readouterr().err


@pytest.mark.integration
def test_a_promotion_reaches_both_replicas_without_a_failed_request(tmp_path):
    pytest.importorskip("ray", reason=EXTRA)
    from experiments.benchmarks.environment import BenchmarkEnvironment
    from experiments.benchmarks.scale.ray_figures import all_serve

    data = tmp_path / "tiny.yaml"
    data.write_text(
        "source: {kind: synthetic, users: 80, items: 40, interactions: 3000, seed: 3}\n"
        "weights: {view: 0.1, click: 0.3, like: 0.7, share: 1.0}\n"
        "split: {method: leave-one-out, negatives: 20}\n"
    )
    environment = BenchmarkEnvironment(tmp_path, str(data))
    first, second = environment.register("popularity"), environment.register("popularity")
    environment.promote(first)
    with environment.replicas(2, cache_size=0) as service:
        service.serves(first)
        service.until(lambda: all_serve(service, first))
        statuses: list[int] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                statuses.append(service.status(f"/api/recommendations?user_id={environment.users[0]}"))

        asking = threading.Thread(target=ask)
        asking.start()
        environment.promote(second)
        service.until(lambda: all_serve(service, second))
        time.sleep(1.0)
        over.set()
        asking.join()
    assert len(statuses) > 10
    assert set(statuses) == {200}
