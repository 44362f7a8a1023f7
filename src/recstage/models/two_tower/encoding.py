"""The user tower in NumPy: what the service computes for each request, equal to PyTorch's within 1e-4.

Weights are named as `recstage.models.two_tower.training.Network.export` writes them; a block's own are read by the
function of its kind (`params.block`), which answers for the positions `needed` only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from recstage.models.two_tower.params import TwoTowerParams

Array = NDArray[np.float32]
Weights = Mapping[str, Array]
Ages = NDArray[np.int32] | None
AGES = 32  # the last one begins at 2**31 seconds: 68 years
SMALLEST_NORM = np.float32(1e-12)  # as in torch.nn.functional.normalize


def encode(weights: Weights, history: Array, params: TwoTowerParams, times: NDArray[np.int64] | None = None) -> Array:
    """Histories of one length (float32[n, t, factors], oldest first) to users' vectors: float32[n, factors].

    `times` int64[n, t] are seconds; needed where the weights name `ages`.

    The last block is computed for the last position only: its other outputs are not used.
    """
    t = history.shape[1]
    block = BLOCKS[params.block]
    x = history + weights["positions"][:t]
    ages = None if times is None else ages_of(times, slice(0, t) if params.layers > 1 else slice(t - 1, t))
    for i in range(params.layers):
        needed = slice(t - 1, t) if i == params.layers - 1 else slice(0, t)
        own = {name.removeprefix(f"block_{i}_"): w for name, w in weights.items() if name.startswith(f"block_{i}_")}
        x = block(own, x, needed, params.heads, None if ages is None else ages[:, needed.start - t :])
    out = normalised(x[:, -1], weights["norm_weight"], weights["norm_bias"])
    return to_length_one(out) / np.float32(params.temperature) if params.similarity == "cosine" else out


def to_length_one(x: Array) -> Array:
    """Each vector (last axis) divided by its length."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), SMALLEST_NORM)


def ages_of(times: NDArray[np.int64], needed: slice) -> NDArray[np.int32]:
    """Between each needed position and each position of histories at `times`: the logarithm of the seconds, to base 2.

    Rounded down, from 0 to AGES - 1 (int32[n, needed, t]); 0 for positions that are later.
    """
    seconds = np.maximum(times[:, needed, None] - times[:, None], 0)
    return np.minimum(np.frexp(seconds + 1.0)[1] - 1, AGES - 1)  # frexp is exact where log2 rounds


def _sasrec(w: Weights, x: Array, needed: slice, heads: int, _: Ages) -> Array:
    x, h = x[:, needed], normalised(x, w["norm_1_weight"], w["norm_1_bias"])
    x = x + _softmax_attention(w, h, needed, heads)
    h = _linear(normalised(x, w["norm_2_weight"], w["norm_2_bias"]), w["up_weight"], w["up_bias"])
    return x + _linear(np.maximum(h, 0, out=h), w["down_weight"], w["down_bias"])


def _ligr(w: Weights, x: Array, needed: slice, heads: int, _: Ages) -> Array:
    x, h = x[:, needed], normalised(x, w["norm_1_weight"], w["norm_1_bias"])
    gate = _sigmoid(_linear(x, w["gate_1_weight"], w["gate_1_bias"]))
    x = x + gate * _softmax_attention(w, h, needed, heads)
    h = normalised(x, w["norm_2_weight"], w["norm_2_bias"])
    opened = _linear(h, w["open_weight"], w["open_bias"])
    h = opened * _sigmoid(opened) * _linear(h, w["up_weight"], w["up_bias"])
    gate = _sigmoid(_linear(x, w["gate_2_weight"], w["gate_2_bias"]))
    return x + gate * _linear(h, w["down_weight"], w["down_bias"])


def _hstu(w: Weights, x: Array, needed: slice, heads: int, ages: Ages) -> Array:
    n, t, d = x.shape
    joint = _linear(normalised(x, w["norm_weight"], w["norm_bias"]), w["uvqk_weight"], w["uvqk_bias"])
    joint *= _sigmoid(joint)
    u, v, q, k = joint.reshape(n, t, 4, heads, d // heads).transpose(2, 0, 3, 1, 4)
    attention = q[:, :, needed] @ k.swapaxes(-1, -2)
    attention *= np.float32(1 / np.sqrt(d // heads))
    attention += _by_distance(w["near"], t, needed, later=0.0)
    if "ages" in w and ages is not None:
        for head, of_ages in enumerate(w["ages"].T):
            attention[:, head] += of_ages.take(ages)
    attention *= _sigmoid(attention)
    earlier = np.tri(t, dtype=np.float32)[needed]
    attention *= earlier / earlier.sum(axis=1, keepdims=True)
    mixed = (attention @ v).swapaxes(1, 2).reshape(n, -1, d)
    gate = u[:, :, needed].swapaxes(1, 2).reshape(n, -1, d)
    mixed = normalised(mixed, w["norm_mixed_weight"], w["norm_mixed_bias"]) * gate
    return x[:, needed] + _linear(mixed, w["out_weight"], w["out_bias"])


BLOCKS: Mapping[str, Callable[[Weights, Array, slice, int, Ages], Array]] = {
    "sasrec": _sasrec,
    "ligr": _ligr,
    "hstu": _hstu,
}


def _softmax_attention(w: Weights, h: Array, needed: slice, heads: int) -> Array:
    n, t, d = h.shape
    joint = _linear(h, w["qkv_weight"], w["qkv_bias"])
    q, k, v = joint.reshape(n, t, 3, heads, d // heads).transpose(2, 0, 3, 1, 4)
    attention = q[:, :, needed] @ k.swapaxes(-1, -2)
    attention *= np.float32(1 / np.sqrt(d // heads))
    attention += _by_distance(w["near"], t, needed, later=-np.inf)  # hides later positions from the softmax
    attention -= attention.max(axis=-1, keepdims=True)  # softmax in place; the shift keeps exp from overflowing
    np.exp(attention, out=attention)
    attention /= attention.sum(axis=-1, keepdims=True)
    mixed = (attention @ v).swapaxes(1, 2).reshape(n, -1, d)
    return _linear(mixed, w["out_weight"], w["out_bias"])


def _by_distance(near: Array, t: int, needed: slice, later: float) -> Array:
    """`near` (float32[heads, window]: the number of each distance) of each needed position and each position, `later`
    for positions that are later: float32[heads, needed, t], a view of one line of numbers a head."""
    line = np.concatenate([near[:, t - 1 :: -1], np.full((len(near), t - 1), later, np.float32)], axis=1)
    return np.lib.stride_tricks.sliding_window_view(line, t, axis=1)[:, ::-1][:, needed]


def _linear(x: Array, weight: Array, bias: Array) -> Array:
    return (x.reshape(-1, x.shape[-1]) @ weight + bias).reshape(*x.shape[:-1], -1)


def _sigmoid(x: Array) -> Array:
    # by tanh: exp would overflow for values far below 0
    return np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)


def normalised(x: Array, weight: Array, bias: Array) -> Array:
    """Layer normalisation over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + np.float32(1e-5)) * weight + bias
