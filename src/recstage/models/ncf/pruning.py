"""Magnitude pruning: the smallest weights of each matrix become zero, and stay so while the others are trained on.

Han et al., "Learning both Weights and Connections for Efficient Neural Networks" (2015): train, prune, fine-tune.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recstage.models.ncf.network import Network


@dataclass(frozen=True)
class Pruned:
    """Which weights of a network are left: the mask of each matrix, by its name."""

    kept: dict[str, Tensor]

    @classmethod
    def of(cls, network: Network, share: float) -> Pruned:
        """All but the `share` of the smallest weights of each matrix, embeddings included; vectors are left alone.
        Embeddings of the two parts of NeuMF are of different sizes, and pruned each by themselves."""
        kept = {}
        for name, weight in network.named_parameters():
            if weight.ndim < 2:
                continue
            width = network.gmf_factors if name in ("users.weight", "items.weight") else 0
            parts = [part for part in weight.detach().abs().tensor_split([width], dim=1) if part.numel()]
            kept[name] = torch.cat([part > _least_kept(part, share) for part in parts], dim=1)
        return cls(kept)

    @torch.no_grad()
    def apply(self, network: Network) -> None:
        """Set what is not kept to zero."""
        for name, weight in network.named_parameters():
            if name in self.kept:
                weight.mul_(self.kept[name])


def _least_kept(sizes: Tensor, share: float) -> Tensor:
    """The greatest of the smallest `share` of sizes: what is above it is kept."""
    flat = sizes.flatten()
    return flat.kthvalue(max(1, round(share * len(flat)))).values
