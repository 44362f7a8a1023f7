"""The training loop of the neural models: epochs, early stopping, choice of device.

A model supplies a network, an optimiser, a function that trains one epoch and one that validates; `train` decides when
to stop and leaves the best weights in the network. Randomness is a function of (seed, epoch), and of the place in a
team, so a checkpoint needs no generator states and a resumed run repeats an uninterrupted one bit for bit on the CPU.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from recstage.errors import Diverged
from recstage.models import base
from recstage.models.neural.checkpoint import CheckpointFile
from recstage.models.neural.team import ALONE, Team

METRIC = "validation_ndcg_at_10"
VALIDATION_ROWS = 2_048


# -- device, precision, randomness -------------------------------------------------------------------------------------


def device_of_choice() -> torch.device:
    """CUDA when present, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def matrix_type(precision: str, device: torch.device) -> torch.dtype:
    """The type of matrix products: 'fp32', 'bf16', or 'auto' (bf16 if the hardware multiplies it natively)."""
    if precision == "auto":
        native = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bf16()
        return torch.bfloat16 if native else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


def _cpu_has_bf16() -> bool:
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def generator_of(device: torch.device, seed: int, *stream: int) -> torch.Generator:
    """A generator seeded by `seed` and further numbers (an epoch): equal arguments, equal random numbers."""
    return torch.Generator(device).manual_seed(_mix(seed, *stream))


@contextmanager
def seeded(seed: int, *stream: int) -> Iterator[None]:
    """Inside, torch's global generators (dropout, initial weights) are seeded; outside they continue as before."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(_mix(seed, *stream))
        yield


def _mix(*numbers: int) -> int:
    digest = hashlib.sha256(",".join(map(str, numbers)).encode()).digest()
    return int.from_bytes(digest[:7], "little")


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Dropout with one random byte a value (the rate is rounded to 1/256).

    On a CPU most of dropout's time is spent on drawing numbers: 6,400 x 128 values take 1.7 ms of one thread here, 8.9
    ms in `torch.nn.functional.dropout`.
    """
    dropped = round(rate * 256)
    if not training or not dropped:
        return x
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
    kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
    return x * kept.to(x.dtype).mul_(256 / (256 - dropped))


def in_one_piece(network: nn.Module) -> nn.Parameter:
    """One parameter that holds the memory, and the gradients, of all parameters of a network from now on.

    An optimiser of small layers spends most of its time on the step from one parameter to the next, and large gradients
    cost fresh memory each step: set them to zero, not to None.
    """
    parts = list(network.parameters())
    whole = nn.Parameter(parameters_to_vector(parts).detach())
    whole.grad = torch.zeros_like(whole)
    vector_to_parameters(whole.detach(), parts)
    for part, gradient in zip(parts, whole.grad.split([part.numel() for part in parts]), strict=True):
        part.grad = gradient.view_as(part)
    return whole


def set_learning_rate(optimiser: torch.optim.Optimizer, done: float, warm_up: float = 1.0) -> None:
    """Half a cosine from the initial learning rate to zero as `done` goes from 0 to 1, times `warm_up`."""
    for group in optimiser.param_groups:
        first = group.setdefault("initial_lr", float(group["lr"]))
        group["lr"] = first * warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def validation_rows(eligible: NDArray[np.bool_], seed: int, stream: int) -> NDArray[np.int64]:
    """The held-out rows that an epoch is validated on, ascending: all `eligible` ones, or a random sample of them."""
    rows = np.flatnonzero(eligible)
    if len(rows) <= VALIDATION_ROWS:
        return rows
    return np.sort(np.random.default_rng((seed, stream)).choice(rows, VALIDATION_ROWS, replace=False))


def validated(rank: Tensor, loss: Tensor) -> dict[str, float]:
    """What an epoch reports of its validation: NDCG@10 and HR@10 of one held-out item a row at `rank` (from 0), and the
    mean of `loss`, the training's loss of each row."""
    gains = torch.where(rank < 10, 1 / torch.log2(rank + 2.0), 0.0)
    return {
        METRIC: float(gains.mean()),
        "validation_hit_rate_at_10": float((rank < 10).float().mean()),
        "validation_loss": float(loss.mean()),
    }


# -- the loop ----------------------------------------------------------------------------------------------------------


@dataclass
class Progress:
    """State of a training after `epoch` epochs; `best` are the weights of the epoch with the highest metric."""

    epoch: int = 0
    spent: float = 0.0
    """Seconds of all epochs, their validation included."""
    best_epoch: int = 0
    best_metric: float = -1.0
    best: dict[str, Tensor] = field(default_factory=dict)

    def planned(self, epochs: int, seconds: float) -> int:
        """Epochs in all: as many of `epochs` as end in so many seconds (0: all), if those to come take as long as those
        that are done; one at least."""
        if not seconds or not self.epoch:
            return epochs
        return min(epochs, max(self.epoch, int(self.epoch * seconds / self.spent)))

    def note(self, metric: float, network: nn.Module) -> None:
        """Keep the weights if they are the best so far."""
        if metric > self.best_metric:
            self.best_epoch, self.best_metric = self.epoch, metric
            self.best = {name: value.detach().clone() for name, value in network.state_dict().items()}


def train(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    run_epoch: Callable[[int, int], float],
    validate: Callable[[], Mapping[str, float]] | None,
    *,
    epochs: int,
    patience: int,
    report: base.Report,
    checkpoint: CheckpointFile | None,
    seconds: float = 0.0,
    team: Team = ALONE,
) -> int:
    """Train `network` in place and return the number of epochs that its weights were trained for.

    `run_epoch(epoch, planned)` (from 1) trains one epoch, of those planned, by which the learning rate falls, and
    returns its mean loss; `seconds` as in `Fitting`. With `validate`, the weights of the epoch with the highest
    `METRIC` are restored, and training stops after `patience` epochs without a gain; without it, all epochs run and the
    last weights stay. What `report` raises ends the training; a checkpoint of each finished epoch is on disk by then.
    Every member of a `team` calls this alike, and what both functions return is the team's. Raises `Diverged` if the
    loss is no longer a number.
    """
    progress = _resume(network, optimiser, checkpoint)
    planned = progress.planned(epochs, seconds)
    while progress.epoch < planned and progress.epoch - progress.best_epoch < (patience if validate else epochs):
        started = time.perf_counter()
        team.give_weights(network)
        loss = run_epoch(progress.epoch + 1, planned)
        if not math.isfinite(loss):
            rate = optimiser.param_groups[0].get("initial_lr")
            raise Diverged(
                f"learning_rate = {rate}", rule=f"the loss of epoch {progress.epoch + 1} is {loss}", fix="Lower it"
            )
        progress.epoch += 1
        metrics = {"loss": loss, **(validate() if validate else {})}
        if validate:
            progress.note(metrics[METRIC], network)
        progress.spent += team.mean({"seconds": time.perf_counter() - started}, 1)["seconds"]
        if checkpoint is not None:
            checkpoint.write({**vars(progress), "network": network.state_dict(), "optimiser": optimiser.state_dict()})
        report(progress.epoch, metrics)
        planned = progress.planned(epochs, seconds)
    team.give_weights(network)
    if not validate:
        return progress.epoch
    network.load_state_dict(progress.best)
    return progress.best_epoch


def _resume(network: nn.Module, optimiser: torch.optim.Optimizer, checkpoint: CheckpointFile | None) -> Progress:
    saved = None if checkpoint is None else checkpoint.read(next(network.parameters()).device)
    if saved is None:
        return Progress()
    network.load_state_dict(saved.pop("network"))
    optimiser.load_state_dict(saved.pop("optimiser"))
    return Progress(**saved)
