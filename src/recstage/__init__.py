"""recstage: train recommenders with MLflow Projects, compare and promote in the MLflow UI, serve Production.

In a notebook: `recstage.fit("als", frame, factors=64)` and `recstage.load("models:/recommender/Production")` give a
`FittedModel`, whose answers are DataFrames with titles (`recstage.interactive`).
"""

import os
from importlib import import_module
from typing import Any

if "OMP_WAIT_POLICY" not in os.environ:
    # Read once, by whichever library brings GNU's OpenMP first. Its threads wait for each other by spinning, for
    # milliseconds; with another training on the same cores most of the time would go into that.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

_LAZY = ("FittedModel", "Lists", "fit", "load")
"""Names of `recstage.interactive`, imported when they are asked for: `import recstage` stays cheap."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module("recstage.interactive"), name)
    raise AttributeError(f"module 'recstage' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
