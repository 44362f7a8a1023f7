"""Neural collaborative filtering: GMF, the MLP, and NeuMF, which combines both.

He et al. 2017, https://arxiv.org/abs/1708.05031. Training uses PyTorch (`recstage.models.ncf.training`, imported only
by a fit), scoring NumPy, with the first layer of the MLP split into a user's and an item's half, so that the service
ranks a whole catalogue without importing torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from recstage.data.interactions import Interactions, Users
from recstage.models import base
from recstage.models.content.vector_map import from_content, regressed
from recstage.models.growth import carried_over
from recstage.models.ncf.params import NcfParams
from recstage.models.ncf.storage import restored, stored

PAIRS_AT_ONCE = 1 << 14  # rows of hidden activations computed at once: they stay in the processor's cache


class Ncf(base.Recommender):
    """Scores a pair with the probability that the user interacts with the item.

    Trained against sampled negatives by binary cross-entropy; with the objective `softmax`, scores are logits. Users
    unknown to training are ranked by popularity.
    """

    name = "ncf"
    Params = NcfParams
    minimum_positives = 10
    distils = True

    @property
    def probabilities(self) -> bool:
        return bool(self.params.objective == "pairs")

    def _fit(self, train: Interactions, fitting: base.Fitting) -> None:
        from recstage.models.ncf.training import fit_network
        from recstage.models.neural.on_cluster import trained

        found = trained(fit_network, self, train, fitting)
        self._load_state(stored(found.weights, eight_bits=self.params.export == "int8"))
        self.fitted_params_ = {"epochs": found.epochs}
        self.larger_ = fitting.teacher
        if found.unpruned is not None and self.larger_ is None:
            params = self.params.model_copy(update={"prune": 0.0})
            self.larger_ = type(self).restore(params, found.unpruned, train, self.catalogue_)

    def _update(self, before: Self, fitting: base.Fitting) -> None:
        """The network stays. New items get embeddings from their content, new users from the mean embedding of what
        they liked, both by ridge regression over those that were trained; all others keep theirs."""
        old, train = before.weights_, self.train_
        old_user = before.train_.users.index_of(train.users.ids)
        old_item = before.train_.items.index_of(train.items.ids)
        item_names = [name for name in ("gmf_items", "mlp_items", "item_bias") if name in old]
        user_names = [name for name in ("gmf_users", "mlp_users") if name in old]
        items = carried_over(_side_by_side(old, item_names), old_item)
        items = from_content(items, old_item >= 0, fitting.catalogue, fitting.seed)
        users = carried_over(_side_by_side(old, user_names), old_user)
        likes = train.matrix.copy()
        likes.data[:] = 1
        count = np.asarray(likes.sum(axis=1), np.float32).reshape(-1, 1)
        taste = np.hstack([likes @ items / np.maximum(count, 1), np.log1p(count)]).astype(np.float32)
        new, examples = (old_user < 0) & (count[:, 0] > 0), (old_user >= 0) & (count[:, 0] > 0)
        if new.any() and examples.any():
            users[new] = regressed(taste[examples], users[examples], taste[new])
        weights = {**old, **_apart(users, old, user_names), **_apart(items, old, item_names)}
        self._load_state(stored(weights, eight_bits=self.params.export == "int8"))

    def score(self, users: Users, items: NDArray[np.int32] | None = None) -> NDArray[np.float32]:
        index = users.index.astype(np.int64)
        width = self.n_items if items is None else items.shape[-1]
        out = np.empty((len(users), width), np.float32)
        step = max(1, PAIRS_AT_ONCE // max(1, width))
        for start in range(0, len(users), step):
            rows = slice(start, start + step)
            own = items[rows] if items is not None and items.ndim == 2 else items
            out[rows] = self.logits(index[rows], own)
        return expit(out, out=out) if self.probabilities else out

    def can_score(self, users: Users) -> NDArray[np.bool_]:
        return super().can_score(users) & self._known[users.index]

    def item_vectors(self) -> NDArray[np.float32]:
        tables = [self.weights_[name] for name in ("gmf_items", "mlp_items") if name in self.weights_]
        return tables[0] if len(tables) == 1 else np.concatenate(tables, axis=1)

    def state(self) -> dict[str, NDArray]:
        return dict(self.stored_)

    def _load_state(self, state: Mapping[str, NDArray]) -> None:
        self.stored_ = dict(state)
        self.weights_ = restored(state)
        for derived in ("_known", "_user_half", "_item_half"):
            self.__dict__.pop(derived, None)

    @cached_property
    def _known(self) -> NDArray[np.bool_]:
        """Users with a positive training row: bool[n_users + 1], the last for unknown users (index -1)."""
        liked = self.train_.user_index[self.train_.weight > 0]
        return np.bincount(liked, minlength=self.train_.n_users + 1) > 0

    @cached_property
    def _user_half(self) -> NDArray[np.float32]:
        """The users' part of the first hidden layer: float32[n_users, layers[0]]."""
        return self.weights_["mlp_users"] @ self.weights_["first_user"] + self.weights_["first_bias"]

    @cached_property
    def _item_half(self) -> NDArray[np.float32]:
        """The items' part of the first hidden layer: float32[n_items, layers[0]]."""
        return self.weights_["mlp_items"] @ self.weights_["first_item"]

    def logits(self, users: NDArray[np.int64], items: NDArray[np.int32] | None) -> NDArray[np.float32]:
        """Logits float32[n, n_items], or [n, m] for items of shape [m] or [n, m]."""
        some = slice(None) if items is None else items
        each = items is not None and items.ndim == 2
        logits = self.weights_["output_bias"] + self.weights_["item_bias"][some]
        if "gmf_users" in self.weights_:
            user_emb = self.weights_["gmf_users"][users]
            item_emb = self.weights_["gmf_items"][some]
            logits = logits + (np.einsum("nd,nmd->nm", user_emb, item_emb) if each else user_emb @ item_emb.T)
        if "mlp_users" in self.weights_:
            # W [u; i] = W_u u + W_i i: both halves are computed once per table, a pair costs one addition
            hidden = self._item_half[some] + self._user_half[users][:, None]
            np.maximum(hidden, 0, out=hidden)
            for depth in range(1, len(self.params.layers)):
                hidden = hidden @ self.weights_[f"layer_{depth}"]
                hidden += self.weights_[f"bias_{depth}"]
                np.maximum(hidden, 0, out=hidden)
            logits = logits + hidden @ self.weights_["output_mlp"]
        return logits


def _side_by_side(weights: Mapping[str, NDArray[np.float32]], names: Sequence[str]) -> NDArray[np.float32]:
    return np.hstack([weights[name].reshape(len(weights[name]), -1) for name in names])


def _apart(
    table: NDArray[np.float32], like: Mapping[str, NDArray[np.float32]], names: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """The inverse of `_side_by_side`: tables as wide as those of `like`."""
    widths = [like[name].reshape(len(like[name]), -1).shape[1] for name in names]
    parts = np.split(table, np.cumsum(widths)[:-1], axis=1)
    return {
        name: np.ascontiguousarray(part if like[name].ndim > 1 else part[:, 0])
        for name, part in zip(names, parts, strict=True)
    }
