"""Simulated users for a running service: its catalogue, their past, and visits, over HTTP.

    python -m experiments.loop.visit --url http://127.0.0.1:8000 --users 3000 --items 400 --past 30000 --lists 6000

Writes into the service's database as any client does: for trials and demonstrations, not beside real users. The same
seed gives the same users, items and past, and a past that is there is not stored twice. `--lists 0`: the past alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from recstage.config import SyntheticSource
from recstage.data.synthetic.population import Population
from recstage.errors import ConfigError, RecstageError
from recstage.steps.simulation.visitors import Visitors

PARTS = 10
"""Moments of the population's time (drift, new users) that the visits are spread over."""
LEAST = {"users": 10, "items": 10, "past": 0, "lists": 0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Let users come; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m experiments.loop.visit", description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the service [http://127.0.0.1:8000]")
    parser.add_argument("--key", default="", help="API key of role admin, where the service is guarded")
    parser.add_argument("--users", type=int, default=3000, help="of the population [3000]")
    parser.add_argument("--items", type=int, default=400, help="of the catalogue [400]")
    parser.add_argument("--past", type=int, default=30_000, help="events of the last 30 days [30000]")
    parser.add_argument("--lists", type=int, default=6000, help="visits, each a list and what comes of it [6000]")
    parser.add_argument("--seed", type=int, default=42, help="of the population [42]")
    chosen = parser.parse_args(arguments)
    try:
        for name, least in LEAST.items():
            if getattr(chosen, name) < least:
                raise ConfigError(f"--{name} {getattr(chosen, name)}", rule=f"it is at least {least}", fix="Give more")
        source = SyntheticSource(
            users=chosen.users,
            items=chosen.items,
            interactions=max(chosen.past, chosen.users),
            profile="advice",
            seed=chosen.seed,
        )
        _come(Visitors(Population(source, seed=chosen.seed), chosen.url, chosen.key), chosen.past, chosen.lists)
    except RecstageError as error:
        print(f"recstage: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _come(visitors: Visitors, past: int, lists: int) -> None:
    print(f"{visitors.post_catalogue()} items posted", flush=True)
    if past:
        print(f"{visitors.post_history(past)} events of the past stored", flush=True)
    parts = min(PARTS, lists)
    for part in range(parts):
        found = visitors.visit((part + 1) * lists // parts - part * lists // parts, part / parts)
        rates = ", ".join(f"version {name}: {arm.rate:.1%} clicked" for name, arm in sorted(found.arms.items()))
        refused = f"; answers that were no list, by status: {found.statuses}" if found.statuses else ""
        print(
            f"{found.lists} lists, {found.events} events, {found.per_minute:,.0f} a minute; {rates}{refused}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
