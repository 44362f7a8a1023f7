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

    GMF's output weights (h in the paper) are part of the users' embeddings: the same functions can be learnt, and
    regularisation cannot be dodged by small embeddings under large weights. `kind` is what matrix products are made in.
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
        """Logits [n, m] of users [n] and their items [n, m] (or [1, m]: the same for all), and the embeddings met:
        [n, width] and [n, m, width] (or [1, m, width])."""
        u, i = rows(self.users.weight, users), rows(self.items.weight, items)
        logits = rows(self.item_bias, items) + self.bias
        with torch.autocast(u.device.type, torch.bfloat16, enabled=self.kind == torch.bfloat16):
            split = (self.gmf_factors, self.mlp_factors)
            (gmf_u, mlp_u), (gmf_i, mlp_i) = u.split(split, dim=-1), i.split(split, dim=-1)
            if self.gmf_factors:
                logits = logits + _dot(gmf_u, gmf_i)
            if self.mlp_factors:
                hidden = self.first_user(mlp_u)[:, None] + self.first_item(mlp_i)
                hidden = dropout(nnf.relu_(hidden), self.dropout, self.training)
                for layer in self.hidden:
                    hidden = dropout(nnf.relu_(layer(hidden)), self.dropout, self.training)
                logits = logits + self.output_mlp(hidden).squeeze(-1)
        return logits, u, i

    def cross_entropy(
        self, users: Tensor, items: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Binary cross-entropy of users [n] with items [n, m], of which the first is the positive, summed with `weight`
        [n, m]; and the embeddings met."""
        logits, u, i = self(users, items)
        return cross_entropy(logits.float(), weight), u, i

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

    def begin_from(self, gmf: Network, mlp: Network) -> None:
        """Start NeuMF from trained GMF and MLP networks; each has half a say (paper, section 3.4.1)."""
        with torch.no_grad():
            for mine, g, m in ((self.users, gmf.users, mlp.users), (self.items, gmf.items, mlp.items)):
                mine.weight.copy_(torch.cat([g.weight, m.weight], dim=1))
            for ours, theirs in zip(
                (self.first_user, self.first_item, *self.hidden),
                (mlp.first_user, mlp.first_item, *mlp.hidden),
                strict=True,
            ):
                ours.load_state_dict(theirs.state_dict())
            self.users.weight[:, : self.gmf_factors] *= 0.5
            self.output_mlp.weight.copy_(0.5 * mlp.output_mlp.weight)
            self.item_bias.copy_(0.5 * (gmf.item_bias + mlp.item_bias))
            self.bias.copy_(0.5 * (gmf.bias + mlp.bias))


def _dot(taste: Tensor, items: Tensor) -> Tensor:
    """taste [n, d] with items [n, m, d], or with the same items [1, m, d] for all: [n, m]."""
    if len(items) == 1 and len(taste) > 1:
        return taste @ items[0].T
    return (taste[:, None] * items).sum(-1)
