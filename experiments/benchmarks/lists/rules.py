"""What business rules cost: the same service with and without a set of rules, in turn, cache off.

The set is one of each kind that an editor might keep: a category left out, at most five items of a category, an item
at a rank, one category moved up and another down, and a share for recent items. Throughput with them is at least 85 %
of that without. Other work on the machine only slows a round down, so each state counts at its best round, of
throughput and of processor time; then each rule alone, by its processor time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median

from experiments.benchmarks.environment import BenchmarkEnvironment, Running
from experiments.benchmarks.report import Measurement, at_least

ROUNDS = 10
CATEGORY, OTHER = "Drama", "Action"


def rules_of(environment: BenchmarkEnvironment) -> dict[str, Mapping[str, object]]:
    """An action of each kind, by the name of its rule."""
    items = environment.data.split.train
    first = str(items.items.ids[int(items.item_counts.argmax())])
    return {
        "exclude": {"type": "exclude", "filter": "category=Horror"},
        "cap": {"type": "cap", "attribute": "category", "most": 5},
        "pin": {"type": "pin", "item_id": first, "rank": 3},
        "boost": {"type": "boost", "filter": f"category={CATEGORY}", "weight": 0.2},
        "bury": {"type": "bury", "filter": f"category={OTHER}", "weight": 0.2},
        "floor": {"type": "floor", "filter": "age_days<=10000", "share": 0.1},
    }


def rules(environment: BenchmarkEnvironment, version: int, seconds: float) -> Iterator[Measurement]:
    """Requests a second with all rules and without any, in turn; then processor time with each alone."""
    actions = rules_of(environment)
    with environment.service("rules", cache_size=0, max_lag_ms=60_000, queue_lag_ms=60_000) as service:
        service.serves(version)
        environment.ask(service, seconds=1.0)
        rates: dict[str, list[float]] = {"without": [], "with": []}
        costs: dict[str, list[float]] = {"without": [], "with": []}
        for _ in range(ROUNDS):
            for state, chosen in (("without", {}), ("with", actions)):
                _set(service, chosen)
                rate, cost = environment.rate_and_cost(service, seconds / ROUNDS)
                rates[state].append(rate)
                costs[state].append(cost)
        yield Measurement("without rules, requests/s", max(rates["without"]))
        yield Measurement("with six rules, requests/s", max(rates["with"]))
        share = max(rates["with"]) / max(rates["without"])
        in_turn = median(b / a for a, b in zip(rates["without"], rates["with"], strict=True))
        note = f"median of the rounds in turn {in_turn:.2f}"
        yield Measurement("  share of the throughput without", share, at_least(0.85), note=note)
        yield Measurement("  processor time a request, without", min(costs["without"]), unit="us")
        yield Measurement("  processor time a request, with", min(costs["with"]), unit="us")
        for name, action in actions.items():
            _set(service, {name: action})
            cost = min(environment.rate_and_cost(service, seconds / ROUNDS)[1] for _ in range(2))
            yield Measurement(f"  with {name} alone", cost, unit="us")


def _set(service: Running, actions: Mapping[str, Mapping[str, object]]) -> None:
    """Make these the only rules."""
    status, body = service.call("POST", "/api/rules/versions/0/revert")
    for name, action in actions.items():
        status, body = service.call("POST", "/api/rules", {"name": name, "action": action})
        if status != 201:
            raise RuntimeError(f"the rule {name} was refused: {status} {body[:300]!r}")
