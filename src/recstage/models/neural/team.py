"""Data-parallel training: what the members of a team share out, and how they agree.

Each member holds the whole network and computes the gradient of its part of every step. The mean of all, each weighted
by the rows that it comes from, is the gradient of the whole step: a team trains as one process does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from recstage import cluster

Rows = TypeVar("Rows", Tensor, NDArray[np.int64])
PATIENCE = timedelta(minutes=10)
"""How long a member waits for the others: Ray tells of one that is lost long before."""


class Team:
    """A team of one, which is what trains in this process."""

    rank = 0
    size = 1

    @property
    def stream(self) -> tuple[int, ...]:
        """What the random numbers of this member are seeded by beside the seed and the epoch."""
        return ()

    def part(self, *rows: Rows) -> tuple[Rows, ...]:
        """This member's rows of each array, which may be none."""
        return rows

    def average(self, parameters: Iterable[nn.Parameter], rows: float) -> None:
        """Replace gradients by the mean over the team, each weighted by the `rows` that it was computed from."""

    def mean(self, values: Mapping[str, float], rows: float) -> dict[str, float]:
        """The means of values over all rows of the team, given those of this member's `rows`."""
        return dict(values)

    def give_weights(self, network: nn.Module) -> None:
        """All members go on with the weights of the first one."""

    def keep(self, file: Path) -> None:
        """A file is to outlive this process, wherever that runs."""


ALONE = Team()


class OnlyMember(Team):
    """A team of one on another node, whose files are to outlive its process."""

    def __init__(self, keep: Callable[[Path], None]) -> None:
        self._keep = keep

    def keep(self, file: Path) -> None:
        self._keep(file)


class Gathered(OnlyMember):
    """A member of a team whose process group is open.

    Methods raise `cluster.MemberLost` where another member is gone.
    """

    def __init__(self, device: torch.device, keep: Callable[[Path], None]) -> None:
        super().__init__(keep)
        self.rank, self.size, self._device = dist.get_rank(), dist.get_world_size(), device

    @property
    def stream(self) -> tuple[int, ...]:
        return (self.rank, self.size)

    def part(self, *rows: Rows) -> tuple[Rows, ...]:
        return tuple(one[self.rank :: self.size] for one in rows)

    def average(self, parameters: Iterable[nn.Parameter], rows: float) -> None:
        own = list(parameters)
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in own]
        whole = torch.cat([*(one.flatten() for one in gradients), torch.ones(1, device=self._device)]).mul_(rows)
        with _told():
            dist.all_reduce(whole)
        whole /= whole[-1].clone()
        for one, mean in zip(own, whole[:-1].split([one.numel() for one in own]), strict=True):
            if one.grad is None:
                one.grad = mean.view_as(one).clone()
            else:
                one.grad.copy_(mean.view_as(one))

    def mean(self, values: Mapping[str, float], rows: float) -> dict[str, float]:
        own = [*(value * rows if rows else 0.0 for value in values.values()), rows]
        whole = torch.tensor(own, dtype=torch.float64, device=self._device)
        with _told():
            dist.all_reduce(whole)
        return dict(zip(values, (whole[:-1] / whole[-1]).tolist(), strict=True))

    @torch.no_grad()
    def give_weights(self, network: nn.Module) -> None:
        for value in network.state_dict().values():
            with _told():
                dist.broadcast(value, 0)


@contextmanager
def gathered(member: cluster.Member) -> Iterator[Team]:
    """The team of the processes that `cluster.together` has started: over NCCL where each has a GPU, else Gloo."""
    if member.size == 1:
        yield OnlyMember(member.keep)
        return
    device = torch.device("cuda" if member.gpu else "cpu")
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):  # else that of the host's name, often the loopback
        os.environ.setdefault(variable, _interface_of(member.host))
    with _told():
        if member.rank == 0:
            store = dist.TCPStore(member.host, 0, is_master=True, wait_for_workers=False)
            member.announce(f"{member.host}:{store.port}")
        else:
            host, _, port = member.announced().rpartition(":")
            store = dist.TCPStore(host, int(port), is_master=False, timeout=PATIENCE)
        backend = "nccl" if member.gpu else "gloo"
        dist.init_process_group(backend, store=store, rank=member.rank, world_size=member.size, timeout=PATIENCE)
    try:
        yield Gathered(device, member.keep)
    finally:
        with suppress(RuntimeError):
            dist.destroy_process_group()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # of a connection that was closed or never opened
        raise cluster.MemberLost from error


def _interface_of(host: str) -> str:
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address == host for one in addresses):
            return name
    return ""
