"""One scheduler and one retraining at a time among the hosts that share the service's PostgreSQL database.

On one machine a locked file does that (`recstage.registry.mlflow_client.work_lock`); between hosts, which share no
files, a lock of the database (`recstage.election`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from recstage.config import ServiceSource
from recstage.data.snapshots.connection import shown, url_of
from recstage.election import CHECK_SECONDS, Election
from recstage.errors import StoreError


def election() -> Election | None:
    """The election among hosts; None where the service's database is a file of this machine, or cannot be spoken to."""
    url = url_of(ServiceSource())
    if url.get_backend_name() == "sqlite":
        return None
    try:
        return Election(url)
    except ImportError:  # without the driver no data can be read either, which says what is missing
        return None


@contextmanager
def alone(work: str) -> Iterator[None]:
    """Do `work` alone of all hosts. Raises `StoreError` where another is at it; without the database none is asked."""
    hosts = election()
    if hosts is None:
        yield
        return
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(hosts, work, ended), name="election", daemon=True)
    try:
        if not hosts.holds(work) and not hosts.away:
            raise StoreError(
                work,
                rule="another host is at it",
                fix=f"Wait for it to end; it holds a lock of {shown(url_of(ServiceSource()))}",
            )
        keeper.start()
        yield
    finally:
        ended.set()
        if keeper.is_alive():
            keeper.join()
        hosts.close()


def _keep(hosts: Election, work: str, ended: threading.Event) -> None:
    """Take the lock again at once where a server that restarted has lost it."""
    while not ended.wait(CHECK_SECONDS):
        hosts.holds(work)
