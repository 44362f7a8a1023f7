"""The pairs of an epoch and their loss: positives against negatives, sampled or all, by pairs or by a softmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor

from recstage.data.interactions import Interactions
from recstage.data.negatives import NegativeSampler
from recstage.models.ncf.gradient import pair_gradient
from recstage.models.ncf.network import Network
from recstage.models.neural.team import Team

if TYPE_CHECKING:
    from recstage.models.ncf.params import NcfParams

MINIMUM_STEPS = 20  # of an epoch over all pairs, however few users there are
ORDER, NEGATIVES = 1, 2  # streams of randomness; the others are those of `training`


class Pairs(Protocol):
    """The positive and negative pairs of an epoch."""

    def batches(self, epoch: int) -> Sequence[tuple[Tensor, ...]]:
        """The batch of each step of an epoch; every positive is in one of them."""

    def part(self, batch: tuple[Tensor, ...], team: Team) -> tuple[Tensor, ...]:
        """What a member of the team computes of a batch; its first tensor, which has a row each, may be empty."""

    def loss(self, network: Network, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | float, float]:
        """Cross-entropy and penalty of the embeddings, summed over the pairs of a step; and the number of pairs."""

    def add_gradients(self, network: Network, batch: tuple[Tensor, ...]) -> tuple[Tensor, float]:
        """Add the gradients of the mean of both to the network's; returns cross-entropy and number of pairs."""


def _popularity(liked: Interactions, params: NcfParams, device: torch.device) -> Tensor:
    """Weight of each item as a negative: float32[n_items], 1 on average."""
    weight = np.maximum(liked.item_counts, 1) ** float(params.popularity_exponent)
    return torch.from_numpy((weight / weight.mean()).astype(np.float32)).to(device)


class Penalty:
    """L2 of the embeddings of every pair."""

    def __init__(self, params: NcfParams) -> None:
        self.users = self.items = params.regularization
        if params.item_regularization is not None:
            self.items = params.item_regularization

    def __call__(self, users: Callable[[], Tensor], items: Callable[[], Tensor]) -> Tensor | float:
        """Weighted sum of the squared norms; a norm of weight 0 is not computed."""
        weighted = ((self.users, users), (self.items, items))
        return sum((weight * squares() for weight, squares in weighted if weight), start=0.0)


def _squares(x: Tensor) -> Tensor:
    flat = x.flatten()
    return torch.dot(flat, flat)


def by_autograd(pairs: Pairs, network: Network, batch: tuple[Tensor, ...]) -> tuple[Tensor, float]:
    loss, penalty, number = pairs.loss(network, batch)
    ((loss + penalty) / number).backward()
    return loss.detach(), number


class SampledPairs:
    """As in the paper: each positive with `n_negatives` unseen items, sampled anew each epoch."""

    def __init__(self, liked: Interactions, params: NcfParams, seed: int, device: torch.device) -> None:
        self.liked, self.n, self.seed, self.device = liked, params.n_negatives, seed, device
        self.rows = max(1, params.batch_size // (1 + self.n))
        self.sampler = NegativeSampler(liked)
        self.weights = liked.weight / liked.weight.mean()
        self.popularity = _popularity(liked, params, device) if params.popularity_exponent else None
        self.penalty = Penalty(params)
        self.last, self._sampling = params.epochs, ThreadPoolExecutor(1)
        self._ahead: dict[int, Future[Sequence[tuple[Tensor, ...]]]] = {}

    def batches(self, epoch: int) -> Sequence[tuple[Tensor, ...]]:
        ahead = self._ahead.pop(epoch, None)
        if epoch < self.last:  # sampled while this epoch is trained
            self._ahead[epoch + 1] = self._sampling.submit(self._draw, epoch + 1)
        return self._draw(epoch) if ahead is None else ahead.result()

    def _draw(self, epoch: int) -> Sequence[tuple[Tensor, ...]]:
        order = np.random.default_rng((self.seed, epoch, ORDER)).permutation(len(self.liked))
        users = self.liked.user_index[order]
        negatives = self.sampler.sample(users, self.n, np.random.default_rng((self.seed, epoch, NEGATIVES)))
        items = np.concatenate([self.liked.item_index[order, None], negatives], axis=1, dtype=np.int64)
        users = users.astype(np.int64)
        whole = [users, items] if np.all(self.weights == 1) else [users, items, self.weights[order]]
        parts = [torch.from_numpy(values).to(self.device).split(self.rows) for values in whole]
        return list(zip(*parts, strict=True))

    def part(self, batch: tuple[Tensor, ...], team: Team) -> tuple[Tensor, ...]:
        return team.part(*batch)

    def loss(self, network: Network, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | float, float]:
        users, items, *weights = batch
        loss, user_emb, item_emb = network.cross_entropy(users, items, self._weight(items, weights))
        penalty = self.penalty(lambda: items.shape[1] * _squares(user_emb), lambda: _squares(item_emb))
        return loss, penalty, items.numel()

    def add_gradients(self, network: Network, batch: tuple[Tensor, ...]) -> tuple[Tensor, float]:
        if not network.mlp_factors or network.dropout or self.device.type != "cpu":
            return by_autograd(self, network, batch)
        users, items, *weights = batch
        penalty = {"user_penalty": self.penalty.users, "item_penalty": self.penalty.items}
        return pair_gradient(network, users, items, self._weight(items, weights), **penalty), items.numel()

    def _weight(self, items: Tensor, of_positives: Sequence[Tensor]) -> Tensor | None:
        if not of_positives and self.popularity is None:
            return None
        weight = torch.ones(items.shape, device=self.device) if self.popularity is None else self.popularity[items]
        weight[:, 0] = of_positives[0] if of_positives else 1
        return weight


class AllPairs:
    """The same loss without sampling noise: unseen items weighted by how often they would be sampled on average.

    Steps are batches of users; for GMF one is two matrix products.
    """

    def __init__(self, liked: Interactions, params: NcfParams, seed: int, device: torch.device) -> None:
        self.seed, self.device, self.n = seed, device, params.n_negatives
        self.matrix = liked.matrix / liked.weight.mean()
        self.users = np.flatnonzero(liked.lengths).astype(np.int32)
        self.rows = max(1, min(params.batch_size // liked.n_items, len(self.users) // MINIMUM_STEPS))
        self.items = torch.arange(liked.n_items, device=device)[None]
        self.popularity = _popularity(liked, params, device)
        self.penalty = Penalty(params)

    def batches(self, epoch: int) -> Sequence[tuple[Tensor, ...]]:
        users = np.random.default_rng((self.seed, epoch, ORDER)).permutation(self.users).astype(np.int64)
        return [(part,) for part in torch.from_numpy(users).split(self.rows)]

    def part(self, batch: tuple[Tensor, ...], team: Team) -> tuple[Tensor, ...]:
        return team.part(*batch)

    def loss(self, network: Network, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | float, float]:
        users = batch[0].numpy()
        liked = self.matrix[users]
        counts = np.diff(liked.indptr)
        weights = torch.from_numpy((self.n * counts / (liked.shape[1] - counts)).astype(np.float32)).to(self.device)
        row = torch.from_numpy(np.repeat(np.arange(len(users)), counts)).to(self.device)
        column = torch.from_numpy(liked.indices.astype(np.int64)).to(self.device)
        positive_weights = torch.from_numpy(liked.data).to(self.device)
        logits, user_emb, item_emb = network(batch[0].to(self.device), self.items)
        logits = logits.float()
        own = logits[row, column]
        # all items as negatives in one product, then each positive corrected: fewer operations than a mask
        positives = nnf.softplus(-own) * positive_weights
        as_negatives = nnf.softplus(own) * weights[row] * self.popularity[column]
        total = (nnf.softplus(logits) @ self.popularity * weights).sum() + (positives - as_negatives).sum()
        uses = torch.bincount(column, minlength=liked.shape[1]) + weights.sum()
        pairs = torch.from_numpy((counts * (1 + self.n)).astype(np.float32)).to(self.device)
        penalty = self.penalty(lambda: pairs @ user_emb.square().sum(1), lambda: uses @ item_emb[0].square().sum(1))
        return total, penalty, float(pairs.sum())

    def add_gradients(self, network: Network, batch: tuple[Tensor, ...]) -> tuple[Tensor, float]:
        return by_autograd(self, network, batch)


class SoftmaxOfUsers:
    """Cross-entropy of each positive in the softmax over the catalogue: what a user chose is ranked above all else.

    Steps are batches of users. With sampled negatives the sum over the catalogue is estimated by `n_negatives` items
    that are drawn for a step: each stands for n_items / n_negatives of them (logQ correction; Bengio and Senecal 2008).
    """

    def __init__(self, liked: Interactions, params: NcfParams, seed: int, device: torch.device) -> None:
        self.seed, self.device = seed, device
        self.matrix = liked.matrix / liked.weight.mean()
        self.users = np.flatnonzero(liked.lengths).astype(np.int32)
        self.drawn = params.n_negatives if params.negatives == "sampled" else liked.n_items
        self.rows = max(1, min(params.batch_size // min(self.drawn, liked.n_items), len(self.users) // MINIMUM_STEPS))
        self.penalty = Penalty(params)

    def batches(self, epoch: int) -> Sequence[tuple[Tensor, ...]]:
        random, n_items = np.random.default_rng((self.seed, epoch, ORDER)), self.matrix.shape[1]
        users = torch.from_numpy(random.permutation(self.users).astype(np.int64)).split(self.rows)
        if self.drawn >= n_items:
            return [(part, torch.arange(n_items)) for part in users]
        return [(part, torch.from_numpy(random.choice(n_items, self.drawn, replace=False))) for part in users]

    def part(self, batch: tuple[Tensor, ...], team: Team) -> tuple[Tensor, ...]:
        users, drawn = batch
        return (*team.part(users), drawn)

    def loss(self, network: Network, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | float, float]:
        users, drawn = batch
        liked, n_items = self.matrix[users.numpy()], self.matrix.shape[1]
        counts = np.diff(liked.indptr)
        row = torch.from_numpy(np.repeat(np.arange(len(users)), counts)).to(self.device)
        column = torch.from_numpy(liked.indices.astype(np.int64)).to(self.device)
        weights = torch.from_numpy(liked.data).to(self.device)
        logits, user_emb, item_emb = network(users.to(self.device), drawn[None].to(self.device))
        total = logits.float().logsumexp(dim=1)[row] + float(np.log(n_items / len(drawn)))
        if len(drawn) == n_items:
            own = logits.float()[row, column]
        else:
            own = network(users.to(self.device)[row], column[:, None])[0].float()[:, 0]
            total = torch.logaddexp(total, own)
        loss = (weights * (total - own)).sum()
        pairs = torch.from_numpy(counts.astype(np.float32)).to(self.device)
        uses = pairs.sum() / len(drawn)
        penalty = self.penalty(lambda: pairs @ user_emb.square().sum(1), lambda: uses * item_emb[0].square().sum())
        return loss, penalty, float(pairs.sum())

    def add_gradients(self, network: Network, batch: tuple[Tensor, ...]) -> tuple[Tensor, float]:
        return by_autograd(self, network, batch)


def recent(rows: Interactions, decay: float) -> Interactions:
    """Rows whose weights fall with their age in the history, by `NcfParams.recency_decay`."""
    if not decay:
        return rows
    nth_last = rows.indptr[1:][rows.user_index] - np.arange(len(rows))
    factor = nth_last.astype(np.float64) ** -decay
    positive = rows.weight > 0
    kept = np.bincount(rows.user_index, np.where(positive, factor, 0), rows.n_users)
    mean = kept / np.maximum(1, np.bincount(rows.user_index[positive], minlength=rows.n_users))
    return replace(
        rows, weight=(rows.weight * factor / np.where(mean > 0, mean, 1)[rows.user_index]).astype(np.float32)
    )


def pairs_of(liked: Interactions, params: NcfParams, seed: int, device: torch.device) -> Pairs:
    """The pairs that the parameters name, of positive rows."""
    if params.objective == "softmax":
        return SoftmaxOfUsers(liked, params, seed, device)
    return (AllPairs if params.negatives == "all" else SampledPairs)(liked, params, seed, device)
