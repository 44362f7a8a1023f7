"""The training loop of the neural models: epochs, early stopping, checkpoints that resume exactly, the choice of device.

The only loop there is. A model brings a network, an optimiser, a function that trains one epoch and one that validates;
`train` decides when to stop and leaves the best weights in the network. Randomness is a function of (seed, epoch) alone, so
a checkpoint needs no generator states and a resumed run repeats an uninterrupted one bit for bit on the CPU.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from recstage.data.interactions import Interactions
from recstage.errors import StoreError
from recstage.models import base

CHECKPOINT_FORMAT = 1


def device_of_choice() -> torch.device:
    """CUDA when present, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def generator_of(device: torch.device, seed: int, *stream: int) -> torch.Generator:
    """A generator whose stream is named by `seed` and further numbers (an epoch): equal names, equal numbers."""
    return torch.Generator(device).manual_seed(_mix(seed, *stream))


@contextmanager
def seeded(seed: int, *stream: int) -> Iterator[None]:
    """Inside, torch's global generators (dropout, initial weights) follow the named stream; outside, they are untouched."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(_mix(seed, *stream))
        yield


def _mix(*numbers: int) -> int:
    digest = hashlib.sha256(",".join(map(str, numbers)).encode()).digest()
    return int.from_bytes(digest[:7], "little")


# -- checkpoints ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckpointFile:
    """One file of a checkpoint folder. Its name holds a digest of everything that determines the fit, so that a fit finds
    its own progress and no other's."""

    path: Path

    @classmethod
    def of(
        cls, folder: Path, model: base.Recommender, train: Interactions, fitting: base.Fitting, stage: str = ""
    ) -> CheckpointFile:
        """The file for fitting `model` on `train` as `fitting` says; `stage` tells apart several trainings of one fit."""
        identity = {
            "format": CHECKPOINT_FORMAT,
            "model": model.name,
            "stage": stage,
            "params": model.params.model_dump(mode="json"),
            "seed": fitting.seed,
            "train": train.fingerprint,
            "validation": None if fitting.validation is None else fitting.validation.fingerprint,
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        return cls(folder / "-".join(part for part in (model.name, stage, f"{digest}.pt") if part))

    def read(self, device: torch.device) -> dict[str, Any] | None:
        """What was written last; None before the first write. Raises `StoreError` on a file that is damaged."""
        if not self.path.is_file():
            return None
        try:
            return torch.load(self.path, map_location=device, weights_only=True)
        except Exception as error:  # a damaged archive surfaces as one of many types
            raise StoreError(
                str(self.path),
                rule=f"the checkpoint cannot be read ({type(error).__name__})",
                fix="Delete it to start afresh",
            ) from error

    def write(self, content: Mapping[str, Any]) -> None:
        """Replace the file in one step: after a crash it is the old one or the new one. Raises `StoreError`."""
        partial = self.path.with_suffix(f".{os.getpid()}.partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(dict(content), partial)
            os.replace(partial, self.path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            raise StoreError(
                str(self.path),
                rule=f"the checkpoint cannot be written ({error})",
                fix="Free disk space or choose another folder",
            ) from error
        finally:
            partial.unlink(missing_ok=True)


# -- the loop -------------------------------------------------------------------------------------------------------------


@dataclass
class Progress:
    """Where a training stands after `epoch` epochs. Higher `metric` is better; `best` are the weights of `best_epoch`."""

    epoch: int = 0
    best_epoch: int = 0
    best_metric: float = float("-inf")
    best: dict[str, Tensor] = field(default_factory=dict)

    def note(self, metric: float, network: nn.Module) -> None:
        """Remember the weights where they are the best so far."""
        if metric > self.best_metric:
            self.best_epoch, self.best_metric = self.epoch, metric
            self.best = {name: value.detach().clone() for name, value in network.state_dict().items()}


def train(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    run_epoch: Callable[[int], float],
    validate: Callable[[], Mapping[str, float]] | None,
    *,
    metric: str,
    epochs: int,
    patience: int,
    report: base.Report,
    checkpoint: CheckpointFile | None,
    title: str,
) -> int:
    """Train `network` in place and return the number of epochs behind its weights.

    `run_epoch(epoch)` (from 1) trains one epoch and returns its mean loss. With `validate`, the weights of the epoch
    with the highest `metric` are restored, and training stops when `patience` epochs brought nothing better; without, all
    epochs run and the last weights stay. Whatever `report` raises ends the training; a checkpoint of each finished epoch
    is on disk by then.
    """
    progress = _resume(network, optimiser, checkpoint)
    with tqdm(total=epochs, initial=progress.epoch, desc=title, unit="epoch", disable=None, leave=False) as bar:
        while progress.epoch < epochs and progress.epoch - progress.best_epoch < (patience if validate else epochs):
            loss = run_epoch(progress.epoch + 1)
            progress.epoch += 1
            metrics = {"loss": loss, **(validate() if validate else {})}
            if validate:
                progress.note(metrics[metric], network)
            if checkpoint is not None:
                checkpoint.write(
                    {**vars(progress), "network": network.state_dict(), "optimiser": optimiser.state_dict()}
                )
            bar.update()
            bar.set_postfix({name: f"{value:.4f}" for name, value in metrics.items()})
            report(progress.epoch, metrics)
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
