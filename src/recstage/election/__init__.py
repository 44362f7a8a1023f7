"""Who does what must be done once: of all processes on a database, the one that holds a lock in it.

PostgreSQL: an advisory lock of a session, which the server gives back when the connection ends; where a host dies
without a word, after `locks.HOST_GONE_SECONDS` (https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS).
SQLite, which is of one machine: a locked file beside the database, which the system gives back with the process. No
clock has a part in either.
"""

from recstage.election.elected import CHECK_SECONDS, Election

__all__ = ["CHECK_SECONDS", "Election"]
