"""Softmax cross-entropy over a whole catalogue, in chunks that fit in the processor's cache.

The logits of a step (thousands of positions times thousands of items) never exist at once: each chunk is computed,
turned into its gradient in place, multiplied and freed. Full, or against sampled items with the correction for
sampling.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

ROWS_AT_ONCE = 128


class SoftmaxLoss(torch.autograd.Function):
    """Mean cross-entropy, over rows, of the softmax of `hidden @ items.T` and the target item, smoothed over all items.

    Call `SoftmaxLoss.apply(hidden [n, d], items [m, d], targets [n], weights [n] or None, smoothing, dtype)`; matrix
    products are made in `dtype`, gradients are those of float32 sums.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        items: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        smoothing: float,
        dtype: torch.dtype,
    ) -> Tensor:
        low_hidden, low_items = hidden.detach().to(dtype), items.detach().to(dtype)
        hidden_grad = torch.empty_like(low_hidden)
        items_grad = torch.zeros_like(items)
        total = torch.zeros((), device=hidden.device)
        for start in range(0, len(hidden), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            target = targets[rows, None]
            # probabilities become the gradient in place: softmax minus the smoothed target, times the weight
            grad = torch.softmax(low_hidden[rows] @ low_items.T, dim=1)
            losses = -grad.gather(1, target).float().clamp_(min=1e-30).log_()
            grad.scatter_add_(1, target, torch.full_like(target, smoothing - 1, dtype=dtype))
            if smoothing:
                grad -= smoothing / len(items)
            if weights is not None:
                losses *= weights[rows, None]
                grad *= weights[rows, None].to(dtype)
            total += losses.sum()
            torch.mm(grad, low_items, out=hidden_grad[rows])
            items_grad += grad.T @ low_hidden[rows]
        ctx.save_for_backward(hidden_grad, items_grad)
        ctx.rows = len(hidden)
        return total / len(hidden)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None, None, None]:
        hidden_grad, items_grad = ctx.saved_tensors
        scale = grads[0] / ctx.rows
        return hidden_grad.float() * scale, items_grad * scale, None, None, None, None


class SampledSoftmaxLoss(torch.autograd.Function):
    """`SoftmaxLoss` against some `sampled` items (int64[m], uniform without replacement) and the target instead of the
    whole catalogue.

    Call `SampledSoftmaxLoss.apply(hidden, items, targets, weights, sampled, dtype)`. Each sampled item stands for
    n_items / m of them: log(n_items / m) is added to its logit (logQ correction; Bengio and Senécal 2008). A sampled
    item that is a row's own target does not count in that row.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        items: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        sampled: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        low_hidden, low_others = hidden.detach().to(dtype), items.detach()[sampled].to(dtype)
        own_items = items.detach()[targets].to(dtype)
        hidden_grad = torch.empty_like(low_hidden)
        others_grad = torch.zeros(low_others.shape, device=items.device)
        own_grad = torch.empty(len(hidden), device=items.device)
        total = torch.zeros((), device=hidden.device)
        place = torch.full((len(items),), -1, device=items.device)
        place[sampled] = torch.arange(len(sampled), device=items.device)
        correction = math.log(len(items) / len(sampled))
        for start in range(0, len(hidden), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            own = (low_hidden[rows] * own_items[rows]).sum(dim=1, keepdim=True).float() - correction
            logits = low_hidden[rows] @ low_others.T
            drawn = place[targets[rows]]
            hit = torch.nonzero(drawn >= 0)[:, 0]
            logits[hit, drawn[hit]] = -torch.inf
            highest = torch.maximum(logits.max(dim=1, keepdim=True).values.float(), own)
            grad = torch.exp_(logits.sub_(highest))  # becomes the gradient in place, as above
            own = torch.exp(own - highest)
            whole = grad.sum(dim=1, keepdim=True, dtype=torch.float32) + own
            share = (own / whole)[:, 0]
            weight = 1.0 if weights is None else weights[rows]
            total += (-share.clamp(min=1e-30).log() * weight).sum()
            grad *= (torch.as_tensor(weight, device=hidden.device)[..., None] / whole).to(dtype)
            own_grad[rows] = (share - 1) * weight
            torch.mm(grad, low_others, out=hidden_grad[rows])
            others_grad += grad.T @ low_hidden[rows]
        hidden_grad += own_grad[:, None].to(dtype) * own_items
        items_grad = torch.zeros_like(items).index_add_(0, sampled, others_grad.to(items.dtype))
        items_grad.index_add_(0, targets, own_grad[:, None] * hidden.detach().float())
        ctx.save_for_backward(hidden_grad, items_grad)
        ctx.rows = len(hidden)
        return total / len(hidden)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None, None, None, None]:
        return SoftmaxLoss.backward(ctx, *grads)
