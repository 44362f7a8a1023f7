"""NCF's weights in eight bits: a quarter of the size on disk, and what that costs.

Weight-only and symmetric: each embedding, and each unit of a layer, has a scale of its own; activations stay float32
and weights are brought back to float32 when a model is loaded, so answers take as long as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recstage.data.interactions import Interactions

if TYPE_CHECKING:
    from recstage.models.ncf import Ncf

SCALE = "_scale"
TIMED_USERS = 200


def quantised(weights: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray]:
    """Each matrix as int8 with its scales beside it (NAME_scale); vectors as they are."""
    out: dict[str, NDArray] = {}
    for name, weight in weights.items():
        if weight.ndim < 2:
            out[name] = weight
            continue
        # a row of a table of embeddings is one person or item; a column of a layer is one unit
        axis = 1 if name.endswith(("_users", "_items")) else 0
        scale = np.maximum(np.abs(weight).max(axis=axis, keepdims=True), 1e-12) / 127
        out[name] = np.round(weight / scale).astype(np.int8)
        out[name + SCALE] = scale.astype(np.float32)
    return out


def restored(stored: Mapping[str, NDArray]) -> dict[str, NDArray[np.float32]]:
    """float32 weights of either form: the inverse of `quantised`, as near as eight bits can be."""
    return {
        name: value.astype(np.float32) * stored[name + SCALE] if value.dtype == np.int8 else value
        for name, value in stored.items()
        if not name.endswith(SCALE)
    }


@dataclass(frozen=True)
class Cost:
    """Quality, time and size of a model before and after: mean NDCG@10 of the held-out items in full ranking, median
    milliseconds for one user and the whole catalogue, bytes of weights."""

    ndcg_at_10: tuple[float, float]
    milliseconds: tuple[float, float]
    size: tuple[int, int]


def cost_of_int8(model: Ncf, held_out: Interactions) -> Cost:
    """What storing `model` in eight bits changes, measured on held-out rows here and now."""
    params = model.params.model_copy(update={"export": "int8"})
    small = type(model).restore(params, quantised(model.weights_), model.train_, model.catalogue_)
    both = (model, small)
    return Cost(
        ndcg_at_10=(_ndcg(model, held_out), _ndcg(small, held_out)),
        milliseconds=_milliseconds(both),
        size=(_size(model), _size(small)),
    )


def _ndcg(model: Ncf, held_out: Interactions) -> float:
    asked = held_out.select(held_out.weight > 0)
    items = model.rank(model.train_.of(asked.user_index), 10).items
    hit = items == asked.item_index[:, None]
    return float((hit / np.log2(np.arange(hit.shape[1]) + 2)).sum(axis=1).mean())


def _milliseconds(models: tuple[Ncf, Ncf]) -> tuple[float, float]:
    """Taken in turns, so that a busy machine slows both alike."""
    rows = np.arange(TIMED_USERS) % models[0].train_.n_users
    taken: list[list[float]] = [[], []]
    for row in rows:
        user = models[0].train_.of([row])
        for model, times in zip(models, taken, strict=True):
            started = perf_counter()
            model.score(user)
            times.append(perf_counter() - started)
    return 1e3 * float(np.median(taken[0])), 1e3 * float(np.median(taken[1]))


def _size(model: Ncf) -> int:
    return sum(value.nbytes for value in model.state().values())
