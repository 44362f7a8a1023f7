"""What storing NCF's weights in eight bits costs: quality, time and size before and after."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from recstage.data.interactions import Interactions
from recstage.models.ncf.storage import stored

if TYPE_CHECKING:
    from recstage.models.ncf.model import Ncf

TIMED_USERS = 200


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
    small = type(model).restore(params, stored(model.weights_, eight_bits=True), model.train_, model.catalogue_)
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
