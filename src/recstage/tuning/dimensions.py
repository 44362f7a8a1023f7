"""A dimension of a search space as Optuna knows it, and back: lists are no categories to it, and travel as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import optuna

from recstage.config import SearchRange


def suggest(trial: optuna.Trial, name: str, dimension: SearchRange) -> Any:
    if dimension.choices is not None:
        # lists are no categories to Optuna: they travel as JSON
        return _choice(trial.suggest_categorical(name, [_packed(choice) for choice in dimension.choices]), dimension)
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.integer:
        step = int(dimension.step) if dimension.step else 1
        return trial.suggest_int(name, int(dimension.low), int(dimension.high), step=step, log=dimension.log)
    return trial.suggest_float(name, dimension.low, dimension.high, step=dimension.step, log=dimension.log)


def holds(dimension: SearchRange, value: Any) -> bool:
    if dimension.choices is not None:
        return _packed(value) in [_packed(choice) for choice in dimension.choices]
    assert dimension.low is not None
    assert dimension.high is not None
    on_the_grid = dimension.step is None or (value - dimension.low) % dimension.step == 0
    return dimension.low <= value <= dimension.high and on_the_grid


def _packed(choice: Any) -> Any:
    return json.dumps(choice) if isinstance(choice, list | tuple) else choice


def _choice(packed: Any, dimension: SearchRange) -> Any:
    return next(choice for choice in dimension.choices or () if _packed(choice) == packed)


def unpacked(params: Mapping[str, Any], space: Mapping[str, SearchRange]) -> dict[str, Any]:
    return {
        name: _choice(value, space[name]) if space[name].choices is not None else value
        for name, value in params.items()
    }
