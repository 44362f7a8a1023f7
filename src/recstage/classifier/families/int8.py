"""An encoder's weights in eight bits: a quarter of the bytes on disk, and products of integers, which take less time.

Symmetric: each row of weights (a unit of a layer, a token of an embedding) has a scale, and each token's activations
have one of their own while a text is computed (dynamic quantisation, a row at a time as in Dettmers et al. 2022), so
that a text's result does not depend on the others of its batch. The layer for the classes stays float32.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

SCALE = ".scale"
HEAD = "head."


class Int8Linear(nn.Module):
    """A linear layer of int8 weights int8[out, in], their scales float32[out] and a bias: float32[..., in] ->
    float32[..., out]."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self._columns, self._scale, self._bias = weight.t(), scale, bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, self.in_features)
        scale = rows.abs().amax(dim=1, keepdim=True).clamp_(min=1e-12).div_(127)
        products = torch._int_mm((rows / scale).round_().to(torch.int8), self._columns)
        found = products.float().mul_(scale).mul_(self._scale).add_(self._bias)
        return found.view(*x.shape[:-1], self.out_features)


def quantised(weights: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Each matrix of the encoder as int8, and its scales (NAME.scale) float32[rows]; the rest as it is."""
    found: dict[str, NDArray] = {}
    for name, weight in weights.items():
        if weight.ndim != 2 or name.startswith(HEAD):
            found[name] = weight
            continue
        scale = (np.maximum(np.abs(weight).max(axis=1), 1e-12) / 127).astype(np.float32)
        found[name] = np.round(weight / scale[:, None]).clip(-127, 127).astype(np.int8)
        found[name + SCALE] = scale
    return found


def restored(stored: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """float32 weights again, up to the rounding."""
    return {
        name: values.astype(np.float32) * stored[name + SCALE][:, None] if values.dtype == np.int8 else values
        for name, values in stored.items()
        if not name.endswith(SCALE)
    }


def with_int8_layers(network: nn.Module, stored: Mapping[str, NDArray]) -> None:
    """Replace the linear layers of a network by those of `stored`, in place."""
    for name, layer in list(network.named_modules()):
        weight = stored.get(f"{name}.weight")
        if not isinstance(layer, nn.Linear) or weight is None or weight.dtype != np.int8:
            continue
        above, _, last = name.rpartition(".")
        scale = torch.from_numpy(stored[f"{name}.weight{SCALE}"].copy())
        bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach()
        setattr(network.get_submodule(above), last, Int8Linear(torch.from_numpy(weight.copy()), scale, bias))
