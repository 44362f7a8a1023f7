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
    """Rows of a table [n, width] by int64 index of any shape: [*index, width]."""
    if table.device.type == "cpu":
        return _Rows.apply(table, index)
    return nnf.embedding(index, table)


class _Rows(torch.autograd.Function):
    """On a CPU `index_add_` sums the gradients of each row in a quarter of the time that the gradient of
    `torch.nn.functional.embedding` takes. (On CUDA its order, and so its result, would vary.)"""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape = table.shape
        return table.index_select(0, index.flatten()).view(*index.shape, table.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        table = gradient.new_zeros(ctx.shape)
        return table.index_add_(0, index.flatten(), gradient.reshape(-1, ctx.shape[1])), None


class PairLogits(torch.autograd.Function):
    """What GMF (the first `gmf` columns) and the MLP (the other columns) say of users [n, width] and the items of each
    [n, m, width]: [n, m]. `weights` are the MLP's: first_user, its bias, first_item, output_mlp, then weight and bias
    of each hidden layer."""

    @staticmethod
    def forward(ctx: Any, gmf: int, users: Tensor, items: Tensor, *weights: Tensor) -> Tensor:
        first_user, first_bias, first_item, output, *hidden = weights
        n, m, _ = items.shape
        lowest = torch.mm(items.view(n * m, -1)[:, gmf:], first_item.T)
        lowest.view(n, m, -1).add_(torch.addmm(first_bias, users[:, gmf:], first_user.T)[:, None])
        layers = [lowest.relu_()]
        for weight, bias in zip(hidden[::2], hidden[1::2], strict=True):
            layers.append(torch.addmm(bias, layers[-1], weight.T).relu_())
        logits = torch.mm(layers[-1], output.T).view(n, m)
        if gmf:
            logits += (users[:, None, :gmf] * items[..., :gmf]).sum(-1)
        ctx.gmf, ctx.depth = gmf, len(layers)
        ctx.save_for_backward(users, items, *layers, *weights)
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        users, items, *kept = ctx.saved_tensors
        gmf, (layers, weights) = ctx.gmf, (kept[: ctx.depth], kept[ctx.depth :])
        first_user, _, first_item, output, *hidden = weights
        n, m, _ = items.shape
        flat = slope.reshape(-1, 1)
        of_weights = [torch.mm(flat.T, layers[-1])]
        g = flat * output
        for depth in range(ctx.depth - 1, 0, -1):
            g = torch.ops.aten.threshold_backward(g, layers[depth], 0)
            of_weights[1:1] = [torch.mm(g.T, layers[depth - 1]), g.sum(0)]
            g = torch.mm(g, hidden[2 * depth - 2])
        g = torch.ops.aten.threshold_backward(g, layers[0], 0)
        of_first = g.view(n, m, -1).sum(1)
        of_users, of_items = torch.empty_like(users), torch.empty_like(items)
        of_users[:, gmf:] = torch.mm(of_first, first_user)
        of_items.view(n * m, -1)[:, gmf:] = torch.mm(g, first_item)
        if gmf:
            of_users[:, :gmf] = torch.bmm(slope[:, None], items[..., :gmf])[:, 0]
            torch.mul(slope[..., None], users[:, None, :gmf], out=of_items[..., :gmf])
        of_first_user = torch.mm(of_first.T, users[:, gmf:])
        of_first_item = torch.mm(g.T, items.view(n * m, -1)[:, gmf:])
        return None, of_users, of_items, of_first_user, of_first.sum(0), of_first_item, *of_weights
