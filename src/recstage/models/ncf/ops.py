"""Tensor operations of NCF, independent of its network: rows of a table, and the loss of pairs."""

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
    """Binary cross-entropy of pairs [n, m], the first of each row positive, summed with `weight` (None: 1 for all)."""
    target = torch.eye(1, logits.shape[1], device=logits.device).expand_as(logits)
    return nnf.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")


class _Rows(torch.autograd.Function):
    """Rows of a table, whose gradient is summed by `index_add_`; used on a CPU only.

    819 x 5 rows of 3,706 x 64 take 0.27 ms of one thread with their gradient, those of `torch.nn.functional.embedding`
    0.40 ms. On CUDA the order of the sums, and so their result, would vary.
    """

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
