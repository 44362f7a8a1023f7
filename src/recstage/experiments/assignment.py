"""Which version a user gets: a sticky keyed hash, or Thompson sampling; the service and the simulations call this code.

An experiment is described by tags of the version in Staging: `experiment.share` (0 by default), `experiment.mode` and
`experiment.name`. Its salt is its name together with the two versions, so that the next experiment does not inherit
its groups (Kohavi, Tang & Xu 2020, chapter 4).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from recstage.errors import ConfigError, valid_names

Mode = Literal["split", "shadow", "bandit", "contextual", "interleave"]
Arm = Literal["production", "challenger", "interleaved"]
MODES: tuple[str, ...] = get_args(Mode)
ADAPTIVE = ("bandit", "contextual")
"""Modes that draw the arm of each list by Thompson sampling: for all users together, or for each segment."""
SHARE, MODE, NAME = "experiment.share", "experiment.mode", "experiment.name"
TAGS = (SHARE, MODE, NAME)
LEAST_CHANCE = 0.05
"""Thompson sampling gives each version at least this chance: a propensity of 0 would end what can be learned."""
DRAWS = 4_000
_SCALE = float(1 << 64)


@dataclass(frozen=True, slots=True)
class Experiment:
    """Production against the version in Staging. `share`: of the users (split, shadow, interleave); 0: none."""

    name: str
    production: str
    challenger: str
    share: float
    mode: Mode

    @property
    def salt(self) -> bytes:
        """The key of the hash."""
        return f"{self.name}/{self.production}/{self.challenger}".encode()


def experiment_of(tags: Mapping[str, str], model: str, production: str, challenger: str) -> Experiment:
    """The experiment that the tags of the challenger describe. Raises `ConfigError` on a share outside 0..1, on one
    that is no number, on an unknown mode, and where both versions are the same."""
    if production == challenger:
        raise ConfigError(
            f"Staging = version {challenger}",
            rule="an experiment compares two versions, and this one is Production",
            fix="Stage another version",
        )
    mode = tags.get(MODE, "split") or "split"
    if mode not in MODES:
        raise ConfigError(f"{MODE} = {mode}", rule="no such mode of an experiment", fix=valid_names(mode, MODES))
    name = tags.get(NAME, "") or f"{model}-{challenger}-vs-{production}"
    return Experiment(name[:64], production, challenger, share_of(tags.get(SHARE, "0")), mode)  # type: ignore[arg-type]


def share_of(text: str) -> float:
    """A share as a number. Raises `ConfigError` unless it is within 0..1."""
    try:
        share = float(text or 0)
    except ValueError:
        share = float("nan")
    if not 0 <= share <= 1:
        raise ConfigError(
            f"{SHARE} = {text}", rule="a share of users is a number from 0 to 1", fix="Set it to 0.5, say"
        )
    return share


def in_group(user_id: str, experiment: Experiment) -> bool:
    """Whether the user belongs to the challenger's group: always the same answer for one experiment, in every process.
    A larger share keeps the users that a smaller one had."""
    digest = hmac.digest(experiment.salt, user_id.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return int.from_bytes(digest[:8], "big") / _SCALE < experiment.share


def thompson_chance(
    production: tuple[int, int], challenger: tuple[int, int], seed: int = 0, least: float = LEAST_CHANCE
) -> float:
    """The probability that the challenger's rate is the higher one, given (lists, rewarded lists) of both and uniform
    priors, within least..1-least: with which chance Thompson sampling shows the challenger next."""
    rng = np.random.default_rng(seed)
    draws = [rng.beta(1 + won, 1 + max(0, shown - won), DRAWS) for shown, won in (production, challenger)]
    return float(np.clip(np.mean(draws[1] > draws[0]), least, 1 - least))
