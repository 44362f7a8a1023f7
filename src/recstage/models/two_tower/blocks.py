"""Blocks of the user tower in PyTorch, chosen by `params.block`; `encoding` computes the same in NumPy.

Each takes `x` [n, t, factors], `later` (0 or -inf) and `distance` (int64), both [t, t], position by position, and
`ages` (int64[n, t, t] or None: `ages_of`, which HSTU reads), and returns [n, t, factors]; position i of the output
reads positions up to i only. `near` [heads, window] is added to the attention of each head by distance (Raffel et al.
2020, section 2.1).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from recstage.models.neural.training import dropout
from recstage.models.two_tower.encoding import AGES
from recstage.models.two_tower.params import TwoTowerParams


class _Attention(nn.Module):
    """What the blocks with a softmax share: two norms, causal self-attention, and the outer layers of what follows."""

    def __init__(self, params: TwoTowerParams) -> None:
        super().__init__()
        d = params.factors
        self.heads, self.dropout = params.heads, params.dropout
        self.near = nn.Parameter(torch.zeros(params.heads, params.window))
        self.norm_1, self.norm_2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def attend(self, h: Tensor, later: Tensor, distance: Tensor) -> Tensor:
        n, t, d = h.shape
        q, k, v = self.qkv(h).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        # written out: half the CPU time of scaled_dot_product_attention (docs/models-neural.md, "Speed")
        bias = (self.near[:, distance] + later).to(q.dtype)
        attention = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(d // self.heads) + bias, dim=-1)
        return dropout(self.out((attention @ v).transpose(1, 2).reshape(n, t, d)), self.dropout, self.training)


class SasrecBlock(_Attention):
    """Pre-norm: causal self-attention, then two layers with ReLU (Kang and McAuley 2018)."""

    def forward(self, x: Tensor, later: Tensor, distance: Tensor, ages: Tensor | None = None) -> Tensor:
        x = x + self.attend(self.norm_1(x), later, distance)
        hidden = self.down(nnf.relu(self.up(self.norm_2(x))))
        return x + dropout(hidden, self.dropout, self.training)


class LigrBlock(_Attention):
    """The same with gated residuals and SwiGLU layers: a sigmoid of the input scales what each half adds (eSASRec)."""

    def __init__(self, params: TwoTowerParams) -> None:
        super().__init__(params)
        d = params.factors
        self.gate_1, self.gate_2 = nn.Linear(d, d), nn.Linear(d, d)
        self.open = nn.Linear(d, 4 * d)

    def forward(self, x: Tensor, later: Tensor, distance: Tensor, ages: Tensor | None = None) -> Tensor:
        x = x + torch.sigmoid(self.gate_1(x)) * self.attend(self.norm_1(x), later, distance)
        h = self.norm_2(x)
        hidden = self.down(nnf.silu(self.open(h)) * self.up(h))
        return x + torch.sigmoid(self.gate_2(x)) * dropout(hidden, self.dropout, self.training)


class HstuBlock(nn.Module):
    """Attention by SiLU without a softmax, its output normed and gated, no further layers (Zhai et al. 2024, eq. 1-3).

    A position's attention is divided by the number of positions that it reads, so that padding changes nothing.
    """

    def __init__(self, params: TwoTowerParams, timed: bool) -> None:
        super().__init__()
        d = params.factors
        self.heads, self.dropout = params.heads, params.dropout
        self.near = nn.Parameter(torch.zeros(params.heads, params.window))
        self.ages = nn.Parameter(torch.zeros(AGES, params.heads)) if timed else None
        self.norm, self.norm_mixed = nn.LayerNorm(d), nn.LayerNorm(d)
        self.uvqk, self.out = nn.Linear(d, 4 * d), nn.Linear(d, d)

    def forward(self, x: Tensor, later: Tensor, distance: Tensor, ages: Tensor | None = None) -> Tensor:
        n, t, d = x.shape
        joint = nnf.silu(self.uvqk(self.norm(x))).view(n, t, 4, self.heads, d // self.heads)
        u, v, q, k = joint.permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-1, -2) / math.sqrt(d // self.heads) + self.near[:, distance].to(q.dtype)
        if self.ages is not None and ages is not None:
            logits = logits + nnf.embedding(ages, self.ages).permute(0, 3, 1, 2).to(q.dtype)
        earlier = (later == 0).float()
        attention = nnf.silu(logits) * (earlier / earlier.sum(dim=1, keepdim=True)).to(q.dtype)
        mixed = self.norm_mixed((attention @ v).transpose(1, 2).reshape(n, t, d))
        gated = mixed * u.transpose(1, 2).reshape(n, t, d)
        return x + dropout(self.out(gated), self.dropout, self.training)


def ages_of(times: Tensor) -> Tensor:
    """`encoding.ages_of` for every position of histories at `times` (int64[n, t]): int64[n, t, t]."""
    seconds = (times[:, :, None] - times[:, None]).clamp(min=0).double()
    return (torch.frexp(seconds + 1).exponent.long() - 1).clamp(max=AGES - 1)


def block_of(params: TwoTowerParams, timed: bool) -> nn.Module:
    """A block as `params.block` says; `timed`: with trained numbers for the time between two items."""
    if params.block == "hstu":
        return HstuBlock(params, timed)
    return LigrBlock(params) if params.block == "ligr" else SasrecBlock(params)
