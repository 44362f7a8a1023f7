"""A fault, what trying it showed, and what the trials share."""

from __future__ import annotations

import copy
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from experiments.benchmarks.environment import BenchmarkEnvironment, Running

NO_SHEDDING = {"max_lag_ms": 60_000, "queue_lag_ms": 60_000, "stream_seconds": 0.05}


@dataclass(frozen=True)
class Outcome:
    """What a trial showed.

    `lost`: acknowledged events that are not in the database afterwards; None where the fault has no events.
    `problems`: each way in which the goal was missed, a few words each; empty: it was reached. `late`: the same of
    goals in seconds, which a busy machine may miss.
    """

    tried: str
    problems: tuple[str, ...] = ()
    lost: int | None = None
    late: tuple[str, ...] = ()

    @property
    def reached(self) -> bool:
        return not self.problems and not self.late and not self.lost


@dataclass(frozen=True)
class Fault:
    """A row of the table: its number, the fault, the goal beside it, and the trial."""

    number: int
    name: str
    goal: str
    run: Callable[[Trials], Outcome]


class Trials:
    """What the trials of one run share: registered models, a folder, and how long each may take."""

    def __init__(self, environment: BenchmarkEnvironment, versions: tuple[int, int], *, brief: bool, seed: int) -> None:
        """Keep them.

        Args:
            environment: a registry with two versions of ALS.
            versions: their numbers.
            brief: the short form, for the tests.
            seed: of everything that is drawn.
        """
        self.environment, self.versions, self.brief, self.seed = environment, versions, brief, seed

    def of(self, whole: int, brief: int) -> int:
        """A number or a time in seconds: of the whole table, or of its short form."""
        return brief if self.brief else whole

    @property
    def folder(self) -> Path:
        return self.environment.folder

    @cached_property
    def items(self) -> list[str]:
        """Ids of items that the models know."""
        found: list[str] = self.environment.data.split.train.items.ids.tolist()
        return found

    @contextmanager
    def service(self, name: str, **settings: object) -> Iterator[Running]:
        """The service with the first version in Production, once it answers with it.

        It sheds no load: that other programs keep the machine busy is none of the faults.
        """
        self.environment.promote(self.versions[0])
        with self.environment.service(name, **{**NO_SHEDDING, **settings}) as service:
            service.serves(self.versions[0])
            yield service

    def with_own_registry(self, name: str) -> Trials:
        """The same with a copy of the registry, for trials that damage it."""
        environment = copy.copy(self.environment)
        path = self.folder / f"{name}-registry.db"
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
        environment.uri = f"sqlite:///{path}"
        return Trials(environment, self.versions, brief=self.brief, seed=self.seed)

    def changed_version(self, change: Callable[[Path], None]) -> int:
        """A new version of the first one's model, whose bundle `change` has altered."""
        number = 1 + len(list((self.folder / "changed").glob("*")))
        folder = self.folder / "changed" / str(number)
        shutil.copytree(self.environment.model_folder(self.versions[0]), folder, symlinks=True)
        change(next(folder.rglob("manifest.json")).parent)
        return self.environment.register_folder(folder, "als")

    def log(self, name: str) -> str:
        """The log of the service of this name."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def database(self, name: str) -> Path:
        return self.folder / f"{name}.db"
