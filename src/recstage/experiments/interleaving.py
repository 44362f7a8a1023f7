"""Team draft: one list out of two rankings, each item credited to the ranking that contributed it.

Radlinski, Kurup & Joachims 2008: the two teams choose in turn, a coin decides who begins each round, and a click counts
for the team of the item. It finds a difference with far fewer users than a split: each user is their own control.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PRODUCTION, CHALLENGER = 0, 1


def team_draft(
    production: Sequence[str], challenger: Sequence[str], k: int, rng: np.random.Generator
) -> tuple[list[str], list[int]]:
    """The interleaved list of at most k distinct items, and the team (0 Production, 1 challenger) of each."""
    rankings = (production, challenger)
    ahead = [0, 0]
    chosen: list[str] = []
    teams: list[int] = []
    taken: set[str] = set()
    while len(chosen) < k:
        first = int(rng.integers(2))
        drafted = False
        for team in (first, 1 - first):
            ranking = rankings[team]
            while ahead[team] < len(ranking) and ranking[ahead[team]] in taken:
                ahead[team] += 1
            if ahead[team] < len(ranking) and len(chosen) < k:
                chosen.append(ranking[ahead[team]])
                teams.append(team)
                taken.add(ranking[ahead[team]])
                drafted = True
        if not drafted:
            break
    return chosen, teams
