"""The database as the service uses it: one `Store` a process, opened when the application starts."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from sqlalchemy.engine import URL

from recstage import config
from recstage.config import DataConfig
from recstage.errors import StoreError
from serving.interfaces import Dependencies, Health, HiddenItems, Item
from serving.monitoring.metrics import Metrics
from serving.settings import ServingSettings
from serving.store.admin import revision
from serving.store.db.connection import parse_url, sqlite_path
from serving.store.db.errors import StoreOutOfStep
from serving.store.db.reader import Reader
from serving.store.db.writer import Writer
from serving.store.repositories.impressions import Impressions
from serving.store.repositories.items import HiddenItemsReader, known_item
from serving.store.repositories.precomputed import PrecomputedLists
from serving.store.repositories.statistics import ItemCounting
from serving.store.repositories.user_histories import Histories, Weighting
from serving.store.repositories.users import People
from serving.store.training.lineage import IndexedLineage, Lineage, by_process
from serving.store.training.snapshot import TrainingSnapshot

log = logging.getLogger("serving.store")
DATA = "service"
"""The data set in conf/data whose weights live events get: the one that retraining reads."""


class Store:
    """Reads and writes of one process."""

    def __init__(
        self, url: URL, data: DataConfig, settings: ServingSettings, metrics: Metrics, *, busy_timeout: float = 2.0
    ) -> None:
        self.url = url
        self.fast = sqlite_path(url) is not None
        self.metrics = metrics
        weighting = Weighting.of(data)
        self.reader = Reader(url, observe=self._observed)
        self.writer = Writer(url, busy_timeout=busy_timeout, observe=self._observed)
        self.impressions = Impressions(self.writer.wake, self._count_impressions)
        self.writer.attach(self.impressions)
        self.people = People(self.reader, fast=self.fast)
        self.histories = Histories(self.reader, self.people, weighting, limit=settings.history_limit, fast=self.fast)
        self.withheld = HiddenItemsReader(self.reader)
        self.precomputed = PrecomputedLists(self.reader, self.withheld, fast=self.fast)
        self.item_counting = ItemCounting(self.reader, weighting)
        self.everything = TrainingSnapshot(self.reader, data, self._observed)
        index = by_process(
            url.render_as_string(hide_password=False), [settings.model_name, settings.reverse_model_name]
        )
        self.lineage: Lineage = IndexedLineage(self.reader, index if settings.follow_registry else None)
        self._slow_seconds = settings.slow_query_ms / 1000
        self._asker = ThreadPoolExecutor(1, thread_name_prefix="store-health")
        self._asking: Future[Health] | None = None
        self._health: Health = "ready"

    @classmethod
    def open(cls, settings: ServingSettings, metrics: Metrics) -> Store:
        """The database of the settings. One without tables gets them; a SQLite file of an older version is backed up
        and brought up to date, a server's database is not: others may still work with it. A database that is away is
        waited for. Raises `ConfigError` on a URL that is none and `StoreOutOfStep` on another revision."""
        url = parse_url(settings.database_url)
        path = sqlite_path(url)
        if path is not None and not path.exists():
            _make(url)
        data = config.check(DataConfig, config.named_yaml("data", DATA), f"conf/data/{DATA}.yaml")
        store = cls(url, data, settings, metrics)
        try:
            found = revision.found_in(store.reader)
            if found is None:  # also while another worker is making it: this one waits
                _make(url)
            elif path is not None and found < revision.newest():
                _bring_up_to_date(url)
            revision.check(store.reader)
        except StoreOutOfStep:
            store.close()
            raise
        except StoreError as error:
            log.warning("the database is away", extra={"event": "database-away", "error": str(error)})
        return store

    def dependencies(self) -> Dependencies:
        """What the answering side asks of it."""
        return Dependencies(
            histories=self.histories,
            items=_Items(self),
            training_data=self.everything,
            shown=self.impressions,
            precomputed=self.precomputed,
            people=self.people,
            health_check=self,
            closing=(self,),
        )

    def health(self) -> Health:
        """Whether the database answers. One behind a network is asked in the background, for it may take seconds to
        say nothing; then this is what it last said."""
        if self.fast:
            return self._ask()
        if self._asking is None or self._asking.done():
            if self._asking is not None:
                self._health = self._asking.result()
            self._asking = self._asker.submit(self._ask)
        return self._health

    def _ask(self) -> Health:
        try:
            self.withheld.hidden()
            self.people.opted_out()
        except StoreError:
            return "away"
        return "ready"

    def close(self) -> None:
        """Write what waits, then close everything."""
        self._asker.shutdown(wait=False, cancel_futures=True)
        self.writer.close()
        self.impressions.give_up()
        self.reader.close()

    def _observed(self, name: str, seconds: float) -> None:
        self.metrics.queries.labels(name).observe(seconds)
        if seconds > self._slow_seconds and name != "snapshot":
            self.metrics.slow_queries.labels(name).inc()
            milliseconds = round(seconds * 1000, 1)
            log.warning("slow query", extra={"event": "slow-query", "query": name, "milliseconds": milliseconds})

    def _count_impressions(self, outcome: str, number: int) -> None:
        self.metrics.impressions.labels(outcome).inc(number)


def _make(url: URL) -> None:
    from serving.store.admin import migrate  # with Alembic, which only the first start needs

    migrate.upgrade(url)


def _bring_up_to_date(url: URL) -> None:
    """Raises `StoreOutOfStep` where that fails; the database is then as it was."""
    from serving.store.admin import migrate  # as above

    try:
        change = migrate.upgrade(url)
    except StoreError as error:
        raise StoreOutOfStep(error.given, rule=error.rule, fix=error.fix) from error
    log.warning(
        f"the database was backed up to {change.backup} and brought from revision {change.before} to {change.after}",
        extra={"event": "schema-upgraded"},
    )


class _Items:
    """`ItemSource` on the store."""

    def __init__(self, store: Store) -> None:
        self.fast = store.fast
        self._withheld = store.withheld
        self._item = partial(known_item, store.reader)

    def hidden(self) -> HiddenItems:
        return self._withheld.hidden()

    def item(self, item_id: str) -> Item | None:
        return self._item(item_id)
