"""Distillation: a network learns from the scores of a larger one as well as from the rows.

Hinton et al., "Distilling the Knowledge in a Neural Network" (2015): the softmax of the teacher's logits over the
catalogue, at a temperature above 1, tells which of the items that a user has not chosen are near those that they have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recstage.models.ncf.network import Network
from recstage.models.ncf.pairs import Pairs, by_autograd
from recstage.models.neural.team import Team

if TYPE_CHECKING:
    from recstage.models.ncf.params import NcfParams

SCORES_A_STEP = 1 << 20
"""Most scores of the teacher that a step reads."""


class Teacher(Protocol):
    """What is asked of a fitted `Ncf`."""

    @property
    def n_items(self) -> int: ...

    def logits(self, users: NDArray[np.int64], items: NDArray[np.int32] | None) -> NDArray[np.float32]:
        """Logits of users [n] and items [m]: float32[n, m]."""

    def state(self) -> dict[str, NDArray]:
        """All that it scores by."""


class DistilledPairs:
    """The pairs of `inner`, with the cross-entropy of the teacher's softmax mixed into the loss of each step.

    Of more than `distilled_items` items so many are drawn for a step, and the softmax is over these.
    """

    def __init__(self, inner: Pairs, teacher: Teacher, params: NcfParams, device: torch.device) -> None:
        self.inner, self.teacher, self.device = inner, teacher, device
        self.share, self.temperature = params.distillation_weight, params.temperature
        self.items = min(teacher.n_items, params.distilled_items)

    def batches(self, epoch: int) -> Sequence[tuple[Tensor, ...]]:
        return self.inner.batches(epoch)

    def part(self, batch: tuple[Tensor, ...], team: Team) -> tuple[Tensor, ...]:
        return self.inner.part(batch, team)

    def loss(self, network: Network, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor | float, float]:
        loss, penalty, number = self.inner.loss(network, batch)
        users = batch[0].cpu().unique()
        users = users[torch.randperm(len(users))[: max(1, SCORES_A_STEP // self.items)]]
        whole = self.items == self.teacher.n_items
        items = torch.arange(self.items) if whole else torch.randperm(self.teacher.n_items)[: self.items]
        theirs = torch.from_numpy(self.teacher.logits(users.numpy(), items.numpy().astype(np.int32)))
        told = torch.softmax(theirs.to(self.device) / self.temperature, dim=1)
        ours = network(users.to(self.device), items[None].to(self.device))[0].float() / self.temperature
        # gradients of a softmax at a temperature are as much smaller as its square
        distilled = -(told * torch.log_softmax(ours, dim=1)).sum(dim=1).mean() * self.temperature**2
        return (1 - self.share) * loss + self.share * number * distilled, penalty, number

    def add_gradients(self, network: Network, batch: tuple[Tensor, ...]) -> tuple[Tensor, float]:
        return by_autograd(self, network, batch)


def digest_of(teacher: Teacher) -> str:
    """Eight hexadecimal digits of what a teacher scores by."""
    digest = hashlib.sha256()
    for name, values in sorted(teacher.state().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:8]
