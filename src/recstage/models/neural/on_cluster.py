"""Where a training runs: in this process, or as a team of one process a node of a Ray cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch

from recstage import cluster
from recstage.data.interactions import Interactions
from recstage.models import base
from recstage.models.neural.checkpoint import digest_of
from recstage.models.neural.team import gathered

T = TypeVar("T")
log = logging.getLogger(__name__)


def trained(
    train: Callable[..., T], model: base.Recommender, rows: Interactions, fitting: base.Fitting, *more: Any
) -> T:
    """`train(model, rows, fitting, *more)`, on the cluster where `fitting.backend` is `ray` and several nodes are free.

    Checkpoints come back after each epoch, into the files that a training here would write, so that either goes on
    where the other has stopped.
    """
    if fitting.backend != "ray":
        return train(model, rows, fitting, *more)
    with cluster.session():
        places = cluster.places()
        if fitting.teacher is not None or len(places) < 2:
            why = "a teacher does not travel" if fitting.teacher is not None else "there is one node to train on"
            log.info("%s is trained in this process: %s", model.name, why)
            return train(model, rows, fitting, *more)
        log.info("%s is trained by %d processes of the cluster", model.name, len(places))
        alone = replace(fitting, report=base.silent, checkpoint=None, start=None, backend="local")
        work = _Work(train, type(model)(model.params), rows, alone, more)
        with kept_in(fitting.checkpoint) as folder:
            # trainings before and after the one that is watched leave validation rows and the budget to it
            parts = (fitting, replace(fitting, validation=None, seconds=0.0))
            files = [f"*-{digest_of(model, rows, one)}.pt" for one in parts]
            found: T = cluster.together(_as_member, work, folder, files, fitting.report, places)
    return found


@dataclass(frozen=True, eq=False)
class _Work:
    train: Callable[..., Any]
    model: base.Recommender
    rows: Interactions
    fitting: base.Fitting
    more: tuple[Any, ...]


def _as_member(work: _Work, member: cluster.Member) -> Any:
    torch.set_num_threads(member.cores)
    with gathered(member) as team:
        fitting = replace(work.fitting, team=team, checkpoint=member.folder, report=member.report)
        return work.train(work.model, work.rows, fitting, *work.more)


@contextmanager
def kept_in(folder: Path | None) -> Iterator[Path]:
    """The checkpoint folder, or one for as long as the training takes."""
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory() as temporary:
        yield Path(temporary)
