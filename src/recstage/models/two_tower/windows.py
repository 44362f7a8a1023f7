"""What the two-tower is trained on: histories cut into windows, and the windows of each step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recstage.data.interactions import Interactions

LENGTHS_TOGETHER = 10  # windows whose lengths differ by less share a step: little padding is computed


class Windows:
    """All histories, cut into windows of consecutive items, with the items that follow them as targets."""

    def __init__(self, liked: Interactions, window: int) -> None:
        self.items = torch.from_numpy(liked.item_index.astype(np.int64))
        self.times = torch.from_numpy(liked.timestamp.astype(np.int64))
        weights = liked.weight / liked.weight.mean()
        self.weights = None if np.all(weights == 1) else torch.from_numpy(weights.astype(np.float32))
        self.first = torch.from_numpy(liked.indptr[:-1].copy())
        self.steps = torch.from_numpy(np.maximum(liked.lengths - 1, 0))
        self.window = window

    def cut(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Starts and lengths of windows that cover every step from an item to the next once.

        Histories longer than a window are cut at a random place, another in each epoch, so that contexts vary.
        """
        offset = torch.randint(1, self.window + 1, self.steps.shape, generator=generator)
        head = torch.where(self.steps <= self.window, self.steps, offset)
        counts = 1 + (self.steps - head + self.window - 1) // self.window
        user = torch.repeat_interleave(torch.arange(len(counts)), counts)
        nth = torch.arange(len(user)) - (counts.cumsum(0) - counts)[user]
        start = torch.where(nth == 0, 0, head[user] + (nth - 1) * self.window)
        length = torch.where(nth == 0, head[user], (self.steps[user] - start).clamp(max=self.window))
        kept = length > 0
        return (self.first[user] + start)[kept], length[kept]

    def batches(self, positions: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        """Starts and lengths of the windows of each step, up to `positions` items (padding included) a step."""
        start, length = self.cut(generator)
        order = torch.randperm(len(start), generator=generator)
        order = order[torch.argsort(length[order] // LENGTHS_TOGETHER, stable=True)]
        lengths = length[order].tolist()
        edges, longest = [0], 0
        for i, own in enumerate(lengths):
            longest = max(longest, own)
            if longest * (i + 1 - edges[-1]) > positions and i > edges[-1]:
                edges.append(i)
                longest = own
        parts = [order[a:b] for a, b in zip(edges, [*edges[1:], len(order)], strict=True)]
        return [(start[parts[i]], length[parts[i]]) for i in torch.randperm(len(parts), generator=generator).tolist()]

    def read(self, start: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Histories and times [n, t], where they are real (bool[n, t]); targets and weights of the real positions."""
        ahead = torch.arange(int(length.max()))
        real = ahead < length[:, None]
        place = (start[:, None] + ahead).clamp_(max=len(self.items) - 2)
        following = place[real] + 1
        weights = None if self.weights is None else self.weights[following]
        return self.items[place], self.times[place], real, self.items[following], weights
