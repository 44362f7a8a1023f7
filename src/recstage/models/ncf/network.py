"""NCF's network in PyTorch: GMF, the MLP, or both (He et al. 2017, figures 2 and 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as nnf
from numpy.typing import NDArray
from torch import Tensor, nn

from recstage.models.ncf.ops import cross_entropy, rows
from recstage.models.neural.training import dropout

if TYPE_CHECKING:
    from recstage.models.ncf.params import NcfParams


class Network(nn.Module):
    """Logits of pairs. Each side has one table of embeddings; its first columns are GMF's, the rest the MLP's.

    GMF's output weights (h in the paper) are part of the users' embeddings: the same functions can be represented, and
    small embeddings under large weights cannot escape regularisation. `kind` is the type of matrix products.
    """

    def __init__(self, n_users: int, n_items: int, params: NcfParams, kind: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.kind = kind
        self.gmf_factors = params.factors if params.variant in ("gmf", "neumf") else 0
        self.mlp_factors = params.factors if params.variant in ("mlp", "neumf") else 0
        self.dropout = params.dropout
        width = self.gmf_factors + self.mlp_factors
        self.users, self.items = nn.Embedding(n_users, width), nn.Embedding(n_items, width)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.05)
        self.item_bias = nn.Parameter(torch.zeros(n_items))
        self.bias = nn.Parameter(torch.zeros(()))
        if self.mlp_factors:
            self.first_user = nn.Linear(params.factors, params.layers[0])
            self.first_item = nn.Linear(params.factors, params.layers[0], bias=False)
            widths = zip(params.layers[:-1], params.layers[1:], strict=True)
            self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in widths)
            self.output_mlp = nn.Linear(params.layers[-1], 1, bias=False)

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [n, m] of users [n] and their items [n, m] (or [1, m]: the same for all), and the embeddings used.

        Those are [n, width] and [n, m, width] (or [1, m, width]). `ncf.gradient.pair_gradient` repeats this computation
        with its backward pass written out: change both; a test compares them.
        """
        user_emb, item_emb = rows(self.users.weight, users), rows(self.items.weight, items)
        logits = rows(self.item_bias, items) + self.bias
        with torch.autocast(user_emb.device.type, torch.bfloat16, enabled=self.kind == torch.bfloat16):
            split = (self.gmf_factors, self.mlp_factors)
            (gmf_user, mlp_user), (gmf_item, mlp_item) = user_emb.split(split, dim=-1), item_emb.split(split, dim=-1)
            if self.gmf_factors:
                logits = logits + _dot(gmf_user, gmf_item)
            if self.mlp_factors:
                hidden = self.first_user(mlp_user)[:, None] + self.first_item(mlp_item)
                hidden = dropout(nnf.relu_(hidden), self.dropout, self.training)
                for layer in self.hidden:
                    hidden = dropout(nnf.relu_(layer(hidden)), self.dropout, self.training)
                logits = logits + self.output_mlp(hidden).squeeze(-1)
        return logits, user_emb, item_emb

    def cross_entropy(
        self, users: Tensor, items: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Binary cross-entropy of users [n] with items [n, m], the first of which is the positive; and the embeddings.

        It is summed with `weight` [n, m] (None: 1 for all).
        """
        logits, user_emb, item_emb = self(users, items)
        return cross_entropy(logits.float(), weight), user_emb, item_emb

    def export(self) -> dict[str, NDArray[np.float32]]:
        """The weights as `Ncf.score` reads them: layers as [inputs, outputs]."""
        weights = {name: value.detach().float().cpu().numpy() for name, value in self.state_dict().items()}
        split = self.gmf_factors
        out = {"item_bias": weights["item_bias"], "output_bias": weights["bias"]}
        if self.gmf_factors:
            out["gmf_users"] = weights["users.weight"][:, :split]
            out["gmf_items"] = weights["items.weight"][:, :split]
        if self.mlp_factors:
            out["mlp_users"], out["mlp_items"] = weights["users.weight"][:, split:], weights["items.weight"][:, split:]
            out["first_user"], out["first_bias"] = weights["first_user.weight"].T, weights["first_user.bias"]
            out["first_item"] = weights["first_item.weight"].T
            for depth in range(len(self.hidden)):
                out[f"layer_{depth + 1}"] = weights[f"hidden.{depth}.weight"].T
                out[f"bias_{depth + 1}"] = weights[f"hidden.{depth}.bias"]
            out["output_mlp"] = weights["output_mlp.weight"][0]
        return {name: np.ascontiguousarray(value) for name, value in out.items()}

    def start_from(self, gmf: Network, mlp: Network) -> None:
        """Start NeuMF from trained GMF and MLP networks, each with weight 0.5 (paper, section 3.4.1)."""
        with torch.no_grad():
            for joint, of_gmf, of_mlp in ((self.users, gmf.users, mlp.users), (self.items, gmf.items, mlp.items)):
                joint.weight.copy_(torch.cat([of_gmf.weight, of_mlp.weight], dim=1))
            for layer, trained in zip(
                (self.first_user, self.first_item, *self.hidden),
                (mlp.first_user, mlp.first_item, *mlp.hidden),
                strict=True,
            ):
                layer.load_state_dict(trained.state_dict())
            self.users.weight[:, : self.gmf_factors] *= 0.5
            self.output_mlp.weight.copy_(0.5 * mlp.output_mlp.weight)
            self.item_bias.copy_(0.5 * (gmf.item_bias + mlp.item_bias))
            self.bias.copy_(0.5 * (gmf.bias + mlp.bias))


def _dot(users: Tensor, items: Tensor) -> Tensor:
    """Dot products of users [n, d] with items [n, m, d], or with the same items [1, m, d] for all: [n, m]."""
    if len(items) == 1 and len(users) > 1:
        return users @ items[0].T
    return (users[:, None] * items).sum(-1)
