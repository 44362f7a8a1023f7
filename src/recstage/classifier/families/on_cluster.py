"""Where an encoder is fine-tuned: in this process, or by a team of one process a node of a Ray cluster."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recstage import cluster
from recstage.classifier.families.encoder import Pretrained, pretrained
from recstage.classifier.families.fine_tuning import Examples, FineTuned, Report, checkpoint_name, fine_tune
from recstage.classifier.families.frozen import FrozenPart
from recstage.config.classifier import TransformerParams
from recstage.models.neural.on_cluster import kept_in
from recstage.models.neural.team import gathered

log = logging.getLogger(__name__)


def fine_tuned(
    params: TransformerParams,
    train: Examples,
    validation: Examples,
    *,
    backend: str,
    seed: int,
    checkpoints: Path | None,
    report: Report,
    known: FrozenPart | None = None,
    **given: Any,
) -> FineTuned:
    """`fine_tune` of these, on the cluster where `backend` is `ray` and several nodes are free.

    Nodes need no encoder of their own: it travels with the texts. The checkpoint comes back after each epoch, into the
    file that a fine-tuning here would write, so that either goes on where the other has stopped.
    """
    places = cluster.places() if backend == "ray" else []
    if len(places) < 2:
        if backend == "ray":
            log.info("the encoder is fine-tuned in this process: there is one node to train on")
        more = {"seed": seed, "checkpoints": checkpoints, "report": report, "known": known, **given}
        return fine_tune(params, train, validation, **more)
    log.info("the encoder is fine-tuned by %d processes of the cluster", len(places))
    work = _Work(params, train, validation, pretrained(params.encoder), {"seed": seed, **given})
    name = checkpoint_name(params, train, validation, seed)
    with kept_in(checkpoints) as folder:
        found: FineTuned = cluster.together(_as_member, work, folder, [name], report, places)
    found.checkpoint = None if checkpoints is None else checkpoints / name
    return found


@dataclass(frozen=True, eq=False)
class _Work:
    params: TransformerParams
    train: Examples
    validation: Examples
    encoder: Pretrained
    given: dict[str, Any]


def _as_member(work: _Work, member: cluster.Member) -> FineTuned:
    torch.set_num_threads(min(member.cores, work.params.threads or member.cores))
    params = work.params.model_copy(update={"threads": 0})
    with gathered(member) as team:
        return fine_tune(
            params,
            work.train,
            work.validation,
            checkpoints=member.folder,
            report=member.report,
            encoder=work.encoder,
            team=team,
            **work.given,
        )
