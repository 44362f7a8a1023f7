"""Training of the two-tower: both towers in PyTorch, and the epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as nnf
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from recstage.data.interactions import Interactions
from recstage.data.tables.values.timestamps import A_CLOCK
from recstage.models import base
from recstage.models.neural.checkpoint import CheckpointFile
from recstage.models.neural.softmax_loss import SampledSoftmaxLoss, SoftmaxLoss
from recstage.models.neural.team import ALONE, Team
from recstage.models.neural.training import (
    device_of_choice,
    dropout,
    generator_of,
    matrix_type,
    seeded,
    set_learning_rate,
    train,
    validated,
    validation_rows,
)
from recstage.models.two_tower.blocks import ages_of, block_of
from recstage.models.two_tower.neighbors import neighbor_vectors
from recstage.models.two_tower.windows import Windows

if TYPE_CHECKING:
    from recstage.models.two_tower.params import TwoTowerParams

FULL_SOFTMAX_UP_TO = 20_000
NEGATIVES_OF_LARGE_CATALOGUES = 4_096
WARM_UP_STEPS = 100
INITIAL, WINDOWS, STEPS, VALIDATION = range(4)  # streams of randomness


class Network(nn.Module):
    """Both towers. `features` float32[n_items, width] describe the items by their texts and categories."""

    features: Tensor | None
    later: Tensor
    distance: Tensor

    def __init__(
        self, n_items: int, params: TwoTowerParams, features: NDArray[np.float32] | None, timed: bool = False
    ) -> None:
        super().__init__()
        self.timed = timed
        self.dropout, self.id_dropout = params.dropout, params.id_dropout
        self.temperature = params.temperature if params.similarity == "cosine" else None
        self.ids = nn.Embedding(n_items, params.factors)
        self.positions = nn.Embedding(params.window, params.factors)
        for table in (self.ids, self.positions):
            nn.init.normal_(table.weight, std=0.02)
        self.register_buffer("features", None if features is None else torch.from_numpy(features), persistent=False)
        self.text = None if features is None else nn.Linear(features.shape[1], params.factors, bias=False)
        if self.text is not None:
            nn.init.normal_(self.text.weight, std=0.02 / math.sqrt(max(1, params.text_factors)))
        self.blocks = nn.ModuleList(block_of(params, timed) for _ in range(params.layers))
        self.norm = nn.LayerNorm(params.factors)
        later = torch.full((params.window, params.window), -torch.inf).triu(1)
        self.register_buffer("later", later, persistent=False)
        places = torch.arange(params.window)
        self.register_buffer("distance", (places[:, None] - places).clamp(min=0), persistent=False)

    def item_tower(self, hide_ids: Tensor | None = None) -> Tensor:
        """Vectors of all items [n_items, factors]; those of `hide_ids` (bool[n_items]) from their texts alone."""
        if self.text is None:
            return self.ids.weight
        ids = self.ids.weight if hide_ids is None else self.ids.weight * ~hide_ids[:, None]
        return ids + self.text(self.features)

    def user_tower(self, histories: Tensor, vectors: Tensor, times: Tensor | None = None) -> Tensor:
        """Vectors of the item after each position of histories [n, t], given all items' vectors: [n, t, factors].

        `times` [n, t] (seconds) are read by a network that is `timed`.
        """
        t = histories.shape[1]
        x = nnf.embedding(histories, vectors) + self.positions.weight[:t]
        x = dropout(x, self.dropout, self.training)
        ages = ages_of(times) if self.timed and times is not None else None
        for block in self.blocks:
            x = block(x, self.later[:t, :t], self.distance[:t, :t], ages)
        x = self.norm(x)
        return x if self.temperature is None else nnf.normalize(x.float(), dim=-1) / self.temperature

    def targets(self, vectors: Tensor) -> Tensor:
        """Of the items' vectors, those that a user's vector is multiplied with: of length 1 if similarity is cosine."""
        return vectors if self.temperature is None else nnf.normalize(vectors, dim=-1)

    def export(self) -> dict[str, NDArray[np.float32]]:
        """The weights as `TwoTower` reads them: layers as [inputs, outputs]."""
        with torch.no_grad():
            out = {"items": self.item_tower(), "positions": self.positions.weight}
            if self.text is not None:
                out["text"] = self.text.weight.T
            for i, block in enumerate(self.blocks):
                for name, value in block.state_dict().items():
                    matrix = value.T if value.dim() == 2 and name.endswith("weight") else value
                    out[f"block_{i}_{name.replace('.', '_')}"] = matrix
            out["norm_weight"], out["norm_bias"] = self.norm.weight, self.norm.bias
        return {name: np.ascontiguousarray(value.detach().float().cpu().numpy()) for name, value in out.items()}


class Trainer:
    """One network in training: its windows, its optimiser, its epoch and its validation."""

    def __init__(
        self, network: Network, params: TwoTowerParams, liked: Interactions, fitting: base.Fitting, device: torch.device
    ) -> None:
        self.network = network.to(device)
        self.params, self.seed, self.device = params, fitting.seed, device
        self.team: Team = fitting.team or ALONE
        self.dtype = matrix_type(params.precision, device)
        self.windows = Windows(liked, params.window)
        self.n_items = liked.n_items
        self.n_sampled = params.n_negatives
        if not self.n_sampled and self.n_items > FULL_SOFTMAX_UP_TO:
            self.n_sampled = NEGATIVES_OF_LARGE_CATALOGUES
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=params.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=params.regularization,
            fused=True,
        )
        self._set_validation(liked, fitting.validation)

    def _set_validation(self, liked: Interactions, validation: Interactions | None) -> None:
        self.validation: tuple[Interactions, NDArray[np.int32], NDArray[np.int32]] | None = None
        if validation is None:
            return
        eligible = (validation.weight > 0) & (liked.lengths[validation.user_index] > 0)
        rows = validation_rows(eligible, self.seed, VALIDATION)
        if len(rows):
            (rows,) = self.team.part(rows)
            self.validation = liked, validation.user_index[rows], validation.item_index[rows]

    def run_epoch(self, epoch: int, planned: int) -> float:
        """Train on every step from an item to the next, once. Returns the mean loss."""
        self.network.train()
        most = self.params.batch_size * self.params.window
        batches = self.windows.batches(most, generator_of(torch.device("cpu"), self.seed, epoch, WINDOWS))
        total, count = torch.zeros((), device=self.device), 0
        with seeded(self.seed, epoch, STEPS, *self.team.stream):
            for i, whole in enumerate(tqdm(batches, f"epoch {epoch}", leave=False, delay=2, disable=None)):
                done = epoch - 1 + i / len(batches)
                warm_up = min(1.0, (done * len(batches) + 1) / WARM_UP_STEPS)
                set_learning_rate(self.optimiser, done / planned, warm_up)
                start, length = self.team.part(*whole)
                self.optimiser.zero_grad(set_to_none=True)
                positions = int(length.sum())
                if positions:
                    total += self._add_gradients(*self.windows.read(start, length)) * positions
                    count += positions
                self.team.average(self.network.parameters(), positions)
                self.optimiser.step()
        return self.team.mean({"loss": float(total) / max(1, count)}, count)["loss"]

    def _add_gradients(
        self, histories: Tensor, times: Tensor, real: Tensor, targets: Tensor, weights: Tensor | None
    ) -> Tensor:
        histories, times = histories.to(self.device), times.to(self.device)
        real, targets = real.to(self.device), targets.to(self.device)
        weights = None if weights is None else weights.to(self.device)
        hide = None
        if self.network.text is not None and self.params.id_dropout:
            hide = torch.rand(self.n_items, device=self.device) < self.params.id_dropout
        vectors = self.network.item_tower(hide)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            outputs = self.network.user_tower(histories, vectors, times)[real].float()
        vectors = self.network.targets(vectors)
        if self.n_sampled:
            sampled = torch.randperm(self.n_items, device=self.device)[: self.n_sampled]
            loss = SampledSoftmaxLoss.apply(outputs, vectors, targets, weights, sampled, self.dtype)
        else:
            loss = SoftmaxLoss.apply(outputs, vectors, targets, weights, self.params.label_smoothing, self.dtype)
        loss.backward()
        return loss.detach()

    def validate(self) -> Mapping[str, float]:
        """NDCG@10, HR@10 and cross-entropy of each held-out item among all items that its user has not seen."""
        assert self.validation is not None
        liked, users, held = self.validation
        self.network.eval()
        ranks, losses = [torch.empty(0, dtype=torch.int64, device=self.device)], [torch.empty(0, device=self.device)]
        lengths = np.minimum(liked.lengths[users], self.params.window)
        with torch.inference_mode():
            vectors = self.network.item_tower()
            for some in (
                np.array_split(np.argsort(lengths, kind="stable"), math.ceil(len(users) / 64)) if len(users) else []
            ):
                ends = liked.indptr[users[some] + 1]
                ahead = np.arange(lengths[some].max())
                place = np.minimum((ends - lengths[some])[:, None] + ahead, len(liked) - 1)
                histories = torch.from_numpy(liked.item_index[place]).to(self.device)
                last = torch.from_numpy(lengths[some] - 1).to(self.device)
                times = torch.from_numpy(liked.timestamp[place].astype(np.int64)).to(self.device)
                outputs = self.network.user_tower(histories, vectors, times)
                outputs = outputs[torch.arange(len(some), device=self.device), last]
                scores = outputs @ self.network.targets(vectors).T
                own = torch.from_numpy(held[some].astype(np.int64)).to(self.device)[:, None]
                target = scores.gather(1, own)
                seen = liked.of(users[some])
                scores[seen.rows, seen.items] = -torch.inf
                ranks.append((scores > target).sum(dim=1))
                scores.scatter_(1, own, target)
                losses.append(torch.logsumexp(scores.float(), dim=1) - target[:, 0].float())
        return self.team.mean(validated(torch.cat(ranks), torch.cat(losses)), len(users))


def reads_clock(params: TwoTowerParams, liked: Interactions) -> bool:
    """Whether the block reads times and these are seconds since 1970, not ranks (as sources tell them apart)."""
    return params.block == "hstu" and float(np.median(liked.timestamp)) > A_CLOCK


def fit_network(
    model: base.Recommender, liked: Interactions, fitting: base.Fitting, features: NDArray[np.float32] | None
) -> tuple[dict[str, NDArray[np.float32]], int]:
    """Train on positive rows by `model.params`; returns `TwoTower`'s weights and the epochs they were trained for."""
    params: TwoTowerParams = model.params
    with seeded(fitting.seed, INITIAL):
        network = Network(liked.n_items, params, features, params.times and reads_clock(params, liked))
    if params.first_vectors == "neighbors":
        with torch.no_grad():
            network.ids.weight.copy_(torch.from_numpy(neighbor_vectors(liked, params.factors, fitting.seed)))
    trainer = Trainer(network, params, liked, fitting, device_of_choice())
    epochs = train(
        network,
        trainer.optimiser,
        trainer.run_epoch,
        trainer.validate if trainer.validation is not None and params.patience else None,
        epochs=params.epochs,
        patience=params.patience,
        report=fitting.report,
        checkpoint=CheckpointFile.of(model, liked, fitting),
        seconds=fitting.seconds,
        team=trainer.team,
    )
    return network.export(), epochs
