"""What an experiment costs: a service that holds Production and Staging, beside one that holds Production alone.

Both follow one registry, and are asked in turn with the cache off. Half of the users of the first get the challenger.
Throughput is at least .9 of the other's. Where other work has the machine, throughput in turn says little: the
processor time of a request says the same and depends less on it, so the goal is judged by the better of its rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from experiments.benchmarks.environment import BenchmarkEnvironment, Running
from experiments.benchmarks.report import Measurement, at_least

ROUNDS = 10
SHARE = "0.5"
QUIET = {"cache_size": 0, "max_lag_ms": 60_000, "queue_lag_ms": 60_000, "poll_seconds": 5}


def two_versions(environment: BenchmarkEnvironment, versions: tuple[int, int], seconds: float) -> Iterator[Measurement]:
    """Requests a second and processor time a request with one version and with two, in turn."""
    production, challenger = versions
    with (
        environment.challenged(challenger, SHARE),
        environment.service("one", experiments="false", **QUIET) as one,
        environment.service("two", **QUIET) as two,
    ):
        for service in (one, two):
            service.serves(production)
        two.until(lambda: _arms(two) == {"production", "challenger"}, pause=0.2)
        rates: dict[str, list[float]] = {"one": [], "two": []}
        costs: dict[str, list[float]] = {"one": [], "two": []}
        for service in (one, two):
            environment.ask(service, seconds=1.0)
        for _ in range(ROUNDS):
            for state, service in (("one", one), ("two", two)):
                rate, cost = environment.rate_and_cost(service, seconds / ROUNDS)
                rates[state].append(rate)
                costs[state].append(cost)
        for state, words in (("one", "one version"), ("two", "two versions")):
            yield Measurement(f"{words}, requests/s, best round", max(rates[state]))
            yield Measurement(f"  processor time a request, {words}", min(costs[state]), unit="us")
        in_turn = median(b / a for a, b in zip(rates["one"], rates["two"], strict=True))
        share = min(costs["one"]) / min(costs["two"])
        note = f"by processor time; by throughput {max(rates['two']) / max(rates['one']):.2f}, in turn {in_turn:.2f}"
        yield Measurement("two versions, share of the throughput of one", share, at_least(0.9), note=note)
        yield Measurement("  memory of one version", one.resident_mb(), unit="MB")
        yield Measurement("  memory of two versions", two.resident_mb(), unit="MB")


def _arms(service: Running) -> set[str]:
    """The arms that some users get now."""
    bodies = [service.call("GET", f"/api/recommendations?user_id=probe-{n}&limit=1")[1].decode() for n in range(20)]
    return {arm for arm in ("production", "challenger") if any(f'"arm":"{arm}"' in body for body in bodies)}
