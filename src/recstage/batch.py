"""One function of a fitted model over many blocks of users: one after the other here, or on the cores of a cluster.

A model travels as the files of its bundle, through Ray's object store: nodes need no folder in common, and no pickle of
a model is read. Blocks are those of a local run and come back in their order, so that results are the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from recstage import bundle, cluster
from recstage.cluster import Each
from recstage.models.base import Recommender


def each_by(backend: str, folder: Path) -> Each:
    """How blocks are computed: by the model that is given (`local`), or by the one of the bundle in `folder`, which is
    the same (`ray`, within a `cluster.session`)."""
    return partial(_on_ray, folder) if backend == "ray" else cluster.here


def _on_ray(folder: Path, function: Callable, model: Recommender, arguments: Iterable[Any]) -> Iterator[Any]:
    return cluster.in_order(_by_shipped, (function, _ShippedModel(folder)), arguments)


class _ShippedModel:
    """A bundle as arrays of bytes, which a worker loads once."""

    def __init__(self, folder: Path) -> None:
        files = (path for path in folder.rglob("*") if path.is_file())
        self.files = {path.relative_to(folder).as_posix(): np.fromfile(path, np.uint8) for path in files}

    @cached_property
    def model(self) -> Recommender:
        with tempfile.TemporaryDirectory(prefix="recstage-bundle-") as folder:  # what is mapped stays when it is gone
            for name, content in self.files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                content.tofile(path)
            return bundle.load(Path(folder)).model


def _by_shipped(shared: tuple[Callable, _ShippedModel], argument: Any, report: cluster.Report) -> Any:
    function, shipped = shared
    return function(shipped.model, argument)
