"""Confidence sequences: intervals that hold at every look at once, so that looking after every batch costs nothing.

The two-sided asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024, "Time-uniform
central limit theory and asymptotic confidence sequences", Annals of Statistics), a normal mixture as in Robbins (1970),
written in terms of information (1 / squared standard error) so that it serves differences of ratios whose variance is
taken by user. `tests/experiments/test_sequential.py` shows its false-positive rate under peeking.

The libraries of the field take a stream of independent observations, one a user; here a user comes again and their
figures grow, which only a standard error by user can follow. Hence the formula itself, and a simulation that checks it.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq


def tuned(alpha: float) -> float:
    """The mixture's variance times the information at which the sequence is narrowest (their equation for rho)."""
    log = -2 * math.log(alpha)
    return log + math.log(log) + 1


def radius(standard_error: float, alpha: float, planned_error: float) -> float:
    """Half the width of the sequence at a look.

    Args:
        standard_error: of the difference, at this look; infinite or NaN: nothing is known.
        alpha: chance that the sequence ever misses the truth.
        planned_error: standard error at which the sequence is to be narrowest, fixed before the first look.
    """
    if not standard_error > 0 or not math.isfinite(standard_error):
        return math.inf
    ratio = tuned(alpha) * (planned_error / standard_error) ** 2
    return standard_error * math.sqrt((1 + 1 / ratio) * (math.log(ratio + 1) - 2 * math.log(alpha)))


def always_valid_p(difference: float, standard_error: float, planned_error: float) -> float:
    """The least alpha whose sequence at this look leaves out 0, at most 1."""
    if not standard_error > 0 or not math.isfinite(standard_error):
        return 1.0

    def excess(log_alpha: float) -> float:
        return radius(standard_error, math.exp(log_alpha), planned_error) - abs(difference)

    if excess(math.log(0.3)) > 0:
        return 1.0
    low = -300.0
    return float(math.exp(low)) if excess(low) < 0 else float(math.exp(brentq(excess, low, math.log(0.3))))


def detectable(standard_error: float, alpha: float, power: float = 0.8) -> float:
    """The least true difference that a look with this standard error finds with `power`, were it the planned one."""
    from scipy.stats import norm

    return radius(standard_error, alpha, standard_error) + float(norm.ppf(power)) * standard_error


def planned_error_for(effect: float, alpha: float, power: float = 0.8) -> float:
    """The standard error that finds a true difference of `effect` with `power` at the planned look."""
    return abs(effect) / detectable(1.0, alpha, power)


def looks_needed(standard_error: float, planned_error: float) -> float:
    """How many times the information so far is needed for `planned_error`: at least 1."""
    if not standard_error > 0 or not np.isfinite(standard_error):
        return math.inf
    return max(1.0, (standard_error / planned_error) ** 2)
