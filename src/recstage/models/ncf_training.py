"""How NCF learns: the network in PyTorch, negatives sampled anew each epoch, and the epoch itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from recstage.data.interactions import Interactions
from recstage.models import base
from recstage.models.training import CheckpointFile, device_of_choice, generator_of, seeded, train

if TYPE_CHECKING:
    from recstage.models.ncf import Ncf, NcfParams

METRIC = "validation_ndcg_at_10"
VALIDATION_ROWS = 10_000
VALIDATION_NEGATIVES = 99
BITMAP_CELLS = 1 << 30  # up to so many (user, item) cells a table of bits-as-bytes tells positives from negatives
INITIAL, SHUFFLE, NEGATIVES, DROPOUT, VALIDATION = range(5)  # streams of randomness


class Network(nn.Module):
    """Logits of pairs. Each side has one table of embeddings; its first columns are GMF's, the rest the MLP's."""

    def __init__(self, n_users: int, n_items: int, params: NcfParams, variant: str) -> None:
        super().__init__()
        self.gmf_factors = params.factors if variant in ("gmf", "neumf") else 0
        self.mlp_factors = params.factors if variant in ("mlp", "neumf") else 0
        self.dropout = params.dropout
        width = self.gmf_factors + self.mlp_factors
        self.users, self.items = nn.Embedding(n_users, width), nn.Embedding(n_items, width)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.01)
        last = 0
        if self.mlp_factors:
            first, last = params.layers[0], params.layers[-1]
            self.first_user = nn.Linear(params.factors, first)
            self.first_item = nn.Linear(params.factors, first, bias=False)
            self.hidden = nn.ModuleList(
                nn.Linear(a, b) for a, b in zip(params.layers[:-1], params.layers[1:], strict=True)
            )
            for layer in (self.first_user, self.first_item, *self.hidden):
                nn.init.xavier_uniform_(layer.weight)
        self.output = nn.Linear(self.gmf_factors + last, 1)
        nn.init.kaiming_uniform_(self.output.weight, a=1)

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n, m] of users [n] and each one's items [n, m], and the mean squared norm of the embeddings met."""
        u, i = self.users(users)[:, None], self.items(items)
        parts = []
        if self.gmf_factors:
            parts.append(u[..., : self.gmf_factors] * i[..., : self.gmf_factors])
        if self.mlp_factors:
            hidden = F.relu_(self.first_user(u[..., self.gmf_factors :]) + self.first_item(i[..., self.gmf_factors :]))
            hidden = F.dropout(hidden, self.dropout, self.training)
            for layer in self.hidden:
                hidden = F.dropout(F.relu_(layer(hidden)), self.dropout, self.training)
            parts.append(hidden)
        logits = self.output(torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]).squeeze(-1)
        return logits, u.square().sum(-1).mean() + i.square().sum(-1).mean()

    def export(self) -> dict[str, NDArray]:
        """The weights as `Ncf.score` reads them: float32, layers as [inputs, outputs]."""
        weights = {name: value.detach().float().cpu().numpy() for name, value in self.state_dict().items()}
        split, out = self.gmf_factors, {}
        if self.gmf_factors:
            out["gmf_users"], out["gmf_items"] = weights["users.weight"][:, :split], weights["items.weight"][:, :split]
            out["output_gmf"] = weights["output.weight"][0, :split]
        if self.mlp_factors:
            out["mlp_users"], out["mlp_items"] = weights["users.weight"][:, split:], weights["items.weight"][:, split:]
            out["first_user"], out["first_bias"] = weights["first_user.weight"].T, weights["first_user.bias"]
            out["first_item"] = weights["first_item.weight"].T
            for depth in range(len(self.hidden)):
                out[f"layer_{depth + 1}"] = weights[f"hidden.{depth}.weight"].T
                out[f"bias_{depth + 1}"] = weights[f"hidden.{depth}.bias"]
            out["output_mlp"] = weights["output.weight"][0, split:]
        out["output_bias"] = weights["output.bias"]
        return {name: np.ascontiguousarray(value) for name, value in out.items()}

    def begin_from(self, gmf: Network, mlp: Network) -> None:
        """Start NeuMF from trained GMF and MLP networks; each has half a say (paper, section 3.4.1)."""
        with torch.no_grad():
            for mine, g, m in ((self.users, gmf.users, mlp.users), (self.items, gmf.items, mlp.items)):
                mine.weight.copy_(torch.cat([g.weight, m.weight], dim=1))
            for mine, theirs in zip(
                (self.first_user, self.first_item, *self.hidden),
                (mlp.first_user, mlp.first_item, *mlp.hidden),
                strict=True,
            ):
                mine.load_state_dict(theirs.state_dict())
            self.output.weight.copy_(0.5 * torch.cat([gmf.output.weight, mlp.output.weight], dim=1))
            self.output.bias.copy_(0.5 * (gmf.output.bias + mlp.output.bias))


class Negatives:
    """Samples unseen items: uniform over the catalogue, positives of the user left out (redrawn a few times; a user who
    likes almost everything keeps what he drew last)."""

    REDRAWS = 20

    def __init__(self, positives: Interactions, device: torch.device) -> None:
        self.n_items = positives.n_items
        self.device = device
        user, item = torch.from_numpy(positives.user_index.copy()), torch.from_numpy(positives.item_index.copy())
        key = user.long() * self.n_items + item
        self.keys = self.bitmap = None
        if positives.n_users * self.n_items <= BITMAP_CELLS:
            self.bitmap = torch.zeros(positives.n_users * self.n_items, dtype=torch.bool)
            self.bitmap[key] = True
            self.bitmap = self.bitmap.to(device)
        else:
            self.keys = key.sort().values.to(device)

    def sample(self, users: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """int64[len(users), n] items that each user does not have."""
        base_key = users.long().repeat_interleave(n) * self.n_items
        items = torch.randint(self.n_items, base_key.shape, generator=generator, device=self.device)
        wrong = torch.arange(len(items), device=self.device)
        for _ in range(self.REDRAWS):
            wrong = wrong[self._positive(base_key[wrong] + items[wrong])]
            if not len(wrong):
                break
            items[wrong] = torch.randint(self.n_items, wrong.shape, generator=generator, device=self.device)
        return items.view(len(users), n)

    def _positive(self, keys: Tensor) -> Tensor:
        if self.bitmap is not None:
            return self.bitmap[keys]
        at = torch.searchsorted(self.keys, keys).clamp_(max=len(self.keys) - 1)
        return self.keys[at] == keys


class Lesson:
    """One network in training: its positives, its optimiser, its epoch and its validation."""

    def __init__(
        self, network: Network, params: NcfParams, train: Interactions, fitting: base.Fitting, device: torch.device
    ) -> None:
        self.network = network.to(device)
        self.params, self.seed, self.device = params, fitting.seed, device
        liked = train.select(train.weight > 0)
        self.users = torch.from_numpy(liked.user_index.copy()).to(device)
        self.items = torch.from_numpy(liked.item_index.copy()).to(device)
        confidence = liked.weight / liked.weight.mean()
        self.confidence = None if np.all(confidence == 1) else torch.from_numpy(confidence).to(device)
        self.negatives = Negatives(liked, device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=params.learning_rate, fused=True)
        self._set_exam(train, fitting.validation)

    def _set_exam(self, train: Interactions, validation: Interactions | None) -> None:
        self.exam: tuple[Tensor, Tensor] | None = None
        if validation is None or not (validation.weight > 0).any():
            return
        asked = validation.select(validation.weight > 0)
        rows = np.arange(len(asked))
        if len(rows) > VALIDATION_ROWS:
            rows = np.sort(np.random.default_rng(self.seed).choice(rows, VALIDATION_ROWS, replace=False))
        users = torch.from_numpy(asked.user_index[rows])
        both = Negatives(train.union(validation), torch.device("cpu"))
        others = both.sample(users, VALIDATION_NEGATIVES, generator_of(torch.device("cpu"), self.seed, VALIDATION))
        items = torch.cat([torch.from_numpy(asked.item_index[rows]).long()[:, None], others], dim=1)
        self.exam = users.to(self.device), items.to(self.device)

    def run_epoch(self, epoch: int) -> float:
        """Shuffle the positives, sample negatives for them, and train on all in batches. Returns the mean loss."""
        self.network.train()
        n, m = len(self.users), 1 + self.params.n_negatives
        order = torch.randperm(n, generator=generator_of(self.device, self.seed, epoch, SHUFFLE), device=self.device)
        users = self.users[order]
        others = self.negatives.sample(users, m - 1, generator_of(self.device, self.seed, epoch, NEGATIVES))
        items = torch.cat([self.items[order].long()[:, None], others], dim=1).int()
        confidence = None if self.confidence is None else self.confidence[order]
        size = max(1, self.params.batch_size // m)
        total = torch.zeros((), device=self.device)
        with seeded(self.seed, epoch, DROPOUT):
            for start in range(0, n, size):
                rows = slice(start, start + size)
                total += self._step(users[rows], items[rows], None if confidence is None else confidence[rows])
        return float(total) / (n * m)

    def _step(self, users: Tensor, items: Tensor, confidence: Tensor | None) -> Tensor:
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.params.precision == "bf16"):
            logits, norm = self.network(users, items)
        logits = logits.float()
        # log(1 + e^x) for every pair, less x for the positives in the first column: binary cross-entropy
        losses = F.softplus(logits)
        liked = losses[:, 0] - logits[:, 0]
        if confidence is not None:
            liked = liked * confidence
        loss = liked.sum() + losses[:, 1:].sum()
        (loss / logits.numel() + self.params.regularization * norm).backward()
        self.optimiser.step()
        return loss.detach()

    def validate(self) -> Mapping[str, float]:
        """NDCG@10 of each held-out item among items that its user never met."""
        assert self.exam is not None
        self.network.eval()
        gains = []
        with torch.inference_mode():
            for users, items in zip(*(part.split(256) for part in self.exam), strict=True):
                logits, _ = self.network(users, items)
                rank = (logits[:, 1:] >= logits[:, :1]).sum(dim=1)
                gains.append(torch.where(rank < 10, 1 / torch.log2(rank + 2.0), 0.0))
        return {METRIC: float(torch.cat(gains).mean())}


def learn(model: Ncf, rows: Interactions, fitting: base.Fitting) -> tuple[dict[str, NDArray], int]:
    """Train as `model.params` says; the weights for `Ncf.score` and the number of epochs behind them."""
    params: NcfParams = model.params
    if params.variant != "neumf" or not params.pretrain:
        network, epochs = _train_one(model, params.variant, rows, fitting)
        return network.export(), epochs
    alone = base.Fitting(fitting.seed, None, fitting.catalogue, base.silent, fitting.checkpoint)
    gmf, _ = _train_one(model, "gmf", rows, alone, epochs=params.pretrain)
    mlp, _ = _train_one(model, "mlp", rows, alone, epochs=params.pretrain)
    network, epochs = _train_one(model, "neumf", rows, fitting, begin=(gmf, mlp))
    return network.export(), epochs


def _train_one(
    model: Ncf,
    variant: str,
    rows: Interactions,
    fitting: base.Fitting,
    *,
    epochs: int | None = None,
    begin: tuple[Network, Network] | None = None,
) -> tuple[Network, int]:
    params: NcfParams = model.params
    device = device_of_choice()
    with seeded(fitting.seed, INITIAL):
        network = Network(rows.n_users, rows.n_items, params, variant)
    if begin is not None:
        network.begin_from(*begin)
    lesson = Lesson(network, params, rows, fitting, device)
    checkpoint = fitting.checkpoint and CheckpointFile.of(fitting.checkpoint, model, rows, fitting, variant)
    done = train(
        lesson.network,
        lesson.optimiser,
        lesson.run_epoch,
        lesson.validate if lesson.exam is not None else None,
        metric=METRIC,
        epochs=epochs or params.epochs,
        patience=params.patience,
        report=fitting.report,
        checkpoint=checkpoint,
        title=f"{model.name} ({variant})",
    )
    return network, done
