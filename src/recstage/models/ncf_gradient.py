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


def cross_entropy(logits: Tensor, weight: Tensor | None) -> Tensor:
    """Binary cross-entropy of pairs [n, m], of which the first of each row is the positive, summed with `weight`
    [n, m], None: all alike."""
    target = torch.eye(1, logits.shape[1], device=logits.device).expand_as(logits)
    return nnf.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")


class _Rows(torch.autograd.Function):
    """On a CPU `index_add_` sums the gradients of each row in a quarter of the time that the gradient of
    `torch.nn.functional.embedding` takes. (On CUDA its order, and so its result, would vary.)"""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.table = table
        return table.index_select(0, index.flatten()).view(*index.shape, *table.shape[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        (index,) = ctx.saved_tensors
        return _summed(ctx.table, index.flatten(), gradient.reshape(-1, *ctx.table.shape[1:])), None


def _summed(table: Tensor, index: Tensor, gradients: Tensor) -> Tensor | None:
    """The gradient of a table from those of the rows met; None where the table has one, to which it has been added."""
    kept = table.grad if table.is_leaf else None
    total = torch.zeros_like(table) if kept is None else kept
    total.index_add_(0, index, gradients)
    return total if kept is None else None


class PairLoss(torch.autograd.Function):
    """Binary cross-entropy of users [n] with items [n, m], of which the first is the positive, summed; and the
    embeddings met, [n, width] and [n, m, width].

    The first `gmf` columns of the embeddings are GMF's, the others the MLP's, whose products are made in `kind`, all
    else in float32. `weight` [n, m] is what each pair counts, None: all alike. `mlp` are the MLP's weights: first_user,
    its bias, first_item, output_mlp, then weight and bias of each hidden layer.
    """

    @staticmethod
    def forward(
        ctx: Any,
        gmf: int,
        kind: torch.dtype,
        users: Tensor,
        items: Tensor,
        weight: Tensor | None,
        user_table: Tensor,
        item_table: Tensor,
        item_bias: Tensor,
        bias: Tensor,
        *mlp: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        (n, m), flat = items.shape, items.flatten()
        u, i = user_table.index_select(0, users), item_table.index_select(0, flat)
        mlp_u, mlp_i = u[:, gmf:].to(kind), i[:, gmf:].to(kind)
        output = mlp[3]
        first_user, first_bias, first_item, _, *hidden = (part.to(kind) for part in mlp)
        lowest = torch.mm(mlp_i, first_item.T)
        lowest.view(n, m, -1).add_(torch.addmm(first_bias, mlp_u, first_user.T)[:, None])
        layers = [lowest.relu_()]
        for layer, layer_bias in zip(hidden[::2], hidden[1::2], strict=True):
            layers.append(torch.addmm(layer_bias, layers[-1], layer.T).relu_())
        logits = torch.mm(layers[-1].float(), output.T).view(n, m)
        logits += item_bias.index_select(0, flat).view(n, m)
        logits += bias
        i = i.view(n, m, -1)
        if gmf:
            logits += (u[:, None, :gmf] * i[..., :gmf]).sum(-1)
        loss = cross_entropy(logits, weight)
        slope = logits.sigmoid_()
        slope[:, 0] -= 1
        ctx.gmf, ctx.depth, ctx.tables = gmf, len(layers), (user_table, item_table, item_bias)
        ctx.save_for_backward(
            users, flat, u, i, mlp_u, mlp_i, slope if weight is None else slope * weight, *layers, output, first_user,
            first_item, *hidden[::2],
        )  # fmt: skip
        ctx.set_materialize_grads(False)
        return loss, u, i

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_loss: Tensor, more_of_u: Tensor | None, more_of_i: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        users, flat, u, i, mlp_u, mlp_i, slope, *kept = ctx.saved_tensors
        gmf, depth = ctx.gmf, ctx.depth
        layers, (output, first_user, first_item, *hidden) = kept[:depth], kept[depth:]
        slope = slope * of_loss
        n, m, width = i.shape
        column = slope.view(-1, 1)
        of_mlp = [torch.mm(column.T, layers[-1].float())]
        g = (column * output).to(first_item.dtype)
        for level in range(depth - 1, 0, -1):
            g = torch.ops.aten.threshold_backward(g, layers[level], 0)
            of_mlp[1:1] = [torch.mm(g.T, layers[level - 1]).float(), g.sum(0).float()]
            g = torch.mm(g, hidden[level - 1])
        g = torch.ops.aten.threshold_backward(g, layers[0], 0)
        sums = g.view(n, m, -1).sum(1, dtype=torch.float32)
        g_user = sums.to(g.dtype)
        of_mlp[:0] = [torch.mm(g_user.T, mlp_u).float(), sums.sum(0), torch.mm(g.T, mlp_i).float()]
        of_u, of_i = torch.empty_like(u), torch.empty_like(i)
        of_u[:, gmf:] = torch.mm(g_user, first_user)
        of_i.view(n * m, width)[:, gmf:] = torch.mm(g, first_item)
        if gmf:
            of_u[:, :gmf] = (slope[..., None] * i[..., :gmf]).sum(1)
            torch.mul(slope[..., None], u[:, None, :gmf], out=of_i[..., :gmf])
        of_u = of_u if more_of_u is None else of_u.add_(more_of_u)
        of_i = of_i if more_of_i is None else of_i.add_(more_of_i)
        met = ((users, of_u), (flat, of_i.view(n * m, width)), (flat, slope.view(-1)))
        of_tables = (_summed(table, *pairs) for table, pairs in zip(ctx.tables, met, strict=True))
        return None, None, None, None, None, *of_tables, slope.sum(), *of_mlp
