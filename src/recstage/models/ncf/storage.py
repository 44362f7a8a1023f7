"""NCF's weights as a bundle holds them: in eight bits, and without the zeros of a pruned network.

Both are about size. Weights become float32 matrices again when a model is loaded, so scoring takes as long, and as much
memory, as with all of them.

Eight bits are weight-only and symmetric: each embedding, and each unit of a layer, has a scale of its own. A matrix
with zeros is stored as its other values and a bit a weight that says where they are, where that is smaller: at half of
the weights .53 of the bytes of float32, .63 of those of int8. (A CSR matrix, with its indices, would take as many
bytes as the whole one.)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

SCALE, KEPT, SHAPE = "_scale", "_kept", "_shape"


def stored(weights: Mapping[str, NDArray[np.float32]], *, eight_bits: bool = False) -> dict[str, NDArray]:
    """The arrays of a bundle: `quantised` where asked for, matrices with enough zeros `packed`."""
    return packed(quantised(weights) if eight_bits else weights)


def restored(arrays: Mapping[str, NDArray]) -> dict[str, NDArray[np.float32]]:
    """float32 weights: the inverse of `stored`, up to the rounding to eight bits."""
    whole = _unpacked(arrays)
    return {
        name: value.astype(np.float32) * whole[name + SCALE] if value.dtype == np.int8 else value
        for name, value in whole.items()
        if not name.endswith(SCALE)
    }


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


def packed(weights: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Each matrix that is smaller so as its values other than zero, with a bit a weight (NAME_kept) and NAME_shape."""
    out: dict[str, NDArray] = {}
    for name, weight in weights.items():
        kept = weight != 0
        if weight.ndim < 2 or kept.sum() * weight.itemsize + weight.size / 8 >= weight.nbytes:
            out[name] = weight
            continue
        out[name] = weight[kept]
        out[name + KEPT], out[name + SHAPE] = np.packbits(kept), np.array(weight.shape, np.int64)
    return out


def _unpacked(arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
    out = {name: value for name, value in arrays.items() if not name.endswith((KEPT, SHAPE))}
    for name in [name for name in out if name + KEPT in arrays]:
        shape = tuple(arrays[name + SHAPE].tolist())
        kept = np.unpackbits(arrays[name + KEPT], count=int(np.prod(shape))).astype(bool)
        whole = np.zeros(len(kept), out[name].dtype)
        whole[kept] = out[name]
        out[name] = whole.reshape(shape)
    return out
