"""The service's database: one `Store` for each process, opened when the application starts."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from sqlalchemy.engine import URL

from recstage import config
from recstage.config import DataConfig
from recstage.election import Election
from recstage.errors import ConfigError, StoreError
from serving.interfaces import Dependencies, Health, HiddenItems, Item, OwnCatalogue
from serving.monitoring.metrics import Metrics
from serving.settings import ServingSettings
from serving.store.admin import revision
from serving.store.admin.agreement import Agreement
from serving.store.db.connection import parse_url, sqlite_path
from serving.store.db.errors import SchemaMismatch
from serving.store.db.reader import Reader
from serving.store.db.replica import ReplicaReader
from serving.store.db.writer import Writer
from serving.store.erasure.erasures import open_since
from serving.store.erasure.tasks import ErasureTasks
from serving.store.repositories.activity import ActivityReader
from serving.store.repositories.hidden_items import HiddenItemsReader
from serving.store.repositories.impressions import ImpressionQueue
from serving.store.repositories.items import known_item
from serving.store.repositories.own_catalogue import OwnCatalogueReader
from serving.store.repositories.precomputed import PrecomputedLists
from serving.store.repositories.rules import RulesReader
from serving.store.repositories.statistics import ItemStatisticsReader, Rewards, UserStatisticsReader
from serving.store.repositories.user_histories import UserHistoryReader, Weighting
from serving.store.repositories.users import UserReader
from serving.store.training.lineage import IndexedLineage, Lineage, index_in_subprocess
from serving.store.training.snapshot import TrainingSnapshot

log = logging.getLogger("serving.store")
OVERDUE_TASK_SECONDS = 600.0
ERASURES, QUALITY = "erasures", "quality"
"""Work that one of all processes on the database is elected for."""
DATA = "service"
"""The data set in conf/data whose event weights are used: the one that retraining reads."""


class Store:
    """Readers, writer and health check of one process."""

    def __init__(
        self, url: URL, data: DataConfig, settings: ServingSettings, metrics: Metrics, *, busy_timeout: float = 2.0
    ) -> None:
        """`data`: the data set whose event weights are used; `busy_timeout`: seconds a write waits for a lock."""
        self.url = url
        self.fast = sqlite_path(url) is not None
        self.metrics = metrics
        weighting = Weighting.of(data)
        self.reader = Reader(url, observe=self._observed)
        self.replica = self._replica_of(settings)
        self.reports: Reader = self.replica or self.reader
        """Reads over all users, which may be seconds old: from the read replica, where there is one."""
        self.writer = Writer(url, busy_timeout=busy_timeout, observe=self._observed)
        self.impressions = ImpressionQueue(self.writer.wake, self._count_impressions)
        self.writer.attach(self.impressions)
        self.users = UserReader(self.reader, fast=self.fast)
        self.hidden_items = HiddenItemsReader(self.reader)
        self.histories = UserHistoryReader(
            self.reader, self.users, self.hidden_items, weighting, limit=settings.history_limit, fast=self.fast
        )
        self.precomputed = PrecomputedLists(self.reader, self.hidden_items, fast=self.fast)
        self.own_catalogue = OwnCatalogueReader(self.reader)
        self.activity = ActivityReader(self.reports, weighting.by_type())
        self.rules = RulesReader(self.reader, fast=self.fast)
        self.user_statistics = UserStatisticsReader(self.reader, weighting)
        self.item_statistics = ItemStatisticsReader(self.reports, weighting)
        self.rewards = Rewards(self.reports)
        self.training_snapshot = TrainingSnapshot(self.reports, data, self._observed)
        index = index_in_subprocess(
            url.render_as_string(hide_password=False), [settings.model_name, settings.reverse_model_name]
        )
        self.lineage: Lineage = IndexedLineage(self.reader, index if settings.follow_registry else None)
        self._election = Election(url)
        self._agreement = Agreement(self.reader)
        self.erasure_tasks = ErasureTasks(
            self.reader, self.writer, self.lineage, elected=partial(self.elected, ERASURES)
        )
        self._slow_seconds = settings.slow_query_ms / 1000
        self._health_executor = ThreadPoolExecutor(1, thread_name_prefix="store-health")
        self._pending_health: Future[Health] | None = None
        self._health: Health = "ready"

    @classmethod
    def open(cls, settings: ServingSettings, metrics: Metrics) -> Store:
        """Open the database of the settings, creating the tables where there are none.

        A SQLite file of an older version is backed up and upgraded; the database of a server is not, because other
        processes may still use the older schema. An unavailable database is logged and opened once it is back. Raises
        `ConfigError` on an invalid URL and `SchemaMismatch` on another revision.
        """
        url = parse_url(settings.database_url)
        path = sqlite_path(url)
        if path is not None and not path.exists():
            _create_tables(url)
        data = config.check(DataConfig, config.named_yaml("data", DATA), f"conf/data/{DATA}.yaml")
        store = cls(url, data, settings, metrics)
        try:
            found = revision.found_in(store.reader)
            if found is None:  # while another worker creates them, this one waits
                _create_tables(url)
            elif path is not None and found < revision.newest():
                _upgrade(url)
            revision.check(store.reader)
        except SchemaMismatch:
            store.close()
            raise
        except StoreError as error:
            log.warning("the database is unavailable", extra={"event": "database-unavailable", "error": str(error)})
        return store

    def _replica_of(self, settings: ServingSettings) -> ReplicaReader | None:
        if not settings.read_database_url:
            return None
        url = parse_url(settings.read_database_url)
        if self.fast or sqlite_path(url) is not None:
            raise ConfigError(
                "read_database_url",
                rule="a read replica is a server of PostgreSQL that follows the one of database_url",
                fix="Give postgresql://user@host/name for both, or leave it out",
            )
        return ReplicaReader(url, self.reader, max_lag=settings.read_max_lag_seconds, observe=self._observed)

    def dependencies(self) -> Dependencies:
        """The parts of the store that the service uses, by the protocols of `serving.interfaces`."""
        return Dependencies(
            histories=self.histories,
            moments=self.histories,
            items=_Items(self),
            training_data=self.training_snapshot,
            impressions=self.impressions,
            precomputed=self.precomputed,
            users=self.users,
            health_check=self,
            activity=self.activity,
            rules=self.rules,
            rewards=self.rewards,
            closing=(self,),
        )

    def elected(self, work: str) -> bool:
        """Whether this process does what one of all processes on this database must do (`ERASURES`, `QUALITY`)."""
        found = self._election.holds(work)
        self.metrics.elected.labels(work).set(found)
        return found

    def health(self) -> Health:
        """Whether the database answers.

        A database behind a network is checked in the background, because a timeout takes seconds; this then returns the
        result of the last check.
        """
        if self.fast:
            return self._check_health()
        if self._pending_health is None or self._pending_health.done():
            if self._pending_health is not None:
                self._health = self._pending_health.result()
            self._pending_health = self._health_executor.submit(self._check_health)
        return self._health

    def write_failure(self) -> str | None:
        """Why the last write of this process failed; None where it did not. A failed write is tried again by itself.

        The next event may be hours away, so that a database that can be written again would be told as one that cannot.
        """
        failure = self.writer.failure
        if failure is None:
            return None
        self.writer.probe()
        return failure.rule if isinstance(failure, StoreError) else type(failure).__name__

    def troubles(self) -> dict[str, str]:
        """Why the read replica is not read, and what this process and the database disagree on; each looks by itself
        how often it asks."""
        found = self._agreement.troubles()
        if self.replica is not None:
            self.replica.look()
            self.metrics.replica_lag.set(float("inf") if self.replica.lag is None else self.replica.lag)
            if self.replica.trouble is not None:
                return {**found, "replica": self.replica.trouble}
        return found

    def open_tasks(self) -> str | None:
        """Which recorded tasks wait for longer than they should; None where none does."""
        try:
            found = open_since(self.reader)
        except StoreError:
            return None  # the database is unavailable, which is another condition
        if found is None:
            return None
        age = time.time() - found.since / 1000
        why = found.why or "not tried yet"
        return f"{found.number} since {age / 60:.0f} minutes ({why})" if age >= OVERDUE_TASK_SECONDS else None

    def _check_health(self) -> Health:
        try:
            self.hidden_items.hidden()
            self.users.opted_out()
        except StoreError:
            return "unavailable"
        return "ready"

    def close(self) -> None:
        """Write what is queued, then close everything."""
        self._health_executor.shutdown(wait=False, cancel_futures=True)
        self.writer.close()
        self.impressions.discard()
        self.reader.close()
        if self.replica is not None:
            self.replica.close()
        self._election.close()

    def _observed(self, name: str, seconds: float) -> None:
        self.metrics.observe_query(name, seconds)
        if seconds > self._slow_seconds and name != "snapshot":
            self.metrics.slow_queries.labels(name).inc()
            milliseconds = round(seconds * 1000, 1)
            log.warning("slow query", extra={"event": "slow-query", "query": name, "milliseconds": milliseconds})

    def _count_impressions(self, outcome: str, number: int) -> None:
        self.metrics.impressions.labels(outcome).inc(number)


def _create_tables(url: URL) -> None:
    from serving.store.admin import migrate  # imports Alembic, which only the first start needs

    migrate.upgrade(url)


def _upgrade(url: URL) -> None:
    """Upgrade an older SQLite file. Raises `SchemaMismatch` where that fails; the file is then unchanged."""
    from serving.store.admin import migrate  # as above

    try:
        change = migrate.upgrade(url)
    except StoreError as error:
        raise SchemaMismatch(error.given, rule=error.rule, fix=error.fix) from error
    log.warning(
        f"the database was backed up to {change.backup} and upgraded from revision {change.before} to {change.after}",
        extra={"event": "schema-upgraded"},
    )


class _Items:
    """`ItemSource` on the store."""

    def __init__(self, store: Store) -> None:
        self.fast = store.fast
        self._hidden_items = store.hidden_items
        self._item = partial(known_item, store.reader)
        self._catalogue = store.own_catalogue.at

    def hidden(self) -> HiddenItems:
        return self._hidden_items.hidden()

    def item(self, item_id: str) -> Item | None:
        return self._item(item_id)

    def catalogue(self, version: int) -> OwnCatalogue:
        return self._catalogue(version)
