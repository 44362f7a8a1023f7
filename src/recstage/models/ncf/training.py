"""Training of NCF: the epochs of a network over its pairs, and what a fit makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as nnf
from numpy.typing import NDArray
from tqdm import tqdm

from recstage.data.interactions import Interactions
from recstage.errors import TooLittleData
from recstage.models import base
from recstage.models.ncf.distillation import DistilledPairs, digest_of
from recstage.models.ncf.network import Network
from recstage.models.ncf.pairs import Pairs, pairs_of, recent
from recstage.models.ncf.pruning import Pruned
from recstage.models.neural.checkpoint import CheckpointFile
from recstage.models.neural.team import ALONE, Team
from recstage.models.neural.training import (
    device_of_choice,
    in_one_piece,
    matrix_type,
    seeded,
    set_learning_rate,
    train,
    validated,
    validation_rows,
)

if TYPE_CHECKING:
    from recstage.models.ncf.params import NcfParams

VALIDATION_PAIRS_AT_ONCE = 1 << 16
INITIAL, STEPS, VALIDATION = 0, 3, 4  # streams of randomness; `pairs` has the others


class Trainer:
    """One network in training: its pairs, its optimiser, its epoch and its validation."""

    def __init__(
        self,
        network: Network,
        params: NcfParams,
        rows: Interactions,
        fitting: base.Fitting,
        pruned: Pruned | None = None,
    ) -> None:
        self.device = device_of_choice()
        self.network = network.to(self.device)
        self.params, self.seed = params, fitting.seed
        self.team: Team = fitting.team or ALONE
        weighted = recent(rows, params.recency_decay)
        liked = weighted.select(weighted.weight > 0)
        # a user who likes everything has no negatives, and nothing left to be ranked
        liked = liked.select(liked.lengths[liked.user_index] < rows.n_items)
        if not len(liked):
            raise TooLittleData(
                "every user likes every item", rule="ncf learns from what users did not choose", fix="Give more items"
            )
        self.pairs: Pairs = pairs_of(liked, params, fitting.seed, self.device)
        if fitting.teacher is not None:
            self.pairs = DistilledPairs(self.pairs, fitting.teacher, params, self.device)
        self.pruned = pruned
        self.in_one_piece = [in_one_piece(self.network)]
        self.optimiser = torch.optim.Adam(self.in_one_piece, lr=params.learning_rate, fused=True)
        self._set_validation(rows, fitting.validation)

    def _set_validation(self, rows: Interactions, validation: Interactions | None) -> None:
        self.validation: tuple[Interactions, NDArray[np.int32], NDArray[np.int32]] | None = None
        if validation is None:
            return
        asked = validation_rows(validation.weight > 0, self.seed, VALIDATION)
        if len(asked):
            (asked,) = self.team.part(asked)
            self.validation = rows, validation.user_index[asked], validation.item_index[asked]

    def run_epoch(self, epoch: int, planned: int) -> float:
        """Train on every positive once, with its negatives. Returns the mean loss of a pair."""
        self.network.train()
        batches = self.pairs.batches(epoch)
        total, count = torch.zeros((), device=self.device), 0.0
        with seeded(self.seed, epoch, STEPS, *self.team.stream):
            for i, batch in enumerate(tqdm(batches, f"epoch {epoch}", leave=False, delay=2, disable=None)):
                set_learning_rate(self.optimiser, (epoch - 1 + i / len(batches)) / planned)
                self.optimiser.zero_grad(set_to_none=False)
                own, pairs = self.pairs.part(batch, self.team), 0.0
                if len(own[0]):
                    loss, pairs = self.pairs.add_gradients(self.network, own)
                    total += loss
                    count += pairs
                self.team.average(self.in_one_piece, pairs)
                self.optimiser.step()
                if self.pruned is not None:
                    self.pruned.apply(self.network)
        return self.team.mean({"loss": float(total) / max(1.0, count)}, count)["loss"]

    def validate(self) -> Mapping[str, float]:
        """NDCG@10 and HR@10 of each held-out item among all items that its user has not seen, and the mean loss of a
        pair as in training, over all of those items instead of a few drawn ones."""
        assert self.validation is not None
        rows, users, held = self.validation
        n = self.params.n_negatives
        self.network.eval()
        everything = torch.arange(rows.n_items, device=self.device)[None]
        ranks, losses = [torch.empty(0, dtype=torch.int64, device=self.device)], [torch.empty(0, device=self.device)]
        step = max(1, VALIDATION_PAIRS_AT_ONCE // rows.n_items)
        with torch.inference_mode():
            for start in range(0, len(users), step):
                some = users[start : start + step]
                scores = self.network(torch.from_numpy(some).to(self.device), everything)[0].float()
                own = torch.from_numpy(held[start : start + step].astype(np.int64)).to(self.device)[:, None]
                target = scores.gather(1, own)
                seen = rows.of(some)
                scores[seen.rows, seen.items] = -torch.inf
                ranks.append((scores > target).sum(dim=1))
                scores.scatter_(1, own, -torch.inf)
                unseen = torch.isfinite(scores).sum(dim=1).clamp(min=1)
                others = nnf.softplus(scores).sum(dim=1) / unseen
                losses.append((nnf.softplus(-target[:, 0]) + n * others) / (1 + n))
        return self.team.mean(validated(torch.cat(ranks), torch.cat(losses)), len(users))


@dataclass(frozen=True)
class Trained:
    """The weights for `Ncf.score`, the number of epochs that they were trained for, and those of before the pruning."""

    weights: dict[str, NDArray[np.float32]]
    epochs: int
    unpruned: dict[str, NDArray[np.float32]] | None = None


def fit_network(model: base.Recommender, rows: Interactions, fitting: base.Fitting) -> Trained:
    """Train by `model.params`."""
    network, epochs = _train(model, model.params, rows, fitting)
    share = model.params.prune
    if not share:
        return Trained(network.export(), epochs)
    unpruned, pruned = network.export(), Pruned.of(network, share)
    pruned.apply(network)
    if model.params.prune_epochs:
        params = model.params.model_copy(update={"epochs": model.params.prune_epochs, "patience": 0})
        train_on = replace(fitting, validation=None, report=base.silent, seconds=0.0)
        _train_one(model, params, rows, train_on, network=network, pruned=pruned)
    return Trained(network.export(), epochs, unpruned)


def _train(
    model: base.Recommender, params: NcfParams, rows: Interactions, fitting: base.Fitting
) -> tuple[Network, int]:
    if params.variant != "neumf" or not params.pretrain:
        return _train_one(model, params, rows, fitting)
    alone = replace(fitting, validation=None, report=base.silent, start=None, teacher=None, seconds=0.0)
    gmf, mlp = (
        _train_one(model, params.model_copy(update={"variant": part, "epochs": params.pretrain}), rows, alone)[0]
        for part in ("gmf", "mlp")
    )
    return _train_one(model, params, rows, fitting, start=(gmf, mlp))


def _train_one(
    model: base.Recommender,
    params: NcfParams,
    rows: Interactions,
    fitting: base.Fitting,
    *,
    start: tuple[Network, Network] | None = None,
    network: Network | None = None,
    pruned: Pruned | None = None,
) -> tuple[Network, int]:
    if network is None:
        with seeded(fitting.seed, INITIAL):
            network = Network(rows.n_users, rows.n_items, params, matrix_type(params.precision, device_of_choice()))
    if start is not None:
        network.start_from(*start)
    trainer = Trainer(network, params, rows, fitting, pruned)
    stages = [params.variant, *(["pruned"] if pruned else [])]
    if fitting.teacher is not None:
        stages.append(digest_of(fitting.teacher))
    epochs = train(
        network,
        trainer.optimiser,
        trainer.run_epoch,
        trainer.validate if trainer.validation is not None and params.patience else None,
        epochs=params.epochs,
        patience=params.patience,
        report=fitting.report,
        checkpoint=CheckpointFile.of(model, rows, fitting, "-".join(stages)),
        seconds=fitting.seconds,
        team=trainer.team,
    )
    return network, epochs
