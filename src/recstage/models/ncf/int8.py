"""NCF's weights in eight bits: a quarter of the size on disk.

Weight-only and symmetric: each embedding, and each unit of a layer, has a scale of its own; activations stay float32
and weights become float32 again when a model is loaded, so scoring takes as long as with float32 weights.
`experiments.benchmarks.ncf_int8` measures the cost in accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

SCALE = "_scale"


def quantised(weights: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray]:
    """Each matrix as int8 and its scales (NAME_scale) as float32; vectors unchanged."""
    out: dict[str, NDArray] = {}
    for name, weight in weights.items():
        if weight.ndim < 2:
            out[name] = weight
            continue
        # a row of a table of embeddings is one user or item; a column of a layer is one unit
        axis = 1 if name.endswith(("_users", "_items")) else 0
        scale = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), 1e-12) / 127
        out[name] = np.round(weight / scale).astype(np.int8)
        out[name + SCALE] = scale.astype(np.float32)
    return out


def restored(stored: Mapping[str, NDArray]) -> dict[str, NDArray[np.float32]]:
    """float32 weights of either form: the inverse of `quantised`, up to the rounding to eight bits."""
    return {
        name: value.astype(np.float32) * stored[name + SCALE] if value.dtype == np.int8 else value
        for name, value in stored.items()
        if not name.endswith(SCALE)
    }
