"""What members of a team agree on: two processes over Gloo, without Ray."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from recstage.models.neural.team import ALONE, gathered


@dataclass
class InAFolder:
    """A member whose first one is found by a file."""

    folder: Path
    rank: int
    size: int = 2
    gpu: bool = False
    host: str = "127.0.0.1"

    def announce(self, address: str) -> None:
        (self.folder / "partial").write_text(address)
        (self.folder / "partial").rename(self.folder / "address")

    def announced(self) -> str:
        while not (self.folder / "address").exists():
            pass
        return (self.folder / "address").read_text()

    def keep(self, file: Path) -> None:
        (self.folder / f"kept-by-{self.rank}").write_text(file.name)


def member(rank: int, folder: Path) -> None:
    with gathered(InAFolder(folder, rank)) as team:
        (rows,) = team.part(torch.arange(5))
        network = nn.Linear(1, 1, bias=False)
        nn.init.constant_(network.weight, 7.0 + rank)
        team.give_weights(network)
        given = float(network.weight)
        if rank == 0:  # the second member has no gradient, of no rows
            network.weight.grad = torch.full((1, 1), 3.0)
        team.average(network.parameters(), 4 * (1 - rank))
        alone = float(network.weight.grad)
        network.weight.grad = torch.full((1, 1), 1.0 + rank)
        team.average(network.parameters(), 1 + 2 * rank)
        means = team.mean({"loss": [2.0, 6.0][rank]}, [3, 1][rank])
        found = [rows.tolist(), given, alone, float(network.weight.grad), means, team.stream]
        (folder / f"found-{rank}").write_text(repr(found))
        team.keep(Path("epoch.pt"))


@pytest.mark.integration
def test_members_share_out_rows_and_agree_on_weighted_means(tmp_path):
    torch.multiprocessing.spawn(member, (tmp_path,), nprocs=2)
    found = [eval((tmp_path / f"found-{rank}").read_text()) for rank in (0, 1)]
    same = [7.0, 3.0, 1.75, {"loss": 3.0}]
    assert found == [[[0, 2, 4], *same, (0, 2)], [[1, 3], *same, (1, 2)]]
    assert (tmp_path / "kept-by-0").read_text() == "epoch.pt"


def test_alone_everything_stays_as_it_is():
    rows, weights = torch.arange(3), nn.Linear(1, 1)
    weights.weight.grad = torch.ones(1, 1)
    ALONE.average(weights.parameters(), 4)
    assert ALONE.part(rows) == (rows,)
    assert float(weights.weight.grad) == 1
    assert ALONE.mean({"loss": 2.0}, 7) == {"loss": 2.0}
    assert ALONE.stream == ()


def test_a_port_is_bound_to_the_address_that_others_are_told():
    from recstage.models.neural.team import _interface_of

    assert _interface_of("127.0.0.1") in [name for _, name in socket.if_nameindex()]
    assert not _interface_of("203.0.113.9")
