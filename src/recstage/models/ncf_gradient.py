"""The gradient of NCF's pairs, written out.

The tensors of a batch are small, so that what autograd adds around each product (joining the gradients of slices,
fresh memory for each ReLU) costs as much as the products. Here the forward pass overwrites what it no longer needs and
the backward pass writes each gradient where it belongs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor
from torch.autograd.function import once_differentiable


def rows(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table [n, ...] by int64 index of any shape: [*index, ...]."""
    if table.device.type == "cpu":
        return _Rows.apply(table, index)
    return nnf.embedding(index, table) if table.ndim == 2 else table[index]


class _Rows(torch.autograd.Function):
    """On a CPU `index_add_` sums the gradients of each row in a quarter of the time that the gradient of
    `torch.nn.functional.embedding` takes. (On CUDA its order, and so its result, would vary.) A table that has a
    gradient already has them added there."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.table = table
        return table.index_select(0, index.flatten()).view(*index.shape, *table.shape[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        (index,) = ctx.saved_tensors
        table = ctx.table
        kept = table.grad if table.is_leaf else None
        total = torch.zeros_like(table) if kept is None else kept
        total.index_add_(0, index.flatten(), gradient.reshape(-1, *table.shape[1:]))
        return total if kept is None else None, None


class PairLogits(torch.autograd.Function):
    """What GMF (the first `gmf` columns) and the MLP (the other columns) say of users [n, width] and the items of each
    [n, m, width]: [n, m]. `weights` are the MLP's: first_user, its bias, first_item, output_mlp, then weight and bias
    of each hidden layer. The products of the MLP are made in `kind`, all else in float32."""

    @staticmethod
    def forward(ctx: Any, gmf: int, kind: torch.dtype, users: Tensor, items: Tensor, *weights: Tensor) -> Tensor:
        n, m, _ = items.shape
        output, inputs = weights[3], [of[..., gmf:].to(kind) for of in (users, items)]
        first_user, first_bias, first_item, _, *hidden = (weight.to(kind) for weight in weights)
        of_users, of_items = inputs
        lowest = torch.mm(of_items.view(n * m, -1), first_item.T)
        lowest.view(n, m, -1).add_(torch.addmm(first_bias, of_users, first_user.T)[:, None])
        layers = [lowest.relu_()]
        for weight, bias in zip(hidden[::2], hidden[1::2], strict=True):
            layers.append(torch.addmm(bias, layers[-1], weight.T).relu_())
        logits = torch.mm(layers[-1].float(), output.T).view(n, m)
        if gmf:
            logits += (users[:, None, :gmf] * items[..., :gmf]).sum(-1)
        ctx.gmf, ctx.depth = gmf, len(layers)
        ctx.save_for_backward(users, items, of_users, of_items, *layers, first_user, first_item, output, *hidden)
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        users, items, mlp_users, mlp_items, *kept = ctx.saved_tensors
        gmf, (layers, weights) = ctx.gmf, (kept[: ctx.depth], kept[ctx.depth :])
        first_user, first_item, output, *hidden = weights
        n, m, _ = items.shape
        flat = slope.reshape(-1, 1)
        of_weights = [torch.mm(flat.T, layers[-1].float())]
        g = (flat * output).to(first_item.dtype)
        for depth in range(ctx.depth - 1, 0, -1):
            g = torch.ops.aten.threshold_backward(g, layers[depth], 0)
            of_weights[1:1] = [torch.mm(g.T, layers[depth - 1]).float(), g.sum(0).float()]
            g = torch.mm(g, hidden[2 * depth - 2])
        g = torch.ops.aten.threshold_backward(g, layers[0], 0)
        of_sums = g.view(n, m, -1).sum(1, dtype=torch.float32)
        of_first = of_sums.to(g.dtype)
        of_users, of_items = torch.empty_like(users), torch.empty_like(items)
        of_users[:, gmf:] = torch.mm(of_first, first_user)
        of_items.view(n * m, -1)[:, gmf:] = torch.mm(g, first_item)
        if gmf:
            of_users[:, :gmf] = (slope[..., None] * items[..., :gmf]).sum(1)
            torch.mul(slope[..., None], users[:, None, :gmf], out=of_items[..., :gmf])
        of_first_user = torch.mm(of_first.T, mlp_users).float()
        of_first_item = torch.mm(g.T, mlp_items.view(n * m, -1)).float()
        return None, None, of_users, of_items, of_first_user, of_sums.sum(0), of_first_item, *of_weights
