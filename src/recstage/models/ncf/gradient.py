"""The gradient of NCF's pairs, written out.

The tensors of a batch are small, so that what autograd adds around each product (a graph, joining the gradients of
slices, fresh memory for each ReLU) costs as much as the products. Here a step overwrites what it no longer needs and
adds each gradient where it belongs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from recstage.models.ncf.ops import cross_entropy

if TYPE_CHECKING:
    from recstage.models.ncf.network import Network


@torch.inference_mode()
def pair_gradient(
    network: Network,
    users: Tensor,
    items: Tensor,
    weight: Tensor | None,
    *,
    of_users: float = 0.0,
    of_items: float = 0.0,
) -> Tensor:
    """Binary cross-entropy of users [n] with items [n, m], of which the first is the positive, summed with `weight`
    [n, m], None: all alike. Adds the gradients of its mean over the pairs, and of a penalty of `of_users` and
    `of_items` on the squares of the embeddings of every pair, to those of the network: with an MLP, without dropout.

    The MLP's products are made in `network.kind`, all else in float32.
    """
    (n, m), flat, gmf, kind = items.shape, items.flatten(), network.gmf_factors, network.kind
    first_user, first_item, output = network.first_user, network.first_item, network.output_mlp.weight
    linear = [cast(nn.Linear, layer) for layer in network.hidden]
    hidden = [(layer, layer.weight.to(kind), layer.bias.to(kind)) for layer in linear]
    low_user, low_item = first_user.weight.to(kind), first_item.weight.to(kind)

    u, i = network.users.weight.index_select(0, users), network.items.weight.index_select(0, flat)
    mlp_u, mlp_i, wide_i = u[:, gmf:].to(kind), i[:, gmf:].to(kind), i.view(n, m, -1)
    lowest = torch.mm(mlp_i, low_item.T)
    lowest.view(n, m, -1).add_(torch.addmm(first_user.bias.to(kind), mlp_u, low_user.T)[:, None])
    layers = [lowest.relu_()]
    for _, layer_weight, bias in hidden:
        layers.append(torch.addmm(bias, layers[-1], layer_weight.T).relu_())
    top = layers[-1].float()
    logits = torch.mv(top, output[0]).view(n, m)
    logits += network.item_bias.index_select(0, flat).view(n, m)
    logits += network.bias
    if gmf:
        logits += (u[:, None, :gmf] * wide_i[..., :gmf]).sum(-1)
    loss = cross_entropy(logits, weight)

    slope = logits.sigmoid_()
    slope[:, 0] -= 1
    if weight is not None:
        slope *= weight
    slope /= n * m
    of_logits = slope.view(-1)
    _add(output, torch.mv(top.T, of_logits)[None])
    g = (of_logits[:, None] * output).to(kind)
    for level in range(len(hidden), 0, -1):
        layer, layer_weight, _ = hidden[level - 1]
        g = torch.ops.aten.threshold_backward(g, layers[level], 0)
        _add(layer.weight, torch.mm(g.T, layers[level - 1]))
        _add(layer.bias, g.sum(0))
        g = torch.mm(g, layer_weight)
    g = torch.ops.aten.threshold_backward(g, layers[0], 0)
    sums = g.view(n, m, -1).sum(1, dtype=torch.float32)
    g_user = sums.to(kind)
    _add(first_user.weight, torch.mm(g_user.T, mlp_u))
    _add(first_user.bias, sums.sum(0))
    _add(first_item.weight, torch.mm(g.T, mlp_i))

    of_u, of_i = torch.empty_like(u), torch.empty_like(i)
    of_u[:, gmf:] = torch.mm(g_user, low_user)
    of_i[:, gmf:] = torch.mm(g, low_item)
    if gmf:
        of_u[:, :gmf] = (slope[..., None] * wide_i[..., :gmf]).sum(1)
        torch.mul(slope[..., None], u[:, None, :gmf], out=of_i.view(n, m, -1)[..., :gmf])
    if of_users:
        of_u.add_(u, alpha=2 * of_users / n)
    if of_items:
        of_i.add_(i, alpha=2 * of_items / (n * m))
    _gradient(network.users.weight).index_add_(0, users, of_u)
    _gradient(network.items.weight).index_add_(0, flat, of_i)
    _gradient(network.item_bias).index_add_(0, flat, of_logits)
    _add(network.bias, of_logits.sum())
    return loss


def _add(parameter: Tensor, gradient: Tensor) -> None:
    _gradient(parameter).add_(gradient)


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        raise ValueError("give the network's parameters gradients first: in_one_piece does")
    return parameter.grad
