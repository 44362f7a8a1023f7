"""Checkpoints of a training: one file a training, replaced after each epoch, from which it goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recstage.config import keep_private
from recstage.data.interactions import Interactions
from recstage.errors import StoreError
from recstage.models import base
from recstage.models.neural.team import ALONE, Team

CHECKPOINT_FORMAT = 2


def digest_of(model: base.Recommender, train: Interactions, fitting: base.Fitting) -> str:
    """16 hexadecimal digits of everything that determines a fit, so that it resumes its own progress and no other's."""
    identity = {
        "format": CHECKPOINT_FORMAT,
        "model": model.name,
        "params": model.params.model_dump(mode="json"),
        "seed": fitting.seed,
        "train": train.fingerprint,
        "texts": hashlib.sha256("\x00".join(fitting.catalogue.documents).encode()).hexdigest(),
        "validation": None if fitting.validation is None else fitting.validation.fingerprint,
        **({"within": True} if fitting.seconds else {}),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class CheckpointFile:
    """One file of a checkpoint folder, its name after what determines the fit. Of a team, the first member writes."""

    path: Path
    team: Team = ALONE

    @classmethod
    def of(
        cls, model: base.Recommender, train: Interactions, fitting: base.Fitting, stage: str = ""
    ) -> CheckpointFile | None:
        """The file for fitting `model` to `train` by `fitting`, None if that names no folder.

        `stage` distinguishes several trainings of one fit.
        """
        if fitting.checkpoint is None:
            return None
        digest = digest_of(model, train, fitting)
        name = "-".join(part for part in (model.name, stage, f"{digest}.pt") if part)
        return cls(fitting.checkpoint / name, fitting.team or ALONE)

    def read(self, device: torch.device) -> dict[str, Any] | None:
        """The content written last; None before the first write. Raises `StoreError` on a damaged file."""
        if not self.path.is_file():
            return None
        try:
            return torch.load(self.path, map_location=device, weights_only=True)
        except Exception as error:  # a damaged archive surfaces as one of many types
            raise StoreError(
                str(self.path),
                rule=f"the checkpoint cannot be read ({type(error).__name__})",
                fix="Delete it to start again",
            ) from error

    def write(self, content: Mapping[str, Any]) -> None:
        """Replace the file atomically: after a crash it is the old one or the new one. Raises `StoreError`."""
        if self.team.rank:
            return
        partial = self.path.with_suffix(f".{os.getpid()}.partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(dict(content), partial)
            keep_private(partial)
            os.replace(partial, self.path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            partial.unlink(missing_ok=True)
            raise StoreError(
                str(self.path),
                rule=f"the checkpoint cannot be written ({error})",
                fix="Free disk space or choose another folder",
            ) from error
        self.team.keep(self.path)
